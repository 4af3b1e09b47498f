import { serviceCellWords, serviceLayout } from "./memory.ts";

// Words of the part all workers write, at serviceLayout.load.
const retriesAt = 0;
const slotsAt = 1;
/** In parts of a retry, less what is there at first: so memory of zeros is a full reserve. */
const balanceAt = 2;
/** How many exchanges had begun when deposits were last booked. */
const bookedAt = 3;
/** Milliseconds of the clock, modulo 2^32, when the trickle was last looked after; and the exchanges begun by then. */
const trickledMsAt = 4;
const trickledAt = 5;

// Words of a worker's cell. What is under way is the difference of the first two: one write an exchange and end.
const begunCell = 0;
const endedCell = 1;
const retriesCell = 2;
const slotsCell = 3;

/** Retries under way that the share of the live exchanges never forbids (Envoy's `min_retry_concurrency`). */
const retriesAlwaysAllowed = 3;
/** Retries that may come at once before exchanges have paid for them; twice what ejecting one instance takes. */
const reserveRetries = 10;
/** A service with less traffic than pays for it still has this many retries a second. */
const trickleRetriesPerSecond = 1;
/** Of what an exchange pays, up to this share pays back the reserve where that is used up. */
const paybackShareMax = 0.1;
/** Parts of a retry that the balance is kept in. */
const scale = 100_000;
/** Fits into 32 bits. More retries than this at once are refused, whatever the exchanges under way. */
const balanceMax = 20_000 * scale;
/** Sums that two workers read at once differ by less; a more negative difference is a large one that does not fit. */
const raceMax = 1_000_000;
/** Beyond, a difference of the 32-bit clock no longer says what came first, and the pause was a long one. */
const clockWrappedMs = -60_000;

/**
 * What a service carries: exchanges, retries and taken slots of all workers, and the budget for retries, in memory that
 * all workers share. One for each service and worker, for as long as the service is configured: whoever builds a second
 * one with the same `workerId` over the same memory takes the place of a worker that died, and releases what it held.
 *
 * Totals that are a limit are one word, changed by compare-and-exchange, so a limit holds exactly; each worker's share
 * of them is in its cell. Between the two writes there is neither a call nor a loop, where alone a thread can be ended.
 */
export class ServiceLoad {
  readonly #words: Int32Array;
  readonly #own: number;
  readonly #cells: number;

  /** `memory`: ServiceMemory.service, of a gateway with so many workers. */
  constructor(memory: SharedArrayBuffer, workerId: number, workers: number) {
    this.#words = new Int32Array(memory);
    this.#cells = cellAt(workers + 1);
    this.#own = cellAt(workerId);
    const words = this.#words;
    const own = this.#own;
    Atomics.store(words, own + endedCell, Atomics.load(words, own + begunCell));
    Atomics.sub(words, at(retriesAt), Atomics.exchange(words, own + retriesCell, 0));
    Atomics.sub(words, at(slotsAt), Atomics.exchange(words, own + slotsCell, 0));
  }

