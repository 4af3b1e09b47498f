import type { Key, KeyRange } from "../store.ts";
import { History } from "./history.ts";
import { KeyIndex } from "./key-index.ts";
import type { Leases } from "./leases.ts";
import { refuse } from "./refusals.ts";
import type { Row } from "./store-file.ts";
import { costOf, Version, versionAt } from "./version.ts";
import type { VersionFacts } from "./version.ts";

/** etcd's revision of a store into which nothing was written. */
const firstRevision = 1;

/**
 * Every key with its versions, and the history of writes, in memory: etcd's multi-version model. What was compacted is
 * forgotten in steps (`trim`), because a compaction can concern a million revisions.
 */
export class Mvcc {
  readonly index = new KeyIndex();
  readonly leases: Leases;
  history: History;
  revision = firstRevision;
  /** History before this revision is gone. -1: nothing was ever compacted. */
  compactedRevision: number;
  /** Bytes of the newest values and their keys. */
  liveBytes = 0;
  nextRow = 1;
  #trimmedRevision: number;

  constructor(leases: Leases, compactedRevision = -1) {
    this.leases = leases;
    this.compactedRevision = compactedRevision;
    this.#trimmedRevision = compactedRevision;
    this.history = new History(Math.max(compactedRevision, firstRevision + 1));
  }

  /**
   * Puts back the writes of one revision that the file kept; in the order of rows. Returns rows that are not needed any
   * more; undefined: the revision before it is missing.
   */
  restore(revision: number, writes: readonly Row[]): number[] | undefined {
    const inHistory = revision >= this.history.first;
    if (inHistory && revision !== this.history.next) return undefined;
    const dropped: number[] = [];
    const versions: Version[] = [];
    for (const write of writes) {
      const version = this.#add(write.key, { ...write, modRevision: revision });
      this.nextRow = write.row + 1;
      versions.push(version);
      if (!inHistory) this.#leave(version, dropped);
      else if (revision === this.compactedRevision) this.#cut(version, dropped);
    }
    if (inHistory) this.history.append(versions);
    this.revision = revision;
    return dropped;
  }

  begin(): Transaction {
    return new Transaction(this, (key, facts) => this.#add(key, facts));
  }

  /** Makes the history before `revision` unreadable. `newest`: the newest revision that can be compacted. */
  compact(revision: number, newest: number): void {
    if (revision <= this.compactedRevision) throw refuse("compacted");
    if (revision > newest) throw refuse("futureRevision");
    this.compactedRevision = revision;
  }

  get trimmed(): boolean {
    return this.#trimmedRevision >= this.compactedRevision;
  }

  /** Forgets the history of at most so many compacted revisions; returns the rows that the file need not keep. */
  trim(revisionsMax: number): number[] {
    const dropped: number[] = [];
    for (let steps = 0; this.history.first < this.compactedRevision; steps++) {
      if (steps >= revisionsMax) return dropped;
      for (const version of this.history.shift()) this.#leave(version, dropped);
    }
    // Watchers may still begin at the compacted revision itself, so its writes stay; what was before them goes.
    for (const version of this.history.at(this.compactedRevision)) this.#cut(version, dropped);
    this.#trimmedRevision = this.compactedRevision;
    return dropped;
  }

  #add(key: Key, facts: VersionFacts): Version {
    const entry = this.index.open(key);
    const before = entry.newest;
    const version = new Version(entry, facts);
    entry.newest = version;
    const was = before !== undefined && before.version > 0 ? before : undefined;
    const is = version.version > 0;
    this.index.changed(entry, version.modRevision, Number(is) - Number(was !== undefined));
    this.liveBytes += (is ? costOf(key, version.value) : 0) - (was === undefined ? 0 : costOf(key, was.value));
    if (was !== undefined && was.lease !== "0") this.leases.detach(was.lease, key);
    if (is && version.lease !== "0") this.leases.attach(version.lease, key);
    return version;
  }

  /** A version leaves the history: it stays only as the value that its key has. */
  #leave(version: Version, dropped: number[]): void {
    this.#drop(version.previous, dropped);
    version.previous = undefined;
    if (version.version > 0) return;
    dropped.push(version.row);
    if (version.entry.newest === version) this.index.remove(version.entry);
  }

  #cut(version: Version, dropped: number[]): void {
    if (version.previous === undefined || version.previous.modRevision === version.modRevision) return;
    this.#drop(version.previous, dropped);
    version.previous = undefined;
  }

  /** The row of a deletion goes when the deletion leaves the history. */
  #drop(version: Version | undefined, dropped: number[]): void {
    if (version !== undefined && version.version > 0) dropped.push(version.row);
  }
}

/** Writes that get one revision. It sees its own; everything else of it is seen when it is finished. */
export class Transaction {
  readonly changes: Version[] = [];
  readonly #mvcc: Mvcc;
  readonly #add: (key: Key, facts: VersionFacts) => Version;

  constructor(mvcc: Mvcc, add: (key: Key, facts: VersionFacts) => Version) {
    this.#mvcc = mvcc;
    this.#add = add;
  }

  /** That of its writes; before the first one, the newest. */
  get revision(): number {
    return this.#mvcc.revision + (this.changes.length > 0 ? 1 : 0);
  }

  get(key: Key): Version | undefined {
    const entry = this.#mvcc.index.find(key);
    return entry === undefined ? undefined : versionAt(entry, Infinity);
  }

  put(key: Key, value: string, lease: string): void {
    const before = this.get(key);
    this.#write(key, { value, lease, version: (before?.version ?? 0) + 1, createRevision: before?.createRevision });
  }

  /** Returns what was deleted. */
  delete(range: KeyRange): Version[] {
    const deleted: Version[] = [];
    this.#mvcc.index.visit(range, (entry) => {
      const version = versionAt(entry, Infinity);
      if (version !== undefined) deleted.push(version);
      return true;
    });
    for (const { entry } of deleted) {
      this.#write(entry.key, { value: "", lease: "0", version: 0, createRevision: 0 });
    }
    return deleted;
  }

  /** Gives the writes their revision, if there are any. */
  finish(): void {
    if (this.changes.length === 0) return;
    this.#mvcc.revision++;
    this.#mvcc.history.append(this.changes);
  }

  #write(key: Key, facts: Pick<Version, "value" | "lease" | "version"> & { createRevision: number | undefined }): void {
    const modRevision = this.#mvcc.revision + 1;
    const row = this.#mvcc.nextRow++;
    const createRevision = facts.createRevision ?? modRevision;
    this.changes.push(this.#add(key, { ...facts, createRevision, modRevision, row }));
  }
}
