import { inRange } from "../keys.ts";
import type { StoreEvent } from "../store.ts";
import type { History } from "./history.ts";
import { eventOf } from "./version.ts";
import type { HistoryPage, HistoryRequest } from "./watcher.ts";

/** Writes that are looked at for one page: a watcher of few keys among many does not hold the thread. */
const writesPerPageMax = 20_000;
/** Values of a page; the revision that passes it is the last one, whole. */
const pageBytesMax = 16 * 1_048_576;

export interface KnownHistory {
  /** The state before it is not known: events of this revision come without what was there before. */
  readonly oldest: number;
  readonly newest: number;
}

/** The next page of a history: whole revisions, in order. */
export function readHistory(history: History, request: HistoryRequest, { oldest, newest }: KnownHistory): HistoryPage {
  const { revisionsMax, previous = false } = request;
  const revisions: { revision: number; events: StoreEvent[] }[] = [];
  let writes = 0;
  let bytes = 0;
  let next = Math.max(request.from, history.first);
  while (next <= newest && revisions.length < revisionsMax && writes < writesPerPageMax && bytes < pageBytesMax) {
    const events: StoreEvent[] = [];
    const versions = history.at(next);
    writes += versions.length;
    for (const version of versions) {
      if (!inRange(request, version.entry.key)) continue;
      const event = eventOf(version, previous ? oldest : Infinity);
      bytes += event.kv.value.length + (event.previous?.value.length ?? 0);
      events.push(event);
    }
    if (events.length > 0) revisions.push({ revision: next, events });
    next++;
  }
  return { revisions, next };
}
