import { exchangeRoundsMax, TimedWord } from "../timed-word.ts";

/** Bytes that the count needs. */
export const ejectedCountBytes = 16;

/** How long a count must have been wrong, with nothing changed, before it is put right. */
const doubtMs = 10_000;

const countMask = 0xffff;
const versionShift = 16;
const versionMask = 0xfff;

/** What the count sees of an instance: whether it holds a place among the ejected. */
export interface PlaceHolder {
  readonly outlier: { readonly held: boolean };
}

/**
 * How many of a service's instances are out, over all workers, with a bound that holds at every moment: a place is
 * reserved before an instance is ejected and released after it is back, so the count is never below what is out.
 *
 * It is above it for ever when an ejected instance is removed, or a worker dies between the two. `reconcile` finds that:
 * a count that differs from what the instances say, and that nobody has changed for ten seconds, is wrong.
 */
export class EjectedCount {
  /** Bits: the count, and a version that each change moves. */
  readonly #count: TimedWord;
  /** Bits: the count's bits when it was first found wrong. Time: when that was. */
  readonly #doubt: TimedWord;
  readonly #ratioMax: number;
  readonly #instances: readonly PlaceHolder[];

  /** `byteOffset` is a multiple of 8. */
  constructor(memory: SharedArrayBuffer, byteOffset: number, ratioMax: number, instances: readonly PlaceHolder[]) {
    this.#count = new TimedWord(memory, byteOffset);
    this.#doubt = new TimedWord(memory, byteOffset + 8);
    this.#ratioMax = ratioMax;
    this.#instances = instances;
  }

  /** Takes a place among the ejected, if there is one. */
  reserve(): boolean {
    const count = this.#count;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = count.load();
      if (!this.#allows((bits & countMask) + 1)) return false;
      // A count may be too low for a moment when the list of instances has changed; what they say themselves is not.
      if (!this.#allows(this.#held() + 1)) return false;
      if (count.exchangeBits(changed(bits, (bits & countMask) + 1))) return true;
    }
    return false;
  }

  /** Gives a place back. */
  release(): void {
    const count = this.#count;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = count.load();
      if ((bits & countMask) === 0 || count.exchangeBits(changed(bits, (bits & countMask) - 1))) return;
    }
  }

  /** Puts right a count that has been wrong for long; called now and then. */
  reconcile(nowMs: number): void {
    const bits = this.#count.load();
    const held = this.#held();
    const doubted = this.#doubt.load();
    if (held === (bits & countMask)) {
      // It was wrong while somebody was between the two steps: forget that, by bits that no count has.
      if (doubted === bits) this.#doubt.exchange(changed(bits, countMask), nowMs);
      return;
    }
    if (doubted !== bits) {
      this.#doubt.exchange(bits, nowMs);
      return;
    }
    if (-this.#doubt.remainingMs(nowMs) >= doubtMs) this.#count.exchangeBits(changed(bits, held));
  }

  #allows(ejected: number): boolean {
    return ejected / this.#instances.length <= this.#ratioMax;
  }

  #held(): number {
    let held = 0;
    for (const { outlier } of this.#instances) if (outlier.held) held++;
    return held;
  }
}

function changed(bits: number, count: number): number {
  const version = (bits >>> versionShift) + 1;
  return ((version & versionMask) << versionShift) | (count & countMask);
}
