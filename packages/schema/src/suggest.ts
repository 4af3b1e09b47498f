/** The candidate that a mistyped word most likely meant, or undefined where none is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  // Long words are texts, not names; the distance of those costs and says nothing.
  if (word.length === 0 || word.length > 64) return undefined;
  const allowed = word.length <= 3 ? 1 : word.length <= 6 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    if (plain(candidate) === plain(word)) return candidate;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    // A word of which nothing is left is no misspelling.
    if (distance < bestDistance && distance < candidate.length) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** "did you mean X?" or undefined; the hint of a problem. */
export function suggestion(word: string, candidates: Iterable<string>): string | undefined {
  const meant = didYouMean(word, candidates);
  return meant === undefined ? undefined : `did you mean ${JSON.stringify(meant)}?`;
}

function plain(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, "");
}

/** Optimal string alignment: insertions, deletions, replacements and swapped neighbours (Damerau 1964). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    [beforePrevious, previous] = [previous, row];
  }
  return previous[b.length] ?? 0;
}
