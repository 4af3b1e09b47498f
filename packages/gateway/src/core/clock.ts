import perfHooks from "node:perf_hooks";

/** Time and chance, passed in so that tests own them. */
export interface Clock {
  /** Monotonic milliseconds, the same base for every thread of the process. For durations and deadlines. */
  now(): number;
  /** Milliseconds since 1970, for log lines and token expiry. */
  wall(): number;
}

/** Uniform in [0, 1). */
export type Random = () => number;

// The global `performance` is a getter that looks itself up on every use; a request asks for the time several times.
const { performance } = perfHooks;

// Each worker thread has its own performance.timeOrigin; hrtime is shared, so limits kept in shared memory agree.
const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export const systemClock: Clock = {
  now: () => origin + performance.now(),
  wall: () => Date.now(),
};

// Seeded by V8 for each thread: workers do not make the same choices.
export const systemRandom: Random = Math.random;
