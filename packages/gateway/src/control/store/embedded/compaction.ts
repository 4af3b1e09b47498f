/** The newest revision at a time. */
export interface Mark {
  readonly atMs: number;
  readonly revision: number;
}

export interface CompactionState {
  readonly nowMs: number;
  readonly revision: number;
  /** Oldest first. */
  readonly marks: readonly Mark[];
  readonly revisionsMin: number;
  readonly ageMinMs: number;
  /** The oldest revision with which the history stays within its limit of memory. */
  readonly revisionWithinLimit: number;
}

/**
 * The revision to compact to: history keeps the newest `revisionsMin` revisions and those younger than `ageMinMs`, but
 * memory has the last word, for history that grows without end takes the gateway with it.
 */
export function compactionTarget(state: CompactionState): number {
  let old = 0;
  for (const { atMs, revision } of state.marks) if (state.nowMs - atMs >= state.ageMinMs) old = revision;
  const byAge = Math.min(old, state.revision - state.revisionsMin + 1);
  return Math.min(state.revision, Math.max(byAge, state.revisionWithinLimit));
}

/** The marks with a new one, without those that a younger one makes needless. */
export function marksWith(marks: readonly Mark[], mark: Mark, ageMinMs: number): Mark[] {
  const kept = marks.filter((_, index) => {
    const next = marks[index + 1];
    return next === undefined || mark.atMs - next.atMs < ageMinMs;
  });
  return [...kept, mark];
}
