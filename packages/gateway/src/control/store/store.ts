/**
 * The contract of a store: etcd's data model, held by real etcd (`etcd/`) and by the store in this process
 * (`embedded/`). `store.suite.ts` holds both to it.
 */

/**
 * A key: bytes, one character (U+0000 to U+00FF) for each. JavaScript's comparison of such texts is the byte order of
 * etcd, and they can be keys of a map. `keyOf` and `textOf` in keys.ts translate.
 */
export type Key = string;

export interface KeyValue {
  readonly key: Key;
  readonly value: Buffer;
  /** The revision in which the key came to be; 0 for the previous value of an event that has none. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** Writes since the key came to be, from 1. */
  readonly version: number;
  /** Decimal digits, "0" for none: ids exceed 2^53. */
  readonly lease: string;
}

/** Keys from `key` to before `end`. Without `end` the one key; `end` "\0": everything from `key` on. */
export interface KeyRange {
  readonly key: Key;
  readonly end?: Key;
}

export interface RangeRequest extends KeyRange {
  /** As of this revision. Default: the newest. */
  readonly revision?: number;
  /** 0 or absent: all. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** Default: ascending by key. */
  readonly sort?: { readonly by: "key" | "version" | "create" | "mod" | "value"; readonly descending: boolean };
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export interface RangeResult {
  /** The store's newest revision when it answered. */
  readonly revision: number;
  readonly clusterId: string;
  readonly kvs: readonly KeyValue[];
  /** Whether `limit` left some out. */
  readonly more: boolean;
  /** All keys in the range, whatever `limit` says. */
  readonly count: number;
}

export interface Put {
  readonly key: Key;
  readonly value: Buffer;
  /** Default: none. */
  readonly lease?: string;
  readonly previous?: boolean;
  /** Keeps the value (or the lease) the key has; it must exist. */
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface Delete extends KeyRange {
  readonly previous?: boolean;
}

/** `is`: what must hold between what the store has and the value given. With `end`: for every key of the range. */
export type Compare = KeyRange & { readonly is: "=" | "!=" | "<" | ">" } & (
    | { readonly target: "version" | "create" | "mod"; readonly number: number }
    | { readonly target: "value"; readonly value: Buffer }
    | { readonly target: "lease"; readonly lease: string }
  );

export type Operation =
  | { readonly type: "range"; readonly range: RangeRequest }
  | { readonly type: "put"; readonly put: Put }
  | { readonly type: "delete"; readonly delete: Delete }
  | { readonly type: "txn"; readonly txn: Txn };

/** All writes of a transaction have one revision. At most 128 compares and 128 operations a branch, as etcd's default. */
export interface Txn {
  readonly compare: readonly Compare[];
  readonly then: readonly Operation[];
  readonly otherwise?: readonly Operation[];
}

export type OperationResult =
  | { readonly type: "range"; readonly range: RangeResult }
  | { readonly type: "put"; readonly previous?: KeyValue }
  | { readonly type: "delete"; readonly deleted: number; readonly previous: readonly KeyValue[] }
  | { readonly type: "txn"; readonly txn: TxnResult };

export interface TxnResult {
  /** Whether all compares held. */
  readonly succeeded: boolean;
  /** That of the writes; of a transaction without writes, the newest. */
  readonly revision: number;
  readonly responses: readonly OperationResult[];
}

/** A put, or a deletion: then `kv.value` is empty and `kv.modRevision` the revision of the deletion. */
export interface StoreEvent {
  readonly type: "put" | "delete";
  readonly kv: KeyValue;
  /** With `WatchRequest.previous`, where the key was there before and its history is still known. */
  readonly previous?: KeyValue;
}

export interface WatchRequest extends KeyRange {
  /** The first revision that is wanted; at most the newest and one. A later one: the store went backwards, `replaced`. */
  readonly from: number;
  /** The cluster that `from` belongs to. Another one answering ends the watch with `replaced`. */
  readonly clusterId: string;
  readonly previous?: boolean;
}

/**
 * What a watch tells. It outlives connections: it resumes after the last revision it told, never twice the same, none
 * left out. The functions must not throw.
 */
export interface WatchListener {
  /** Every event of one revision in the range, once; revisions ascend. */
  onRevision(revision: number, events: readonly StoreEvent[]): void;
  /** Everything up to this revision has been told. */
  onProgress(revision: number): void;
  /**
   * It cannot go on and has ended; what was missed is found by listing again. `compacted`: the history it needs is gone.
   * `replaced`: another cluster answers, or the revision went backwards: restored from a backup, or wiped.
   */
  onLost(reason: "compacted" | "replaced"): void;
  /**
   * Whether events can come: after the first try to connect, whenever it changes, and when the reason why not becomes of
   * another kind (unreachable, unauthorized). `reason` is one sentence.
   */
  onConnection(connected: boolean, reason: string): void;
}

export interface Watch {
  close(): void;
}

export interface Lease {
  readonly id: string;
  /** Seconds that were granted; may be more than what was asked for. */
  readonly ttlSeconds: number;
}

export interface LeaseState {
  /** Seconds left; -1: there is no such lease. */
  readonly ttlSeconds: number;
  readonly grantedSeconds: number;
  readonly keys: readonly Key[];
}

/** Where the store is, for status and messages; without passwords. */
export interface StoreFacts {
  readonly kind: "etcd" | "embedded";
  /** `etcd://127.0.0.1:2379/headgate/`, `embedded:./data` */
  readonly url: string;
}

/** Calls reject with a StoreError. */
export interface Store {
  readonly facts: StoreFacts;
  range(request: RangeRequest): Promise<RangeResult>;
  txn(txn: Txn): Promise<TxnResult>;
  /** Never throws: what is wrong is told to the listener, and tried again. */
  watch(request: WatchRequest, listener: WatchListener): Watch;
  /** Default id: one of the store's choice. */
  grant(ttlSeconds: number, id?: string): Promise<Lease>;
  /** Seconds it lives from now; 0: it is lost. */
  keepAlive(id: string): Promise<number>;
  /** Ends it and deletes its keys, in one revision. */
  revoke(id: string): Promise<void>;
  lease(id: string): Promise<LeaseState>;
  /** Forgets history before `revision`. */
  compact(revision: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Why a call failed. `unreachable` (also: no leader, timed out) may have been carried out or not; everything else was
 * not. `compacted`: the revision asked for is no longer known. `future`: it does not exist yet.
 */
export type StoreErrorCode =
  | "unreachable"
  | "unauthorized"
  | "compacted"
  | "future"
  | "lease-not-found"
  | "lease-exists"
  | "too-large"
  | "too-many-operations"
  | "no-space"
  | "invalid";

export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreError";
    this.code = code;
  }
}
