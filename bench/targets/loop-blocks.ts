/**
 * Preloaded into every thread of a gateway by NODE_OPTIONS: how long something held up the thread's event loop, how
 * much of that the thread was really running, and how much of it was the garbage collector. Appends a line "wall-clock
 * ms, longest wait ms, longest run ms, longest collection ms" to BENCH_LOOP_DIR/<thread> ten times a second: each the
 * longest since the last line.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { PerformanceObserver, performance } from "node:perf_hooks";
import { isMainThread, threadId } from "node:worker_threads";

const dir = process.env["BENCH_LOOP_DIR"];
const lookEveryMs = 1;
const reportEveryMs = 100;

if (dir !== undefined) {
  const file = join(dir, isMainThread ? "control" : `worker-${threadId}`);
  let longest = { waitMs: 0, runMs: 0, collectionMs: 0 };
  let at = performance.now();
  let cpu = process.threadCpuUsage();
  setInterval(() => {
    const now = performance.now();
    const { user, system } = process.threadCpuUsage(cpu);
    cpu = process.threadCpuUsage();
    const waitMs = now - at - lookEveryMs;
    at = now;
    // Of a thread that shares its core others may have had the rest: that is the machine and not the gateway.
    const runMs = Math.min(waitMs, (user + system) / 1_000);
    longest.waitMs = Math.max(longest.waitMs, waitMs);
    longest.runMs = Math.max(longest.runMs, runMs);
  }, lookEveryMs).unref();
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest.collectionMs = Math.max(longest.collectionMs, duration);
  }).observe({ entryTypes: ["gc"] });
  setInterval(() => {
    const { waitMs, runMs, collectionMs } = longest;
    appendFileSync(file, `${Date.now()} ${waitMs.toFixed(3)} ${runMs.toFixed(3)} ${collectionMs.toFixed(3)}\n`);
    longest = { waitMs: 0, runMs: 0, collectionMs: 0 };
  }, reportEveryMs).unref();
}
