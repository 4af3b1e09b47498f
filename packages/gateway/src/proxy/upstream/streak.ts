import { exchangeRoundsMax } from "./timed-word.ts";

const countBits = 20;
const countMax = 2 ** countBits - 1;
const tagMask = 0xfff;

/**
 * Failures in a row, over all workers, in one word of shared memory. It belongs to a generation of what it counts for:
 * one of another generation counts as empty, so nobody has to clear it.
 */
export class Streak {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #isCurrent: (generation: number) => boolean;

  /** `isCurrent` says whether a generation is the one that runs. */
  constructor(memory: SharedArrayBuffer, byteOffset: number, isCurrent: (generation: number) => boolean) {
    this.#words = new Int32Array(memory, byteOffset, 1);
    this.#isCurrent = isCurrent;
  }

  /** Notes how a request ended; answers how many in a row have failed. */
  note(generation: number, failed: boolean): number {
    const none = ((generation & tagMask) << countBits) | 0;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const seen = Atomics.load(this.#words, 0);
      if (seen === none && !failed) return 0; // as nearly always
      const same = seen >> countBits === none >> countBits;
      // Checked after the load: if a newer generation takes the word from here on, the exchange fails.
      if (!same && !this.#isCurrent(generation)) return 0;
      const before = same ? seen & countMax : 0;
      const count = failed ? Math.min(before + 1, countMax) : 0;
      if (Atomics.compareExchange(this.#words, 0, seen, none | count) === seen) return count;
    }
    return 0;
  }
}
