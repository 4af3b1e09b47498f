import type { Key, KeyValue } from "./store/store.ts";

/** The text of a record, or what makes it when it is written: not while somebody waits for what it is a record of. */
export type RecordText = string | (() => string);

/** A stored resource as one text for the disk. What is live is UTF-8, or it would not have been valid. */
export function recordOf({ value, createRevision, modRevision, version, lease }: KeyValue): string {
  return JSON.stringify([createRevision, modRevision, version, lease, value.toString("utf8")]);
}

/** Reads what `recordOf` wrote; its checksum was right. */
export function kvOfRecord(key: Key, record: string): KeyValue {
  const [createRevision, modRevision, version, lease, value] = JSON.parse(record) as [
    number,
    number,
    number,
    string,
    string,
  ]; // written by recordOf alone
  return { key, value: Buffer.from(value, "utf8"), createRevision, modRevision, version, lease };
}

/** What is kept of several keys, each with its name. */
export function recordsOf(kvs: readonly KeyValue[]): readonly [string, string][] {
  return kvs.map((kv) => [kv.key, recordOf(kv)]);
}
