import { bytesOfKey } from "../keys.ts";
import type { Key, KeyValue, StoreEvent } from "../store.ts";
import type { Block } from "./key-index.ts";

/** A key that has, or had, a value. It stays while a version of it is known. */
export class KeyEntry {
  readonly key: Key;
  /** The newest version; a deletion too. Undefined only until the first write, and after compaction removed it. */
  newest: Version | undefined;
  /** Where the index keeps it. */
  block: Block | undefined;

  constructor(key: Key) {
    this.key = key;
  }
}

/**
 * One write of one key. The versions of a key are a list from the newest to the oldest: nearly every read wants the
 * newest, and compaction forgets by cutting the list.
 */
export class Version {
  readonly entry: KeyEntry;
  /** The row in the file. */
  readonly row: number;
  /** Bytes as characters, as keys are: a Buffer costs 100 to 300 bytes beside its content, a text 16. */
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 0: a deletion. */
  readonly version: number;
  readonly lease: string;
  previous: Version | undefined;

  constructor(entry: KeyEntry, facts: VersionFacts) {
    this.entry = entry;
    this.row = facts.row;
    this.value = facts.value;
    this.createRevision = facts.createRevision;
    this.modRevision = facts.modRevision;
    this.version = facts.version;
    this.lease = facts.lease;
    this.previous = entry.newest;
  }
}

/** What the file keeps of a version, beside its key. */
export interface VersionFacts {
  readonly row: number;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

/** What a version takes in memory beside the bytes of key and value; measured with 100,000 keys. */
const versionOverheadBytes = 450;

/** Bytes that a version counts for in the limits of the store. */
export function costOf(key: Key, value: string): number {
  return key.length + value.length + versionOverheadBytes;
}

/** What the key held at a revision; undefined when it was not there. */
export function versionAt(entry: KeyEntry, revision: number): Version | undefined {
  let version = entry.newest;
  while (version !== undefined && version.modRevision > revision) version = version.previous;
  return version === undefined || version.version === 0 ? undefined : version;
}

const nothing = Buffer.alloc(0);

export function keyValueOf(version: Version, keysOnly = false): KeyValue {
  return {
    key: version.entry.key,
    value: keysOnly || version.value === "" ? nothing : bytesOfKey(version.value),
    createRevision: version.createRevision,
    modRevision: version.modRevision,
    version: version.version,
    lease: version.lease,
  };
}

/** `previousFrom`: the oldest revision whose state is known; a previous value older than all of it is not told. */
export function eventOf(version: Version, previousFrom: number): StoreEvent {
  const type = version.version === 0 ? "delete" : "put";
  const kv = keyValueOf(version);
  if (version.modRevision <= previousFrom) return { type, kv };
  let before = version.previous;
  // A transaction can delete and put one key; what was there before is what was there before the transaction.
  while (before !== undefined && before.modRevision === version.modRevision) before = before.previous;
  return before === undefined || before.version === 0 ? { type, kv } : { type, kv, previous: keyValueOf(before) };
}
