import { Worker } from "node:worker_threads";
import { packMessage } from "./pack-message.ts";
import type { FromWorker, StartWorker } from "./worker-messages.ts";

/** Starts workers as threads running `entry`, the compiled or the TypeScript worker.ts. */
export function threadsOf(entry: URL): StartWorker {
  return (start, events) => {
    const thread = new Worker(entry, { workerData: start, name: `worker-${start.workerId}` });
    let reason: string | undefined;
    // The other side is worker-host.ts, which posts nothing else.
    thread.on("message", (message) => events.onMessage(message as FromWorker));
    thread.on("error", (error) => (reason = error instanceof Error ? error.message : String(error)));
    thread.on("exit", (code) => events.onExit(reason ?? `it ended with code ${code}`));
    return {
      post: (message) => thread.postMessage(packMessage(message)),
      terminate: () => void thread.terminate(),
    };
  };
}
