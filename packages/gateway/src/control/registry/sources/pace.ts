import type { Clock } from "../../../core/clock.ts";

/** Questions that may follow one another at once. */
const burst = 5;
const perMs = 1_000;

/**
 * Keeps a loop that asks whenever it was answered from asking without pause, whatever makes the answers come: one a
 * second, a few at once after quiet times.
 */
export class Pace {
  readonly #clock: Clock;
  /** When all of the burst is available again. */
  #fullMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long to wait before the next question; it counts as asked. */
  next(): number {
    const nowMs = this.#clock.now();
    this.#fullMs = Math.max(this.#fullMs, nowMs) + perMs;
    return Math.max(0, this.#fullMs - nowMs - burst * perMs);
  }
}
