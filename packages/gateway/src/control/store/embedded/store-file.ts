import type { StoreError } from "../store.ts";
import type { Version } from "./version.ts";

/** What one commit adds and removes; all of it or nothing. */
export interface Batch {
  readonly written: readonly Version[];
  /** Rows of versions that nobody can read any more. */
  readonly dropped: readonly number[];
  /** Leases by id with their seconds; undefined: it ended. */
  readonly leases: ReadonlyMap<string, number | undefined>;
  readonly compactedRevision?: number;
}

export interface Row {
  readonly row: number;
  readonly revision: number;
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  /** 0: a deletion. */
  readonly version: number;
  readonly lease: string;
}

/** Decimal digits of unsigned 64-bit numbers; drawn when the store is made, and never changed. */
export interface Identity {
  readonly clusterId: string;
  readonly memberId: string;
}

/** Where the store survives the process. */
export interface StoreFile {
  readonly path: string;
  readonly identity: Identity;
  readonly compactedRevision: number;
  readonly leases: readonly { readonly id: string; readonly ttlSeconds: number }[];
  /** In the order they were written. Throws a FileError at one that is not what was written. */
  rows(): Iterable<Row>;
  /** When it returns, the batch survives the loss of power. Throws: nothing of it is kept, as far as the disk can tell. */
  commit(batch: Batch): void;
  /** Gives unused space back to the file system, in steps that take milliseconds. False: nothing is left to do. */
  shrink(): boolean;
  /** What it takes on disk, without the log that is yet to be merged into it. */
  bytes(): number;
  /** Why a commit failed, for whoever asked for it: `no-space`, or `unreachable` when it may be there after all. */
  failureOf(error: unknown): StoreError;
  close(): void;
}
