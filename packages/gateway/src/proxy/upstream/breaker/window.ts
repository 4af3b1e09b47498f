import { exchangeRoundsMax, TimedWord } from "../timed-word.ts";

/** Parts of the window; what leaves it leaves a part at a time. */
export const windowBuckets = 10;

// A power of two, and more than the buckets: what a roll prepares is in nobody's use while it is prepared.
const slots = 16;
const slotMask = slots - 1;
const indexBits = 4;

const totalAt = 0;
const failuresAt = 1;
const slowAt = 2;
const counters = 3;
const marksAt = 4; // in words, behind the counters

/** Bytes of a window: the bucket that is filled, three counters, and their values at the beginning of each bucket. */
export const windowBytes = 8 + (marksAt + slots * counters) * 4;

/**
 * Requests, failures and slow answers of the last `windowMs`, over all workers, exactly: ten buckets, and after a time
 * without requests those that have aged are empty, however long it was (Linkerd's unified breaker, success_rate.rs).
 *
 * Nothing is ever set back. Counters only go up, modulo 2^32; when a bucket begins their values are marked, and what
 * the window holds is the value now less the mark of the oldest bucket. So no count is lost or counted twice when
 * workers roll the window at once, and a sum is one subtraction. A roll writes marks first, each by a
 * compare-and-exchange that fails if another has passed by, then moves the window's word. A worker that ends in between
 * leaves marks that the next one writes anew.
 *
 * A window belongs to a generation of its breaker; one of another generation counts as empty. A changed `windowMs` lets
 * the buckets that there are age at the new pace.
 */
export class Window {
  /** As of the last `add`. */
  total = 0;
  failures = 0;
  slow = 0;
  /** Bits: the slot of the bucket that is filled, and the generation + 1 (0: never used). Time: when it began. */
  readonly #word: TimedWord;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #isCurrent: (generation: number) => boolean;

  constructor(memory: SharedArrayBuffer, byteOffset: number, isCurrent: (generation: number) => boolean) {
    this.#word = new TimedWord(memory, byteOffset);
    this.#words = new Int32Array(memory, byteOffset + 8, windowBytes / 4 - 2);
    this.#isCurrent = isCurrent;
  }

  /** Counts one request and sums up the window; false, with nothing counted, when the generation has passed. */
  add(generation: number, failed: boolean, slow: boolean, windowMs: number, nowMs: number): boolean {
    const index = this.#roll(generation, Math.max(1, Math.floor(windowMs / windowBuckets)), nowMs);
    if (index < 0) return false;
    const words = this.#words;
    const oldest = marksAt + ((index + slots + 1 - windowBuckets) & slotMask) * counters;
    // In this order, and marks of the total first: with others at work in between, a share is rather too small, and who
    // comes last sees it right. The other way round a thread that lost the processor here could see more failures than
    // requests.
    Atomics.add(words, totalAt, 1);
    const failures = failed ? Atomics.add(words, failuresAt, 1) + 1 : Atomics.load(words, failuresAt);
    const slowOnes = slow ? Atomics.add(words, slowAt, 1) + 1 : Atomics.load(words, slowAt);
    const total = Atomics.load(words, totalAt);
    this.total = (total - Atomics.load(words, oldest + totalAt)) | 0;
    this.failures = (failures - Atomics.load(words, oldest + failuresAt)) | 0;
    this.slow = (slowOnes - Atomics.load(words, oldest + slowAt)) | 0;
    return true;
  }

  /** The slot of the bucket that `nowMs` is in; -1 when the generation has passed. */
  #roll(generation: number, bucketMs: number, nowMs: number): number {
    const word = this.#word;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = word.load();
      const index = bits & slotMask;
      const same = bits >>> indexBits === generation + 1;
      // Another thread's look at the clock may be a little later than ours: its bucket is ours too.
      const elapsedMs = Math.max(0, -word.remainingMs(nowMs));
      const steps = same ? Math.floor(elapsedMs / bucketMs) : windowBuckets;
      if (steps === 0) return index;
      // Checked after the load: if a newer generation takes the window from here on, the exchange fails.
      if (!same && !this.#isCurrent(generation)) return -1;
      const begun = Math.min(steps, windowBuckets);
      if (!this.#mark(index, begun)) continue;
      const next = (index + begun) & slotMask;
      const startMs = same ? nowMs - (elapsedMs % bucketMs) : nowMs;
      if (word.exchange(next | ((generation + 1) << indexBits), startMs)) return next;
    }
    return -1;
  }

  /** Marks the beginning of the `count` buckets after `index`; false when another has rolled the window meanwhile. */
  #mark(index: number, count: number): boolean {
    for (let counter = 0; counter < counters; counter++) {
      const value = Atomics.load(this.#words, counter);
      for (let step = 1; step <= count; step++) {
        const slot = marksAt + ((index + step) & slotMask) * counters + counter;
        if (!this.#raise(slot, value)) return false;
      }
    }
    return true;
  }

  /** Of several that mark a bucket at once the latest counts: so the total's mark is never later than the others'. */
  #raise(slot: number, value: number): boolean {
    const words = this.#words;
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const before = Atomics.load(words, slot);
      if (!this.#word.unchanged()) return false;
      if (((value - before) | 0) <= 0 || Atomics.compareExchange(words, slot, before, value) === before) return true;
    }
    return false;
  }
}
