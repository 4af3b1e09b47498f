import { exchangeRoundsMax, TimedWord } from "../timed-word.ts";

/** How `take` ended. */
export const noTrial = 0;
export const trialTaken = 1;
/** Taken, and the first of its generation, which came after an open one. */
export const trialsBegun = 2;
/** All are taken, and one has not been heard of for too long: a new generation may begin. */
export const trialsExpired = 3;

/** Bytes: the word of what is left, and that of what has succeeded. */
export const trialsBytes = 12;

const countBits = 10; // up to 1000 trials
const countMask = 2 ** countBits - 1;
const tagShift = 2 * countBits;
const tagMask = 0xff;

/**
 * The trials of a half-open breaker, over all workers: how many may still begin, and how many must still succeed. Both
 * and the generation they are of are one word, so that exactly as many trials begin as there are, and exactly one
 * success is the last. How many there are is decided when the first begins.
 *
 * When all have begun, a trial is waited for until `trialMs` after the last began. Then it is taken for lost, as with
 * a worker that died.
 */
export class Trials {
  /** Bits: trials left, successes needed, tag of the generation. Time: until when answers are waited for. */
  readonly #word: TimedWord;
  /** Successes and slow ones among them, with a tag. */
  readonly #succeeded: Int32Array<SharedArrayBuffer>;
  readonly #isCurrent: (generation: number) => boolean;

  constructor(memory: SharedArrayBuffer, byteOffset: number, isCurrent: (generation: number) => boolean) {
    this.#word = new TimedWord(memory, byteOffset);
    this.#succeeded = new Int32Array(memory, byteOffset + 8, 1);
    this.#isCurrent = isCurrent;
  }

  /** Takes a trial of the generation, of `count` when it is the first. */
  take(generation: number, count: number, nowMs: number, trialMs: number): number {
    const word = this.#word;
    const tag = generation & tagMask;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = word.load();
      if (bits >>> tagShift !== tag) {
        if (!this.#isCurrent(generation)) return noTrial;
        if (!word.exchange(trialBits(tag, count - 1, count), nowMs + trialMs)) continue;
        // Trials that expired began one generation earlier, those before an open time at least two.
        return bits >>> tagShift === ((generation - 1) & tagMask) ? trialTaken : trialsBegun;
      }
      const left = bits & countMask;
      if (left === 0) return word.remainingMs(nowMs) > 0 ? noTrial : trialsExpired;
      if (word.exchange(trialBits(tag, left - 1, neededOf(bits)), nowMs + trialMs)) return trialTaken;
    }
    return noTrial;
  }

  /** Whether `take` would answer `noTrial`. */
  exhausted(generation: number, nowMs: number): boolean {
    const bits = this.#word.load();
    return (
      bits >>> tagShift === (generation & tagMask) && (bits & countMask) === 0 && this.#word.remainingMs(nowMs) > 0
    );
  }

  /** A trial that says nothing: another may take its place. */
  giveBack(generation: number): void {
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#loadCurrent(generation);
      if (
        bits < 0 ||
        this.#word.exchangeBits(trialBits(generation & tagMask, (bits & countMask) + 1, neededOf(bits)))
      ) {
        return;
      }
    }
  }

  /** Notes a success. The one that was the last needed is told the share of slow ones, 0..1; all others -1. */
  succeed(generation: number, slow: boolean): number {
    const counts = this.#countSuccess(generation, slow);
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#loadCurrent(generation);
      if (bits < 0) return -1;
      const needed = neededOf(bits) - 1;
      if (!this.#word.exchangeBits(trialBits(generation & tagMask, bits & countMask, needed))) continue;
      if (needed > 0) return -1;
      const all = counts === 0 ? 0 : Atomics.load(this.#succeeded, 0);
      return (all & countMask) / Math.max(1, neededOf(all & (2 ** tagShift - 1)));
    }
    return -1;
  }

  /** Counted before the success is: who is the last sees all. */
  #countSuccess(generation: number, slow: boolean): number {
    const tag = generation & 0xfff;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const seen = Atomics.load(this.#succeeded, 0);
      const same = seen >>> tagShift === tag;
      if (!same && !this.#isCurrent(generation)) return 0;
      const next = (same ? seen : tag << tagShift) + (1 << countBits) + (slow ? 1 : 0);
      if (Atomics.compareExchange(this.#succeeded, 0, seen, next) === seen) return next;
    }
    return 0;
  }

  /** Bits of the generation's word, or -1 when it has passed. Looked at in this order, an exchange then fails if it passes. */
  #loadCurrent(generation: number): number {
    const bits = this.#word.load();
    return bits >>> tagShift === (generation & tagMask) && this.#isCurrent(generation) ? bits : -1;
  }
}

function trialBits(tag: number, left: number, needed: number): number {
  return (tag << tagShift) | (needed << countBits) | left;
}

function neededOf(bits: number): number {
  return (bits >>> countBits) & countMask;
}