  /** Exchanges under way at the service, of all workers. */
  get active(): number {
    let sum = 0;
    for (let cell = cellAt(0); cell < this.#cells; cell += serviceCellWords) {
      sum += Atomics.load(this.#words, cell + begunCell) - Atomics.load(this.#words, cell + endedCell);
    }
    return Math.max(0, sum | 0);
  }

  /** Retries and hedges under way, of all workers. */
  get retries(): number {
    return Atomics.load(this.#words, at(retriesAt));
  }

  /** Slots of the limit on concurrency that are taken, of all workers. */
  get slots(): number {
    return Atomics.load(this.#words, at(slotsAt));
  }

  /** An exchange comes to the service: its first attempt pays into the budget. */
  beginExchange(): void {
    Atomics.add(this.#words, this.#own + begunCell, 1);
  }

  /** Once for each `beginExchange`, whatever the end. */
  endExchange(): void {
    Atomics.add(this.#words, this.#own + endedCell, 1);
  }

  /**
   * Whether another attempt may be sent, which then counts until `endRetry`. To be asked when it is sent, not when it is
   * planned. Hedges ask too. `budgetRatio` 0 allows none.
   *
   * Two budgets, of which both must allow it. At any time less than `max(3, ratio × exchanges under way)` retries are
   * under way (Envoy's concurrent budget): so a storm of retries cannot build up while answers are slow. And each
   * exchange pays `ratio` of a retry, each retry costs 1 (Finagle's RetryBudget): so the load on instances that fail all
   * the time stays at 1 + ratio times that of the exchanges, also where so few are under way that the first budget
   * allows all. Ten retries, or `ratio` × the exchanges under way where that is more, are as much as can be saved up;
   * what is used of them is paid back with up to a tenth of the deposits. One retry a second is always earned.
   */
  tryRetry(budgetRatio: number, nowMs: number): boolean {
    if (budgetRatio <= 0) return false;
    const active = this.active;
    const words = this.#words;
    if (!this.#take(at(retriesAt), this.#own + retriesCell, Math.max(retriesAlwaysAllowed, budgetRatio * active))) {
      return false;
    }
    this.#book(budgetRatio, active, nowMs);
    for (;;) {
      const balance = Atomics.load(words, at(balanceAt));
      if (balance + reserveRetries * scale < scale) {
        this.endRetry();
        return false;
      }
      if (Atomics.compareExchange(words, at(balanceAt), balance, balance - scale) === balance) return true;
    }
  }

  /** Once for each `tryRetry` that said yes. */
  endRetry(): void {
    Atomics.sub(this.#words, at(retriesAt), 1);
    Atomics.sub(this.#words, this.#own + retriesCell, 1);
  }

  /** Takes a slot if fewer than `limit` are taken, over all workers. Of a limit on concurrency; see ConcurrencyLimiter. */
  tryTakeSlot(limit: number): boolean {
    return this.#take(at(slotsAt), this.#own + slotsCell, limit);
  }

  /** Once for each `tryTakeSlot` that said yes. */
  freeSlot(): void {
    Atomics.sub(this.#words, at(slotsAt), 1);
    Atomics.sub(this.#words, this.#own + slotsCell, 1);
  }

  /** Counts one more while the total is below `limit`. */
  #take(total: number, own: number, limit: number): boolean {
    const words = this.#words;
    for (let seen = Atomics.load(words, total); seen < limit;) {
      const found = Atomics.compareExchange(words, total, seen, seen + 1);
      if (found === seen) {
        Atomics.add(words, own, 1);
        return true;
      }
      seen = found;
    }
    return false;
  }

  /** Pays in what exchanges of all workers have earned since somebody last asked for a retry. */
  #book(ratio: number, active: number, nowMs: number): void {
    const words = this.#words;
    let begun = 0;
    for (let cell = cellAt(0); cell < this.#cells; cell += serviceCellWords) {
      begun = (begun + Atomics.load(words, cell + begunCell)) | 0;
    }
    // Two that book at once see sums of different age; as each takes the other's for what was booked, nothing is paid
    // twice. After a long pause the difference is read as a positive one.
    const begunBefore = Atomics.exchange(words, at(bookedAt), begun);
    const since = (begun - begunBefore) | 0;
    const earned = (since < -raceMax ? since >>> 0 : since) * ratio;
    const trickled = this.#trickle(ratio, begun, nowMs);
    // With a budget of all there is nothing left to pay back from.
    const payback = paybackShareMax * Math.max(0, 1 - ratio);
    const full = reserveRetries * scale;
    const most = Math.min(balanceMax, Math.max(full, Math.floor(ratio * active * scale)));
    for (;;) {
      const balance = Atomics.load(words, at(balanceAt));
      const has = balance + full;
      const kept = 1 - payback * (1 - Math.min(1, has / full));
      const next = Math.min(most, has + Math.floor(earned * scale * kept));
      const paid = Math.max(next, Math.min(full, next + trickled));
      if (Atomics.compareExchange(words, at(balanceAt), balance, paid - full) === balance) return;
    }
  }

  /** What a service earns beside its exchanges, in parts: so much that together it is one retry a second. */
  #trickle(ratio: number, begun: number, nowMs: number): number {
    const words = this.#words;
    const nowWord = Math.floor(nowMs) | 0;
    const before = Atomics.load(words, at(trickledMsAt));
    const passedMs = (nowWord - before) | 0;
    if (passedMs < 1_000 && passedMs > clockWrappedMs) return 0;
    if (Atomics.compareExchange(words, at(trickledMsAt), before, nowWord) !== before) return 0;
    const exchanges = (begun - Atomics.exchange(words, at(trickledAt), begun)) | 0;
    const dueMs = passedMs < 0 ? 2 ** 31 : passedMs;
    return Math.max(0, Math.floor((dueMs / 1_000) * trickleRetriesPerSecond * scale - exchanges * ratio * scale));
  }
}

/** Slots taken of the service that this is the memory of; for the control thread. */
export function takenSlots(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), at(slotsAt));
}

function at(word: number): number {
  return serviceLayout.load / 4 + word;
}

function cellAt(worker: number): number {
  return serviceLayout.workers / 4 + worker * serviceCellWords;
}
