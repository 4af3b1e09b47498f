import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { keyedHash } from "./keyed-hash.ts";
import type { LimiterResult, LimiterState } from "./middleware.ts";

// Layout, in 64-bit words: entries, seed, evictions, 5 spare (a cache line); then one key and one time per entry.
const headerWords = 8;
const entriesAt = 0;
const seedAt = 1;
const evictionsAt = 2;

/** Slots a key may live in, counted from the one its hash names. */
const windowSlots = 16;
/** Rounds of a lost race before a cell is let through unrecorded; never reached in practice, but no loop is endless. */
const roundsMax = 10_000;

// The low two bits of a key word are its state, the rest is the hash of the key.
const empty = 0n; // never used; ends a probe, so no slot becomes empty again
const free = 4n; // used and given back
const pendingBit = 1n; // confirmed (…01) + 1 = pending (…10): claimed, not yet known to be the key's only slot
const retiringBits = 2n; // confirmed (…01) + 2 = retiring (…11): about to be given to another key

/**
 * Makes the memory for a `SharedLimiter`: one for all workers, 16 bytes an entry.
 * `entries` is a power of two, at least 16; plan for twice the keys whose limits are in use at the same time. Where more
 * are, they evict each other (see `SharedLimiter`). `seed` is for tests; without it the hash is unpredictable to clients.
 */
export function createLimiterMemory(entries = 65_536, seed?: bigint): SharedArrayBuffer {
  if (entries < windowSlots || (entries & (entries - 1)) !== 0) {
    throw new RangeError("the number of limiter entries must be a power of two and at least 16");
  }
  const memory = new SharedArrayBuffer((headerWords + 2 * entries) * 8);
  const header = new BigInt64Array(memory, 0, headerWords);
  header[entriesAt] = BigInt(entries);
  header[seedAt] = seed ?? randomBytes(8).readBigInt64LE();
  return memory;
}

/**
 * GCRA over memory shared by all workers: exact, because every cell is one compare-and-exchange on the key's
 * theoretical arrival time; lock-free, so a worker that dies holds nothing up.
 *
 * Open addressing over a window of 16 slots. Entries whose time has passed equal absent ones and are reused. A window
 * full of live entries evicts the one soonest to expire, which gives that key its burst back early; `evictions` counts
 * it. Two workers that insert the same key at once agree on one slot before either takes a cell from it:
 *
 *   a claimed slot is pending; whoever finds a second slot pending for the key keeps the lower one and frees the other;
 *   a slot is confirmed by one exchange, after a look at the whole window that found no other. Cells are only taken
 *   from a confirmed slot. To reuse a slot its key is first marked retiring and its time exchanged from the value seen:
 *   a cell taken meanwhile makes that exchange fail, and a cell to be taken afterwards fails its own.
 *
 * Keys are told apart by 62 bits of a keyed hash. Times are nanoseconds of the monotonic clock all threads share, so
 * that the sustained rate is right to a nanosecond per cell; rounded so that never more than the limit passes.
 */
export class SharedLimiter implements LimiterState {
  readonly #clock: Clock;
  readonly #header: BigInt64Array<SharedArrayBuffer>;
  readonly #keys: BigInt64Array<SharedArrayBuffer>;
  readonly #times: BigInt64Array<SharedArrayBuffer>;
  readonly #mask: number;
  readonly #seedLow: number;
  readonly #seedHigh: number;
  readonly #hash = new Int32Array(2);
  readonly #hashWord = new BigInt64Array(this.#hash.buffer);

