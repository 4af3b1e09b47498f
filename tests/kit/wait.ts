import { setTimeout as pause } from "node:timers/promises";

/** A promise and its ends. */
export interface Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

export function deferred<T = void>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Rejections are seen by whoever awaits; one that nobody awaits must not end the process.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

export interface WaitOptions {
  /** Longest wait in milliseconds. Generous: it is only reached when the test fails. Default 10 s. */
  readonly deadlineMs?: number;
  /** What is waited for, for the error. */
  readonly what?: string | (() => string);
}

const defaultDeadlineMs = 10_000;

function describe(what: WaitOptions["what"]): string {
  return typeof what === "function" ? what() : (what ?? "a condition");
}

/**
 * Resolves with the first value of `condition` that is neither `undefined` nor `false`. The only place of the tests that
 * polls; for what has no event to wait for (another process's state).
 */
export async function waitFor<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + (options.deadlineMs ?? defaultDeadlineMs);
  for (let stepMs = 2; ; stepMs = Math.min(stepMs * 1.5, 50)) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited in vain for ${describe(options.what)}`);
    await pause(stepMs);
  }
}

/** The promise's value, or an error that says what was waited for when the deadline passes first. */
export async function within<T>(
  promise: Promise<T>,
  what: WaitOptions["what"],
  deadlineMs = defaultDeadlineMs,
): Promise<T> {
  const late = Symbol();
  const abort = new AbortController();
  const timer = pause(deadlineMs, late, { signal: abort.signal }).catch(() => late);
  try {
    const first = await Promise.race([promise, timer]);
    if (first === late) throw new Error(`waited in vain for ${describe(what)}`);
    return first as T; // the timer's only value was excluded above
  } finally {
    abort.abort();
  }
}

/** A bell: `next()` resolves at the next `ring()`. Lets waiting code look again whenever something may have changed. */
export class Bell {
  #next = deferred();

  ring(): void {
    const rung = this.#next;
    this.#next = deferred();
    rung.resolve();
  }

  next(): Promise<void> {
    return this.#next.promise;
  }

  /** Looks at `condition` at once and after each ring until it gives a value. */
  async until<T>(
    condition: () => T | undefined,
    what: WaitOptions["what"],
    deadlineMs = defaultDeadlineMs,
  ): Promise<T> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const next = this.next();
      const value = condition();
      if (value !== undefined) return value;
      await within(next, what, Math.max(1, deadline - performance.now()));
    }
  }
}
