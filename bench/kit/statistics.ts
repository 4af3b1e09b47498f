/** The middle value; of an even number the upper of the two. NaN without values. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/**
 * Median of the ratios of values measured in the same round: a shared machine that is slow for one round is slow for
 * both, so it cancels. Rounds that only one side has are left out.
 */
export function pairedRatio(values: readonly number[], base: readonly number[]): number {
  const ratios: number[] = [];
  values.forEach((value, round) => {
    const other = base[round];
    if (other !== undefined) ratios.push(value / other);
  });
  return median(ratios);
}

/** The value that a share of all, 0 to 1, does not exceed: of 200 values the 0.99 quantile is the third largest. NaN without values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? NaN;
}

/** By how much the values grow from one to the next, by least squares. NaN for fewer than two. */
export function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let product = 0;
  let square = 0;
  values.forEach((value, at) => {
    product += (at - middle) * (value - mean);
    square += (at - middle) ** 2;
  });
  return product / square;
}
