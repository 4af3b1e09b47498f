import { once } from "node:events";
import { Worker } from "node:worker_threads";

// Runs in each thread: says that it is ready, waits at the gate, and reports what the function returned. Threads wake one
// after the other, and what they do may be over sooner: so they wait awake for the last one, but not for ever.
const threadCode = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.module).then((exports) => {
  parentPort.postMessage("ready");
  const { gate, threads } = workerData;
  Atomics.wait(gate, 0, 0);
  Atomics.add(gate, 1, 1);
  for (let looks = 0; Atomics.load(gate, 1) < threads && looks < 100_000_000; looks++);
  parentPort.postMessage(exports[workerData.name](workerData.data, workerData.index));
});`;

/**
 * Calls one exported function of a module in several threads at once, with the same data and the thread's number from 0;
 * answers what each returned, a plain value. What they share is in the data's SharedArrayBuffers.
 */
export async function inThreads<R>(module: URL, name: string, threads: number, data: unknown): Promise<R[]> {
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const workers = Array.from(
    { length: threads },
    (_, index) =>
      new Worker(threadCode, { eval: true, workerData: { module: module.href, name, gate, threads, data, index } }),
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
