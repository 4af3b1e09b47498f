import type { LimitBounds, LimitState } from "./next-limit.ts";
import { effectiveLimit, nextLimit } from "./next-limit.ts";
import { RttHistogram, rttBuckets } from "./rtt-histogram.ts";

// Words of the memory, behind the limiter's own; then two float64 and the histogram.
const limitAt = 0;
const closesMsAt = 1;
const closingAt = 2;
const samplesAt = 3;
const droppedAt = 4;
const fullAt = 5;
const inFlightAt = 6;
const phaseAt = 7;
const exactBytes = 32;
const histogramBytes = 64;

/** Shortest window; longer where answers take longer, so that it sees what the limit of the one before did. */
const windowMinMs = 250;
const windowMaxMs = 30_000;
/** In medians of the times of answers. */
const windowRtts = 2;
/** A window with fewer times goes on: a service that is asked seldom keeps its limit. */
const samplesMin = 40;
/** Closing a window takes microseconds: whoever is at it for longer has died. */
const closingMsMax = 1_000;

/**
 * A limit on concurrency that finds itself, in memory that all workers share: all add the times of answers, and the one
 * that finds the window's time over closes it; `nextLimit` decides what it means.
 */
export class AdaptiveLimit {
  readonly #words: Int32Array;
  /** The limit, not rounded, and the baseline; written by who closes a window only. */
  readonly #exact: Float64Array;
  readonly #histogram: RttHistogram;
  readonly #bounds: LimitBounds;

  /** Takes what is known from the memory, within the bounds as they are now. */
  constructor(bounds: LimitBounds, memory: SharedArrayBuffer, byteOffset: number) {
    this.#bounds = bounds;
    this.#words = new Int32Array(memory, byteOffset, exactBytes / 4);
    this.#exact = new Float64Array(memory, byteOffset + exactBytes, 2);
    this.#histogram = new RttHistogram(new Int32Array(memory, byteOffset + histogramBytes, rttBuckets));
  }

  /** How many may be under way now; less than `limit` for moments while the baseline is measured. */
  get effective(): number {
    return this.#clamped(Atomics.load(this.#words, limitAt));
  }

  /** What it has found. */
  get limit(): number {
    return this.#clamped(Math.floor(this.#exact[0] ?? 0));
  }

  /** So many are under way, the one that was just let through included. */
  sawInFlight(inFlight: number): void {
    const words = this.#words;
    for (let most = Atomics.load(words, inFlightAt); most < inFlight;) {
      const found = Atomics.compareExchange(words, inFlightAt, most, inFlight);
      if (found === most) return;
      most = found;
    }
  }

  /** One was refused because of the limit. */
  sawFull(): void {
    if (Atomics.load(this.#words, fullAt) === 0) Atomics.store(this.#words, fullAt, 1);
  }

  /** An answer's head came, or was not waited for any longer. */
  observe(rttMs: number, dropped: boolean, nowMs: number): void {
    const words = this.#words;
    this.#histogram.add(rttMs);
    if (dropped) Atomics.add(words, droppedAt, 1);
    const samples = Atomics.add(words, samplesAt, 1) + 1;
    const now = Math.floor(nowMs) | 0;
    const closesMs = Atomics.load(words, closesMsAt);
    if (closesMs === 0) {
      Atomics.compareExchange(words, closesMsAt, 0, (now + windowMinMs) | 1); // 0 says that there is no window yet
      return;
    }
    if (samples >= samplesMin && isOver(closesMs, now)) this.#tryClose(now);
  }

  #tryClose(now: number): void {
    const words = this.#words;
    const stamp = now | 1;
    const closing = Atomics.load(words, closingAt);
    if (closing !== 0 && Math.abs((stamp - closing) | 0) < closingMsMax) return;
    if (Atomics.compareExchange(words, closingAt, closing, stamp) !== closing) return;
    // Another may have closed it between the look at the time and the exchange.
    if (isOver(Atomics.load(words, closesMsAt), now)) this.#close(now);
    Atomics.compareExchange(words, closingAt, stamp, 0);
  }

  #close(now: number): void {
    const words = this.#words;
    const samples = Atomics.exchange(words, samplesAt, 0);
    const { medianMs, trimmedMeanMs } = this.#histogram.take();
    const window = {
      rttMs: trimmedMeanMs,
      samples,
      dropped: Atomics.exchange(words, droppedAt, 0),
      full: Atomics.exchange(words, fullAt, 0) !== 0,
      inFlight: Atomics.exchange(words, inFlightAt, 0),
    };
    const before: LimitState = {
      limit: this.#exact[0] ?? 0,
      baselineMs: this.#exact[1] ?? 0,
      phase: Atomics.load(words, phaseAt),
    };
    const next = nextLimit(before, window, this.#bounds);
    this.#exact[0] = next.limit;
    this.#exact[1] = next.baselineMs;
    Atomics.store(words, phaseAt, next.phase);
    Atomics.store(words, limitAt, effectiveLimit(next, this.#bounds));
    const lengthMs = Math.min(windowMaxMs, Math.max(windowMinMs, medianMs * windowRtts));
    Atomics.store(words, closesMsAt, (now + lengthMs) | 1);
  }

  /** 0: nothing is known yet. */
  #clamped(limit: number): number {
    const { min, max, initial } = this.#bounds;
    return limit === 0 ? initial : Math.min(max, Math.max(min, limit));
  }
}

function isOver(closesMs: number, now: number): boolean {
  const lateMs = (now - closesMs) | 0;
  // After weeks without a request the difference is negative and large.
  return lateMs >= 0 || lateMs < -windowMaxMs;
}
