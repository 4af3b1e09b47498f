import { systemClock } from "../core/clock.ts";
import { busyShare } from "../core/event-loop.ts";
import { systemTimers } from "../core/timers.ts";
import { WorkerHost } from "./worker-host.ts";
import type { FromWorker, StartWorker } from "./worker-messages.ts";
import { workerParts } from "./worker-parts.ts";

/** The proxy in the control thread (`workers: 0`), for tests and debugging: the same messages, without a thread. */
export const startInline: StartWorker = (start, events) => {
  let ended = false;
  const end = (reason: string): void => {
    if (ended) return;
    ended = true;
    host.close();
    queueMicrotask(() => events.onExit(reason));
  };
  const post = (message: FromWorker): void => queueMicrotask(() => events.onMessage(message));
  const host = new WorkerHost({
    start,
    clock: systemClock,
    timers: systemTimers,
    post,
    utilization: busyShare(),
    beforeListening: () => {},
    exit: () => end("it has drained"),
    build: (log, metrics) => workerParts(start, log, metrics, post),
  });
  return {
    post: (message) => queueMicrotask(() => ended || host.receive(message)),
    terminate: () => end("it was ended"),
  };
};