  constructor(memory: SharedArrayBuffer, clock: Clock) {
    this.#clock = clock;
    this.#header = new BigInt64Array(memory, 0, headerWords);
    const entries = Number(this.#header[entriesAt]);
    this.#keys = new BigInt64Array(memory, headerWords * 8, entries);
    this.#times = new BigInt64Array(memory, (headerWords + entries) * 8, entries);
    this.#mask = entries - 1;
    const seed = this.#header[seedAt] ?? 0n;
    this.#seedLow = Number(BigInt.asIntN(32, seed));
    this.#seedHigh = Number(BigInt.asIntN(32, seed >> 32n));
  }

  /** Entries overwritten before their time, over all workers since the memory was made. */
  get evictions(): number {
    return Number(Atomics.load(this.#header, evictionsAt));
  }

  take(key: string, incrementUs: number, toleranceUs: number): LimiterResult {
    const increment = Math.max(1, Math.ceil(incrementUs * 1000 - 1e-6));
    // Through the ratio, so that rounding the increment changes the rate by less than a nanosecond and the burst not at all.
    const tolerance = Math.round(increment * (toleranceUs / incrementUs));
    const now = BigInt(Math.round(this.#clock.now() * 1e6));
    keyedHash(key, this.#seedLow, this.#seedHigh, this.#hash);
    const home = (this.#hash[1] ?? 0) & this.#mask;
    this.#hash[0] = ((this.#hash[0] ?? 0) & ~3) | 1; // here, and not on the BigInt, which would allocate two more
    const word = this.#hashWord[0] ?? 0n;

    const keys = this.#keys;
    const times = this.#times;
    for (let round = 0; round < roundsMax; round++) {
      const slot = this.#find(word, home, now);
      if (slot < 0) continue;
      const time = Atomics.load(times, slot);
      // Read after the time: from here a slot given to another key has another time, and the exchange below fails.
      if (Atomics.load(keys, slot) !== word) continue;
      const ahead = time > now ? Number(time - now) : 0;
      const next = ahead + increment;
      if (next > tolerance) return result(false, increment, tolerance, ahead, next);
      if (Atomics.compareExchange(times, slot, time, now + BigInt(next)) === time) {
        return result(true, increment, tolerance, next, next);
      }
    }
    this.#countEviction();
    return result(true, increment, tolerance, increment, increment);
  }

  /** The confirmed slot of a key, inserted if need be; -1 to look again. */
  #find(word: bigint, home: number, now: bigint): number {
    const keys = this.#keys;
    for (let i = 0; i < windowSlots; i++) {
      const slot = (home + i) & this.#mask;
      const seen = Atomics.load(keys, slot);
      if (seen === word) return slot;
      if (seen === empty) break;
    }
    return this.#insert(word, home, now);
  }

  #insert(word: bigint, home: number, now: bigint): number {
    const keys = this.#keys;
    const times = this.#times;
    let vacant = -1;
    let soonest = -1;
    let soonestTime = 0n;
    for (let i = 0; i < windowSlots; i++) {
      const slot = (home + i) & this.#mask;
      const seen = Atomics.load(keys, slot);
      if (seen === word) return slot;
      if (seen === word + retiringBits) {
        // Wanted after all. If the other worker was faster, the next round finds the key gone.
        Atomics.compareExchange(keys, slot, seen, word);
        return -1;
      }
      if (seen === word + pendingBit) return this.#confirm(word, home, slot);
      const state = Number(seen & 3n);
      if (state === 0) {
        if (vacant < 0) vacant = slot;
        if (seen === empty) break;
      } else if (state === 1) {
        const time = Atomics.load(times, slot);
        if (soonest < 0 || time < soonestTime) [soonest, soonestTime] = [slot, time];
      }
    }
    // An expired slot first: the window stays short and a probe for an absent key ends early.
    const expired = soonest >= 0 && soonestTime < now;
    if (!expired && vacant >= 0) {
      const seen = Atomics.load(keys, vacant);
      if ((seen & 3n) !== 0n || Atomics.compareExchange(keys, vacant, seen, word + pendingBit) !== seen) return -1;
      return this.#confirm(word, home, vacant);
    }
    if (soonest < 0) {
      this.#unblock(home);
      return -1;
    }
    if (!this.#claim(soonest, soonestTime, word + pendingBit, now)) return -1;
    if (!expired) this.#countEviction();
    return this.#confirm(word, home, soonest);
  }

  /** Takes a slot from the key that has it, unless that key took a cell since `time` was read. */
  #claim(slot: number, time: bigint, pending: bigint, now: bigint): boolean {
    const keys = this.#keys;
    const owner = Atomics.load(keys, slot);
    if ((owner & 3n) !== 1n) return false;
    const retiring = owner + retiringBits;
    if (Atomics.compareExchange(keys, slot, owner, retiring) !== owner) return false;
    if (Atomics.compareExchange(this.#times, slot, time, now) !== time) {
      Atomics.compareExchange(keys, slot, retiring, owner);
      return false;
    }
    return Atomics.compareExchange(keys, slot, retiring, pending) === retiring;
  }

  /** Makes a pending slot the key's only one, or gives it back. The next round finds what came of it. */
  #confirm(word: bigint, home: number, slot: number): number {
    const keys = this.#keys;
    const pending = word + pendingBit;
    for (let i = 0; i < windowSlots; i++) {
      const other = (home + i) & this.#mask;
      if (other === slot) continue;
      const seen = Atomics.load(keys, other);
      if (seen === empty) break;
      const lower = i < ((slot - home) & this.#mask);
      if (seen === word || seen === word + retiringBits || (seen === pending && lower)) {
        Atomics.compareExchange(keys, slot, pending, free);
        return -1;
      }
      if (seen === pending && Atomics.compareExchange(keys, other, pending, free) !== pending) return -1;
    }
    Atomics.compareExchange(keys, slot, pending, word);
    return -1;
  }

  /** A window held by nothing but half-done steps, of workers that died in them or are at it: undoes them. */
  #unblock(home: number): void {
    for (let i = 0; i < windowSlots; i++) {
      const slot = (home + i) & this.#mask;
      const seen = Atomics.load(this.#keys, slot);
      const state = Number(seen & 3n);
      if (state === 2) Atomics.compareExchange(this.#keys, slot, seen, free);
      if (state === 3) Atomics.compareExchange(this.#keys, slot, seen, seen - retiringBits);
    }
  }

  #countEviction(): void {
    Atomics.add(this.#header, evictionsAt, 1n);
  }
}

function result(allowed: boolean, increment: number, tolerance: number, ahead: number, next: number): LimiterResult {
  return {
    allowed,
    remaining: Math.max(0, Math.floor((tolerance - ahead) / increment)),
    retryAfterUs: allowed ? 0 : (next - tolerance) / 1000,
    resetAfterUs: ahead / 1000,
  };
}
