import { once } from "node:events";
import { Worker } from "node:worker_threads";

// Runs in each thread: says that it is ready, waits at the gate, and reports what the function returned.
const threadCode = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.module).then((exports) => {
  parentPort.postMessage("ready");
  Atomics.wait(workerData.gate, 0, 0);
  parentPort.postMessage(exports[workerData.name](workerData.data, workerData.index));
});`;

/**
 * Calls one exported function of a module in several threads at once, with the same data and the thread's number from 0;
 * answers what each returned, a plain value. What they share is in the data's SharedArrayBuffers.
 */
export async function inThreads<R>(module: URL, name: string, threads: number, data: unknown): Promise<R[]> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: threads },
    (_, index) => new Worker(threadCode, { eval: true, workerData: { module: module.href, name, gate, data, index } }),
  );
  try {
    await Promise.all(workers.map((worker) => once(worker, "message")));
    const results = Promise.all(workers.map((worker) => once(worker, "message") as Promise<[R]>)); // as threadCode posts it
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    return (await results).map(([result]) => result);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
