/** Reads the table of `strace -c`: system call to number of calls, most frequent first. */
export function parseStrace(table: string): Map<string, number> {
  const counts: [string, number][] = [];
  for (const line of table.split("\n")) {
    // % time, seconds, usecs/call, calls, errors (may be empty), name
    const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w*)$/.exec(line);
    const [, calls, name] = match ?? [];
    if (calls !== undefined && name !== undefined && name !== "total") counts.push([name, Number(calls)]);
  }
  return new Map(counts.sort(([, a], [, b]) => b - a));
}
