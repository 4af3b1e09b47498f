import type { Random } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";

const firstMs = 100;

/**
 * How long to wait after so many failures in a row: 100 ms doubled up to 2 s (or to `longestMs`), of which the last
 * quarter is chance, so that gateways that lost the same store do not come back to it in step.
 */
export function backoffMs(failures: number, random: Random, longestMs = 2_000): number {
  // A power of many hundred failures is no number any more.
  const fullMs = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 20));
  return fullMs * (0.75 + 0.25 * random());
}

/** Waits that end early, all of them, when their owner stops. */
export class Pauses {
  readonly #timers: Timers;
  readonly #ends = new Set<() => void>();
  #ended = false;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Resolves after `delayMs`, or at `end`. */
  wait(delayMs: number): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#ends.delete(end);
        resolve();
      };
      const cancel = this.#timers.after(delayMs, end);
      this.#ends.add(end);
    });
  }

  end(): void {
    this.#ended = true;
    for (const end of [...this.#ends]) end();
  }
}
