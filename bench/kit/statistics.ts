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
