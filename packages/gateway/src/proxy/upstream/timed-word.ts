/** What one word holds beside its time. */
export const timedWordBits = 28;
/** Rounds of lost races before an operation gives up; never reached in practice, but no loop is endless. */
export const exchangeRoundsMax = 10_000;

const bitsMask = 2 ** timedWordBits - 1;
// Times are kept modulo 2^36 ms, 2.2 years: enough to tell what is ahead by up to three days from what has long passed.
const spanMs = 2 ** 36;
const aheadMs = 2 ** 28;
const lowTimeValues = 2 ** (32 - timedWordBits);

// Which half of a 64-bit word has its low bits depends on the processor.
const low = new Int32Array(new BigInt64Array([1n]).buffer)[0] === 1 ? 0 : 1;
const high = 1 - low;

// A thread runs one operation at a time, so one place to put a word together is enough for all.
const halvesOfScratch = new Int32Array(2);
const scratch = new BigInt64Array(halvesOfScratch.buffer);

/**
 * 28 bits and a time, in 64 bits of shared memory that change as one, by compare-and-exchange: a state and until when it
 * holds are never seen apart. Only changes pay for 64-bit integers (which JavaScript allocates); readers load the two
 * halves. Time is in whole milliseconds, rounded down. Zeroed memory is bits 0 at time 0.
 *
 * A view remembers what it loaded last, and exchanges against that.
 */
export class TimedWord {
  readonly #halves: Int32Array<SharedArrayBuffer>;
  readonly #whole: BigInt64Array<SharedArrayBuffer>;
  #low = 0;
  #high = 0;

  /** `byteOffset` is a multiple of 8. */
  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#halves = new Int32Array(memory, byteOffset, 2);
    this.#whole = new BigInt64Array(memory, byteOffset, 1);
  }

  /** The bits as they are now; one load. Not remembered. */
  get bits(): number {
    return Atomics.load(this.#halves, low) & bitsMask;
  }

  /** Remembers the word; answers its bits. */
  load(): number {
    const halves = this.#halves;
    let seen = Atomics.load(halves, low);
    for (let round = 0; round < exchangeRoundsMax; round++) {
      this.#high = Atomics.load(halves, high);
      const again = Atomics.load(halves, low);
      if (again === seen) break; // so the high half was of the same word
      seen = again;
    }
    this.#low = seen;
    return seen & bitsMask;
  }

  /** Whether the word is still the one that was loaded. */
  unchanged(): boolean {
    return Atomics.load(this.#halves, low) === this.#low && Atomics.load(this.#halves, high) === this.#high;
  }

  /** Time of the loaded word less `nowMs`: negative when it has passed. Right for up to three days ahead. */
  remainingMs(nowMs: number): number {
    const timeMs = (this.#high >>> 0) * lowTimeValues + (this.#low >>> timedWordBits);
    const ms = timeMs - (nowMs < spanMs ? nowMs : nowMs % spanMs); // a remainder costs as much as all the rest
    if (ms >= aheadMs) return ms - spanMs;
    return ms < aheadMs - spanMs ? ms + spanMs : ms;
  }

  /** Replaces the loaded word; false if it has changed. */
  exchange(bits: number, timeMs: number): boolean {
    const time = Math.floor(timeMs) % spanMs;
    return this.#exchange(bits | ((time % lowTimeValues) << timedWordBits), Math.floor(time / lowTimeValues) | 0);
  }

  /** The same with the time as it was. */
  exchangeBits(bits: number): boolean {
    return this.#exchange(bits | (this.#low & ~bitsMask), this.#high);
  }

  #exchange(nextLow: number, nextHigh: number): boolean {
    const expected = wordOf(this.#low, this.#high);
    return Atomics.compareExchange(this.#whole, 0, expected, wordOf(nextLow, nextHigh)) === expected;
  }
}

function wordOf(lowHalf: number, highHalf: number): bigint {
  halvesOfScratch[low] = lowHalf;
  halvesOfScratch[high] = highHalf;
  return scratch[0] ?? 0n;
}
