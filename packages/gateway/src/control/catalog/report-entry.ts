import { formatPath, type Problem } from "@headgate/schema";
import { resourceKey } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import { textOf } from "../store/keys.ts";
import type { Key } from "../store/store.ts";
import { wantedOf, type Entry } from "./entry.ts";

/** A problem of the store's key and revision it comes from; of a file's resource, which its reader places, without. */
export function reportProblem(prefix: Key, entry: Entry, problem: Problem): ReportedProblem {
  const { severity, path, message, hint } = problem;
  const version = wantedOf(entry);
  return {
    severity,
    path: formatPath(path),
    message: entry.live === undefined || severity === "warning" ? message : `${message}; the last good version stays`,
    ...(hint === undefined ? {} : { hint }),
    ...(version?.source === "store"
      ? { key: textOf(resourceKey(prefix, entry.kind, entry.name)), revision: version.revision }
      : {}),
  };
}

/** What is wrong or doubtful in the wanted versions of entries. */
export function reportEntries(prefix: Key, entries: Iterable<Entry>): ReportedProblem[] {
  const reported: ReportedProblem[] = [];
  for (const entry of entries) {
    for (const problem of entry.problems) reported.push(reportProblem(prefix, entry, problem));
  }
  return reported;
}
