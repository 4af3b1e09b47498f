import { getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { unpackMessage, type PackedMessage } from "./control/pack-message.ts";
import { WorkerHost } from "./control/worker-host.ts";
import type { FromWorker, WorkerStart } from "./control/worker-messages.ts";
import { workerParts } from "./control/worker-parts.ts";
import { busyShare } from "./core/event-loop.ts";
import { systemClock } from "./core/clock.ts";
import { systemTimers } from "./core/timers.ts";

/** A worker thread: the proxy, and a line to the control thread. */
if (parentPort === null) throw new Error("worker.ts runs in a thread that the control thread starts.");
const port = parentPort;
const start = workerData as WorkerStart; // What worker-thread.ts passes.
const post = (message: FromWorker): void => port.postMessage(message);

const host = new WorkerHost({
  start,
  clock: systemClock,
  timers: systemTimers,
  utilization: busyShare(),
  post,
  beforeListening: collectGarbage,
  exit: () => process.exit(0),
  build: (log, metrics) => {
    // A promise that a user's middleware forgot must not take every connection of this thread down with it.
    process.on("unhandledRejection", (reason) => {
      log.error(
        { err: reason },
        "A promise that nobody waits for was rejected; look for a missing await in a middleware.",
      );
    });
    return workerParts(start, log, metrics, post);
  },
});
port.on("message", (message: PackedMessage) => host.receive(unpackMessage(message)));

/**
 * What 100,000 routes leave behind when they are built would be collected while requests wait: moving what remains of it
 * takes tens of milliseconds, and later collections find little to move. Where there is little now it is not worth it.
 */
function collectGarbage(): void {
  const worthBytes = 64 * 1_048_576;
  if (getHeapStatistics().used_heap_size > worthBytes) globalThis.gc?.(); // the launcher asks node for it
}
