import { performance } from "node:perf_hooks";
import { MessageChannel } from "node:worker_threads";

/** What a thread can tell of its own event loop; passed in so that tests own it. */
export interface EventLoop {
  /** Share of the time since the last call in which it was busy, 0 to 1. */
  utilization(): number;
  /** `received` is called once for each `send`, in order, when the event loop has come to it. */
  echo(received: () => void): LoopEcho;
}

/** Sends oneself something through the event loop, to see how long that takes. */
export interface LoopEcho {
  send(): void;
  close(): void;
}

/** The event loop of this thread. Each call gives one with a utilisation of its own. */
export function systemEventLoop(): EventLoop {
  return { utilization: busyShare(), echo };
}

/** Gives a function that tells in which share of the time since its last call this thread's event loop was busy. */
export function busyShare(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/**
 * A message to oneself wakes the loop through a descriptor, as bytes on a socket do, and waits in the same queue of the
 * kernel: it comes after what was there before and before what comes later. A timer would not do: with more than 1,024
 * descriptors ready libuv goes on reading for up to 48 rounds before it sees to its timers.
 */
function echo(received: () => void): LoopEcho {
  const { port1, port2 } = new MessageChannel();
  port2.on("message", received);
  port1.unref();
  port2.unref();
  return { send: () => port1.postMessage(0), close: () => port2.close() };
}
