import { readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Damaged files that are kept for whoever wants to know; the oldest go. */
const keptMax = 3;

/** Renames a damaged file to `<file>.damaged-<n>`; returns the new path. */
export function setAside(path: string): string {
  const name = `${basename(path)}.damaged-`;
  const numbers = readdirSync(dirname(path))
    .filter((entry) => entry.startsWith(name) && /^\d+$/.test(entry.slice(name.length)))
    .map((entry) => Number(entry.slice(name.length)))
    .sort((a, b) => a - b);
  const aside = join(dirname(path), `${name}${(numbers.at(-1) ?? 0) + 1}`);
  renameSync(path, aside);
  // The log of the old file must never be merged into the new one; the index of the log belongs to processes only.
  try {
    renameSync(`${path}-wal`, `${aside}-wal`);
  } catch {
    // There was none.
  }
  rmSync(`${path}-shm`, { force: true });
  for (const number of numbers.slice(0, Math.max(0, numbers.length + 1 - keptMax))) {
    for (const suffix of ["", "-wal", "-shm"])
      rmSync(join(dirname(path), `${name}${number}${suffix}`), { force: true });
  }
  return aside;
}
