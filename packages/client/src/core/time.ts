import perfHooks from "node:perf_hooks";

/** Time and chance, passed in so that tests own them. */
export interface Time {
  /** Monotonic milliseconds: a wall clock that is set back must not stretch a lease. */
  now(): number;
  /** Milliseconds since 1970, for time stamps that others read. */
  wall(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Runs `action` once; does not keep the process alive, a registration must not. Returns how to call it off. */
  after(delayMs: number, action: () => void): () => void;
  /** Runs `action` again and again; does not keep the process alive. Returns how to stop it. */
  every(intervalMs: number, action: () => void): () => void;
  /** Resolves after `delayMs` and keeps the process alive until then: a service that drains has nothing else left to. */
  pause(delayMs: number): Promise<void>;
}

// The global `performance` is a getter that looks itself up on every use; hooks ask for the time twice a request.
const { performance } = perfHooks;

/** The process's own clock. */
export const systemTime: Time = {
  now: () => performance.now(),
  wall: () => Date.now(),
  random: Math.random,
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs).unref();
    return () => clearTimeout(timer);
  },
  every(intervalMs, action) {
    const timer = setInterval(action, intervalMs).unref();
    return () => clearInterval(timer);
  },
  pause: (delayMs) => new Promise((resolve) => void setTimeout(resolve, delayMs)),
};
