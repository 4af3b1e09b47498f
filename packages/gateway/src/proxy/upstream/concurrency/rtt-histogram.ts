/** Buckets of a histogram: sixteen for each power of two of microseconds, so none is wider than a sixteenth. */
export const rttBuckets = 400;

const perOctave = 16;
/** The last bucket's end, about four and a half minutes; what takes longer is counted there. */
const maxUs = 2 ** 28 - 1;

/** What a histogram said of the times in it. */
export interface RttSummary {
  readonly count: number;
  readonly medianMs: number;
  /** Mean of all but the slowest tenth: as steady as a mean, and a few stragglers do not move it. */
  readonly trimmedMeanMs: number;
}

const trimmedShare = 0.9;

/**
 * Times in memory that all workers share: a log-linear histogram of fixed size (after HdrHistogram), one atomic addition
 * a time. Its figures are right to 3 %.
 */
export class RttHistogram {
  readonly #buckets: Int32Array;

  /** `buckets`: `rttBuckets` words of shared memory. */
  constructor(buckets: Int32Array) {
    this.#buckets = buckets;
  }

  add(rttMs: number): void {
    Atomics.add(this.#buckets, bucketOf(rttMs), 1);
  }

  /** Empties it. What is added meanwhile is in this summary or stays for the next. */
  take(): RttSummary {
    const counts = new Float64Array(rttBuckets);
    let count = 0;
    for (let i = 0; i < rttBuckets; i++) {
      if (Atomics.load(this.#buckets, i) === 0) continue;
      const taken = Atomics.exchange(this.#buckets, i, 0);
      counts[i] = taken;
      count += taken;
    }
    return summary(counts, count);
  }
}

function summary(counts: Float64Array, count: number): RttSummary {
  const trimmed = Math.max(1, Math.floor(count * trimmedShare));
  let seen = 0;
  let sum = 0;
  let medianMs = 0;
  for (let i = 0; i < rttBuckets && seen < trimmed; i++) {
    const here = Math.min(counts[i] ?? 0, trimmed - seen);
    if (here === 0) continue;
    const ms = middleMs(i);
    if (seen < count / 2) medianMs = ms;
    seen += here;
    sum += here * ms;
  }
  return { count, medianMs, trimmedMeanMs: count === 0 ? 0 : sum / trimmed };
}

function bucketOf(rttMs: number): number {
  const us = Math.min(maxUs, Math.max(0, Math.floor(rttMs * 1000)));
  if (us < perOctave) return us;
  const shift = 27 - Math.clz32(us);
  return (shift + 1) * perOctave + ((us >> shift) & (perOctave - 1));
}

function middleMs(bucket: number): number {
  if (bucket < perOctave) return (bucket + 0.5) / 1000;
  const width = 2 ** (Math.floor(bucket / perOctave) - 1);
  return (perOctave + (bucket % perOctave) + 0.5) * (width / 1000);
}
