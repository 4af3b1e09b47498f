/**
 * Preloaded into every thread of a gateway by NODE_OPTIONS: how long the thread's event loop was held up. Appends a
 * line "wall-clock ms, longest delay in ms since the last line" to BENCH_LOOP_DIR/<thread> ten times a second.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread, threadId } from "node:worker_threads";

const dir = process.env["BENCH_LOOP_DIR"];
const reportEveryMs = 100;

if (dir !== undefined) {
  const file = join(dir, isMainThread ? "control" : `worker-${threadId}`);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  setInterval(() => {
    appendFileSync(file, `${Date.now()} ${delay.max / 1e6}\n`);
    delay.reset();
  }, reportEveryMs).unref();
}
