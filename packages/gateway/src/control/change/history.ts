import { changesPrefix, type Kind } from "../layout.ts";
import type { Key, KeyValue } from "../store/store.ts";
import type { Change } from "./change.ts";
import { withoutSecrets } from "./difference.ts";
import { parseRecord, recordsMax, type RecordedChange } from "./record.ts";

export interface HistoryQuery {
  /** Only changes of this kind, and of this name of it. */
  readonly kind?: Kind;
  readonly name?: string;
  /** Default 50; at most all that are kept. */
  readonly limit?: number;
  /** Shows secrets. Default: they are `[redacted]`. */
  readonly secrets?: boolean;
}

const limitDefault = 50;

/** The recorded changes, newest first, of the keys of a prefix. */
export function recordedChanges(prefix: Key, kvs: Iterable<KeyValue>): RecordedChange[] {
  const from = changesPrefix(prefix);
  const records: RecordedChange[] = [];
  for (const kv of kvs) {
    const record = kv.key.startsWith(from) ? parseRecord(prefix, kv) : undefined;
    if (record !== undefined) records.push(record);
  }
  // By revision: the order in which they took effect, whatever the clocks of gateways say.
  return records.sort((a, b) => b.revision - a.revision || (a.id < b.id ? 1 : -1));
}

/** What `history` tells. */
export function tellHistory(changes: readonly RecordedChange[], query: HistoryQuery): Change[] {
  const { kind, name, limit = limitDefault, secrets = false } = query;
  return changes
    .filter(({ writes }) => kind === undefined || writes.some((write) => isOf(write, kind, name)))
    .slice(0, Math.min(Math.max(0, limit), recordsMax))
    .map(({ firstRevision: _, ...change }) => ({
      ...change,
      writes: secrets ? change.writes : change.writes.map(withoutSecrets),
    }));
}

function isOf(write: { readonly kind: Kind; readonly name: string }, kind: Kind, name: string | undefined): boolean {
  return write.kind === kind && (name === undefined || write.name === name);
}
