import { instanceCellWords, instanceLayout } from "../memory.ts";

/** How fast the latency of an instance that gets no requests is forgotten. Finagle, Linkerd and Envoy use the same. */
export const decayMs = 10_000;
/** Weight in the latency of an answer that took longer, and of one that did not. After a pause an answer weighs more. */
const slowerShare = 1 / 8;
const fasterShare = 1 / 16;
/** What an instance counts as that has a first request under way and has answered none yet. Source: Linkerd. */
export const unknownLatencyMs = 1_000;
/** What a failure counts as at least. Source: Linkerd's load biaser. */
export const failureLatencyMs = 5_000;
/** Weight of one attempt in the share of attempts that fail. */
const failureShareOfOne = 1 / 8;
/** From this share on failures count as `failureLatencyMs`: four in a row, or a little less than half of all. */
const failuresMax = 0.4;
/** How fast that is forgotten: an instance that is back gets requests again after some half a minute. */
export const penaltyDecayMs = 5_000;
/** Most of a `Retry-After` that is believed. Source: Linkerd's load biaser. */
export const retryAfterMaxMs = 300_000;
/** When, before the end of a `Retry-After`, its penalty begins to be forgotten: little is left at the end. */
const retryAfterFadeMs = 5 * penaltyDecayMs;
/** A failure that took so many times as long as an answer counts as what it took: a timeout. */
const slowFailureFactor = 4;

// Of the instance's memory, in 64-bit words from `instanceLayout.load`.
const latencyAt = 0;
const latencyStampAt = 1;
const quietSinceAt = 2;
const penaltyAt = 3;
const penaltyStampAt = 4;
const failuresAt = 5;
const words = 6;

const activeAt = 0;
const awaitingAt = 1;

/**
 * The load of one instance: what is under way at it, and how long it takes to answer. One view a thread, over memory of
 * all threads: each sees what the others measured. Runs per attempt; a pick calls `latencyMs` and `active` of two.
 *
 * **Latency** is a moving average that slower answers raise faster than others lower it. With no answers it decays, so
 * that an instance that was slow is tried again. It is Finagle's PeakEwma but for one thing: there a slower answer counts
 * in full. So the one request in a hundred that everywhere takes long makes the peaks of a fast instance and of one that
 * is five times slower the same, and the slower one gets its full share. What a peak is for, to notice at once that an
 * instance got slow, is done by what comes on top:
 *
 * - While a request waits for its head it is not decayed. So of an instance that was idle or avoided only one request at
 *   a time finds out how it is now, not a burst. One that never answered counts as slow as a second meanwhile.
 * - While something waits for a head, silence counts: if the instance has not been heard of for longer than its
 *   latency, that is its latency. The oldest waiting request has waited at least as long, since any answer after it
 *   was sent would have ended the silence. So an instance that hangs is avoided after its usual latency.
 * - Failing fast does not look like answering fast. Failures are no observations, and the share of them makes the
 *   latency longer, up to three times. From four in a row on, or with a `Retry-After`, one counts as 5 s at least
 *   (Linkerd's load biaser), and one that took far longer than an answer counts as what it took. Unlike there this is
 *   no part of the EWMA: it is forgotten faster, a `Retry-After` lasts as long as it says, and an answer takes it back.
 *   With a penalty for each failure, one request in a hundred that fails at all instances is enough to leave one
 *   instance at a time with all the traffic.
 *
 * **Counts** are in cells, one for each worker, and summed up by who reads: a worker that takes the place of a dead one
 * sets its cell to nothing. There must be one view for each worker and memory.
 *
 * **Races**: counts are exact. Latencies are read and written by all threads without order: an observation may be lost
 * to one that comes at the same time, or get its time stamp, which is as old. Each is a single 64-bit word.
 */
export class InstanceLoad {
  readonly #times: Float64Array<SharedArrayBuffer>;
  readonly #cells: Int32Array<SharedArrayBuffer>;
  /** Index of this worker's cell. */
  readonly #own: number;

