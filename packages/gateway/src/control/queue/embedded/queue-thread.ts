import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../core/clock.ts";
import type { QueueLimits } from "../queue.ts";
import { QueueServer, type QueueRequest } from "./serve-queue.ts";

/** What the thread is started with. */
export interface QueueThreadData {
  readonly dataDir: string;
  readonly limits: QueueLimits;
}

/** Where the queue's file is written: waiting for the disk holds up nothing else here. */
if (parentPort === null) throw new Error("queue-thread.ts runs in a thread that the control thread starts.");
const port = parentPort;
const { dataDir, limits } = workerData as QueueThreadData; // what thread-queue.ts passes

const server = new QueueServer({
  dataDir,
  limits,
  clock: systemClock,
  post: (message) => port.postMessage(message),
  soon: (action) => void setImmediate(action),
  exit: () => port.close(),
});
port.on("message", (request: QueueRequest) => server.receive(request));