  /** `workers`: how many there are; `workerId` is from 1 to that, 0 the control thread. Empties this worker's cell. */
  constructor(memory: SharedArrayBuffer, workerId: number, workers: number) {
    this.#times = new Float64Array(memory, instanceLayout.load, words);
    this.#cells = new Int32Array(memory, instanceLayout.workers, (workers + 1) * instanceCellWords);
    this.#own = workerId * instanceCellWords;
    Atomics.store(this.#cells, this.#own + activeAt, 0);
    Atomics.store(this.#cells, this.#own + awaitingAt, 0);
  }

  /**
   * An attempt begins: it counts from the pick, also while it waits for a connection. `uploads`: a body is still to come
   * from the client, so that nothing is to be answered before `sent`.
   */
  begin(nowMs: number, uploads = false): void {
    Atomics.add(this.#cells, this.#own + activeAt, 1);
    if (!uploads) this.sent(nowMs);
  }

  /** From here on a head is waited for; once an attempt, of one that uploads at the latest before `observe`. */
  sent(nowMs: number): void {
    // With nothing to be answered silence means nothing; it counts from here.
    if (this.awaiting() === 0) this.#times[quietSinceAt] = nowMs;
    Atomics.add(this.#cells, this.#own + awaitingAt, 1);
  }

  /**
   * A head came that is no failure, once an attempt. `rttMs`: since the request was sent. The head and not the end of
   * the body, so that the size of an answer does not count (Linkerd's PendingUntilFirstData).
   */
  observe(rttMs: number, nowMs: number): void {
    Atomics.sub(this.#cells, this.#own + awaitingAt, 1);
    const times = this.#times;
    times[quietSinceAt] = nowMs;
    times[penaltyAt] = 0;
    times[failuresAt] = (times[failuresAt] as number) * (1 - failureShareOfOne);
    this.#took(rttMs, nowMs);
  }

  /**
   * An attempt failed, with a head that says so (a 5xx, a 429) or without one. `retryAfterMs`: what the instance asked
   * for. `rttMs`: how long it took. Not for a client that went away.
   */
  penalize(retryAfterMs: number | undefined, rttMs: number, nowMs: number): void {
    const times = this.#times;
    times[quietSinceAt] = nowMs;
    const latencyMs = this.latencyMs(nowMs);
    const failures = times[failuresAt] as number;
    times[failuresAt] = failures + (1 - failures) * failureShareOfOne;
    // Nothing good is known of one that never answered: a single failure is enough.
    const counts = times[failuresAt] > failuresMax || retryAfterMs !== undefined || times[latencyAt] === 0;
    if (!counts && rttMs < latencyMs * slowFailureFactor) return;
    const asked = Math.min(retryAfterMs ?? 0, retryAfterMaxMs);
    const heldMs = times[penaltyAt] === 0 ? nowMs : Math.max(nowMs, times[penaltyStampAt] as number);
    times[penaltyAt] = Math.max(asked, counts ? failureLatencyMs : 0, rttMs, latencyMs);
    times[penaltyStampAt] = Math.max(heldMs, nowMs + asked - retryAfterFadeMs);
  }

  /**
   * An attempt was ended while it waited for a head, by the client or because another was faster: the answer would have
   * taken longer. `waitedMs`: since the request was sent. Without this an instance that is always given up on would count
   * as what it was before.
   */
  gaveUp(waitedMs: number, nowMs: number): void {
    if (waitedMs > (this.#times[latencyAt] as number)) this.#took(waitedMs, nowMs);
  }

  /** The attempt is over. `observed`: `observe` was called for it, or neither that nor `sent`. */
  end(observed: boolean): void {
    Atomics.sub(this.#cells, this.#own + activeAt, 1);
    if (!observed) Atomics.sub(this.#cells, this.#own + awaitingAt, 1);
  }

  /** Attempts under way, of all workers. */
  active(): number {
    return this.#sum(activeAt);
  }

  /** Those of them that wait for a head. */
  awaiting(): number {
    return this.#sum(awaitingAt);
  }

  /**
   * How long an answer is expected to take; 0 of an instance that nothing is known of, as long as nothing waits.
   * `active` is for who has it already: adding it up is half of what this costs.
   */
  latencyMs(nowMs: number, active = this.active()): number {
    const times = this.#times;
    const known = times[latencyAt] as number; // inside the array, as are all below
    const penalty = times[penaltyAt] as number;
    let latency = known === 0 ? 0 : known * keptSince(times[latencyStampAt] as number, nowMs, decayMs);
    if (active > 0) {
      const awaiting = this.awaiting() > 0;
      if (known === 0) latency = unknownLatencyMs;
      else if (awaiting) latency = known;
      const silence = nowMs - (times[quietSinceAt] as number);
      if (awaiting && silence > latency) latency = silence;
    }
    const failures = times[failuresAt] as number;
    if (failures > 0) latency /= (1 - Math.min(failures, failuresMax)) ** 2;
    if (penalty === 0) return latency;
    return Math.max(latency, penalty * keptSince(times[penaltyStampAt] as number, nowMs, penaltyDecayMs));
  }

  /** What one more request costs here: the latency for each one under way and the new one. */
  cost(nowMs: number): number {
    const active = this.active();
    return this.latencyMs(nowMs, active) * (active + 1);
  }

  #took(ms: number, nowMs: number): void {
    const times = this.#times;
    const known = times[latencyAt] as number;
    if (known === 0) times[latencyAt] = Math.max(ms, Number.MIN_VALUE);
    else {
      const forgotten = 1 - keptSince(times[latencyStampAt] as number, nowMs, decayMs);
      const share = Math.max(ms > known ? slowerShare : fasterShare, forgotten);
      times[latencyAt] = known + (ms - known) * share;
    }
    times[latencyStampAt] = nowMs;
  }

  #sum(at: number): number {
    const cells = this.#cells;
    let sum = 0;
    for (let i = at; i < cells.length; i += instanceCellWords) sum += Atomics.load(cells, i);
    return sum;
  }
}

/** The share of a value that is left of it after the time since `stampMs`. */
function keptSince(stampMs: number, nowMs: number, overMs: number): number {
  // A stamp may be of the future: another thread read the clock a little later, or nothing is to be forgotten yet.
  return nowMs > stampMs ? Math.exp((stampMs - nowMs) / overMs) : 1;
}
