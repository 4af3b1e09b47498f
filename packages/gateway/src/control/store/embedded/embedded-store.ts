import type { Clock, Random } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import { nextTurn } from "../../../core/timers.ts";
import type { Timers } from "../../../core/timers.ts";
import { StoreError } from "../store.ts";
import type { Lease, LeaseState, RangeRequest, RangeResult, Store, StoreFacts, Txn, TxnResult } from "../store.ts";
import type { Watch, WatchListener, WatchRequest } from "../store.ts";
import { checkKey, checkTxn } from "./check-txn.ts";
import { compactionTarget, marksWith } from "./compaction.ts";
import type { Mark } from "./compaction.ts";
import { readHistory } from "./read-history.ts";
import { leaseId, Leases } from "./leases.ts";
import type { LeaseEntry } from "./leases.ts";
import { loadMvcc } from "./load.ts";
import type { Mvcc } from "./mvcc.ts";
import { PendingWrites } from "./pending-writes.ts";
import { readRange } from "./range.ts";
import { refuse } from "./refusals.ts";
import type { Identity, StoreFile } from "./store-file.ts";
import { checkRevision, runTxn } from "./txn.ts";
import { Watcher } from "./watcher.ts";
import type { HistoryPage, HistoryRequest } from "./watcher.ts";

export interface EmbeddedStoreOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly url: string;
  /** Called at the start, and again after the file failed. */
  readonly openFile: () => StoreFile;
  readonly historyRevisionsMin: number;
  readonly historyAgeMsMin: number;
  readonly historyBytesMax: number;
  readonly bytesMax: number;
}

export interface EmbeddedStatus {
  readonly dbBytes: number;
  readonly revision: number;
  /** 0: nothing was ever compacted. */
  readonly compactedRevision: number;
}

/** How often history is looked over. */
const compactionIntervalMs = 10_000;
/** Revisions that one commit forgets: it holds the control thread for a few milliseconds. */
const revisionsPerTrim = 1_000;
/** Pause after the file failed, before it is opened and read again. */
const recoveryDelayMs = 1_000;

/**
 * The store in this process: etcd's model in memory, made durable by a file. Writes of one turn of the event loop are one
 * commit; callers and watchers are told after it. Reads see what is committed and nothing newer, so nothing that anybody
 * saw is lost when the process or the machine dies.
 */
export class EmbeddedStore implements Store {
  readonly facts: StoreFacts;
  readonly identity: Identity;
  readonly #options: EmbeddedStoreOptions;
  readonly #leases: Leases;
  readonly #watchers = new Set<Watcher>();
  readonly #durableListeners = new Set<(revision: number) => void>();
  readonly #stopCompaction: () => void;
  #file: StoreFile;
  #mvcc: Mvcc;
  #durableRevision: number;
  #pending: PendingWrites | undefined;
  #marks: readonly Mark[] = [];
  #trimming = false;
  /** Why nothing can be written until the file was read again. */
  #failure: StoreError | undefined;
  #closed = false;
  #dbBytes = 0;
  #stopRecovery: (() => void) | undefined;

  /** Reads the whole file. Throws a FileError. */
  constructor(options: EmbeddedStoreOptions) {
    const { clock, timers, random } = options;
    this.#options = options;
    this.facts = { kind: "embedded", url: options.url };
    this.#leases = new Leases({ clock, timers, random, expired: (lease) => this.#expire(lease) });
    ({ file: this.#file, mvcc: this.#mvcc } = this.#load());
    this.identity = this.#file.identity;
    this.#durableRevision = this.#mvcc.revision;
    this.#stopCompaction = timers.every(compactionIntervalMs, () => this.#compactByPolicy());
  }

  get status(): EmbeddedStatus {
    const compactedRevision = Math.max(0, this.#mvcc.compactedRevision);
    if (this.#isUsable) this.#dbBytes = this.#file.bytes();
    return { dbBytes: this.#dbBytes, revision: this.#durableRevision, compactedRevision };
  }

  get clusterId(): string {
    return this.identity.clusterId;
  }

  /** The newest that is committed. */
  get revision(): number {
    return this.#durableRevision;
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    return this.rangeNow(request);
  }

  /** Answers at once, of what is committed. */
  rangeNow(request: RangeRequest): RangeResult {
    if (this.#closed) throw closedError();
    checkKey(request.key);
    const revision = this.#durableRevision;
    const wanted = Math.max(0, request.revision ?? 0);
    checkRevision(this.#mvcc, wanted, revision);
    const answer = readRange(this.#mvcc.index, request, wanted === 0 ? revision : wanted);
    return { revision, clusterId: this.clusterId, ...answer };
  }

  async txn(txn: Txn): Promise<TxnResult> {
    if (this.#closed) throw closedError();
    checkTxn(txn);
    // Memory holds writes that failed; a transaction that only reads would see them too.
    if (this.#failure !== undefined) throw this.#failure;
    const { clusterId } = this;
    const admitWrite = (): void => this.#admitWrite();
    const { result, changes } = runTxn(this.#mvcc, txn, { clusterId, bytesMax: this.#options.bytesMax, admitWrite });
    if (changes.length > 0) this.#writes().add(changes);
    // Also one that only read waits: it may have seen writes that are not committed.
    await this.#pending?.committed;
    return result;
  }

  watch(request: WatchRequest, listener: WatchListener): Watch {
    const watcher = new Watcher(this, request, listener, (ended) => this.#watchers.delete(ended));
    this.#watchers.add(watcher);
    return watcher;
  }

  /** Committed revisions from the past on. Throws `compacted`. */
  history(request: HistoryRequest): HistoryPage {
    const oldest = this.#mvcc.compactedRevision;
    if (request.from < oldest) throw refuse("compacted");
    return readHistory(this.#mvcc.history, request, { oldest, newest: this.#durableRevision });
  }

  /** Told after each commit that made a revision; returns how to stop. The listener must not throw. */
  onDurable(listener: (revision: number) => void): () => void {
    this.#durableListeners.add(listener);
    return () => this.#durableListeners.delete(listener);
  }

  async grant(ttlSeconds: number, id = "0"): Promise<Lease> {
    this.#admitWrite();
    const lease = this.#leases.grant(ttlSeconds, id);
    const { id: granted, ttlSeconds: grantedSeconds } = lease;
    this.#writes().leases.set(granted, grantedSeconds);
    await this.#pending?.committed;
    return { id: granted, ttlSeconds: grantedSeconds };
  }

  async keepAlive(id: string): Promise<number> {
    if (this.#closed) throw closedError();
    const lease = this.#leases.get(leaseId(id));
    if (lease === undefined) return 0;
    // Its time can be over before the tick that says so.
    if (this.#leases.isOver(lease) && this.#failure === undefined) {
      this.#end(lease);
      return 0;
    }
    this.#leases.refresh(lease);
    return lease.ttlSeconds;
  }

  async revoke(id: string): Promise<void> {
    this.#admitWrite();
    const lease = this.#leases.get(leaseId(id));
    if (lease === undefined) throw refuse("leaseNotFound");
    this.#end(lease);
    await this.#pending?.committed;
  }

  async lease(id: string): Promise<LeaseState> {
    if (this.#closed) throw closedError();
    const lease = this.#leases.get(leaseId(id));
    if (lease === undefined) return { ttlSeconds: -1, grantedSeconds: 0, keys: [] };
    const ttlSeconds = this.#leases.secondsLeft(lease);
    return { ttlSeconds, grantedSeconds: lease.ttlSeconds, keys: [...lease.keys].sort() };
  }

  /** The ids of all leases. */
  leases(): string[] {
    return [...this.#leases.all()].map(({ id }) => id);
  }

  async compact(revision: number): Promise<void> {
    this.#admitWrite();
    this.#compactTo(revision);
    await this.#pending?.committed;
  }

  /** Commits what is pending and gives the file free. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#commit();
    this.#closed = true;
    this.#stopCompaction();
    this.#stopRecovery?.();
    this.#leases.clear();
    for (const watcher of [...this.#watchers]) watcher.close();
    this.#durableListeners.clear();
    if (this.#failure === undefined) this.#file.close();
  }

  #load(): { file: StoreFile; mvcc: Mvcc } {
    const file = this.#options.openFile();
    try {
      this.#leases.clear();
      const { mvcc, dropped } = loadMvcc(file, this.#leases);
      if (dropped.length > 0) file.commit({ written: [], dropped, leases: new Map() });
      return { file, mvcc };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  get #isUsable(): boolean {
    return !this.#closed && this.#failure === undefined;
  }

  #admitWrite(): void {
    if (this.#closed) throw closedError();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What the commit at the end of this turn writes. */
  #writes(): PendingWrites {
    if (this.#pending === undefined) {
      this.#pending = new PendingWrites();
      // Everything that arrived in one turn has been handled when the next one begins.
      void nextTurn().then(() => this.#commit());
    }
    return this.#pending;
  }

  #commit(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    try {
      this.#file.commit(pending);
    } catch (error) {
      this.#fail(error, pending);
      return;
    }
    this.#durableRevision = this.#mvcc.revision;
    pending.resolve();
    if (pending.written.length > 0) {
      for (const listener of this.#durableListeners) listener(this.#durableRevision);
      for (const watcher of this.#watchers) watcher.wake();
    }
    if (this.#mvcc.history.bytes > this.#options.historyBytesMax) this.#compactByPolicy();
  }

  /**
   * Memory is now ahead of the file, or the file of memory: a commit whose flush failed may be there after all. Reads
   * still see what was committed; for writes the file is read again, after a pause, for a full disk would fail again.
   */
  #fail(error: unknown, pending: PendingWrites): void {
    const { log, timers } = this.#options;
    const failure = this.#file.failureOf(error);
    log.error({ err: error, path: this.#file.path }, `${failure.message} Nothing is written until it was read again.`);
    pending.reject(failure);
    this.#failure = failure;
    try {
      this.#file.close();
    } catch (closing) {
      log.warn({ err: closing }, "The file of the store could not be closed.");
    }
    this.#stopRecovery = timers.after(recoveryDelayMs, () => this.#recover());
  }

  #recover(): void {
    const { log, timers } = this.#options;
    try {
      ({ file: this.#file, mvcc: this.#mvcc } = this.#load());
    } catch (error) {
      log.error({ err: error, path: this.#file.path }, "The store cannot be opened again; another try follows.");
      this.#stopRecovery = timers.after(recoveryDelayMs, () => this.#recover());
      return;
    }
    this.#stopRecovery = undefined;
    this.#failure = undefined;
    this.#marks = [];
    this.#durableRevision = this.#mvcc.revision;
    log.info({ path: this.#file.path, revision: this.#durableRevision }, "The store can be written to again.");
    for (const listener of this.#durableListeners) listener(this.#durableRevision);
    for (const watcher of this.#watchers) watcher.wake();
  }

  #expire(lease: LeaseEntry): void {
    // Reading the file again gives every lease its time again.
    if (this.#failure === undefined) this.#end(lease);
  }

  #end(lease: LeaseEntry): void {
    const transaction = this.#mvcc.begin();
    for (const key of [...lease.keys].sort()) transaction.delete({ key });
    transaction.finish();
    this.#leases.remove(lease);
    const writes = this.#writes();
    writes.add(transaction.changes);
    writes.leases.set(lease.id, undefined);
  }

  #compactTo(revision: number): void {
    this.#mvcc.compact(revision, this.#durableRevision);
    this.#writes().compactedRevision = revision;
    if (!this.#trimming) void this.#trim();
  }

  async #trim(): Promise<void> {
    this.#trimming = true;
    await nextTurn();
    while (this.#isUsable && !this.#mvcc.trimmed) {
      const dropped = this.#mvcc.trim(revisionsPerTrim);
      if (dropped.length > 0) this.#writes().drop(dropped);
      await nextTurn();
    }
    while (this.#isUsable && this.#file.shrink()) await nextTurn();
    this.#trimming = false;
  }

  #compactByPolicy(): void {
    if (!this.#isUsable) return;
    const { historyRevisionsMin: revisionsMin, historyAgeMsMin: ageMinMs, historyBytesMax } = this.#options;
    const nowMs = this.#options.clock.now();
    const revision = this.#durableRevision;
    this.#marks = marksWith(this.#marks, { atMs: nowMs, revision }, ageMinMs);
    const { history } = this.#mvcc;
    // A tenth more than needed, so that not every write from now on is followed by a compaction of its own.
    const revisionWithinLimit = history.bytes > historyBytesMax ? history.revisionWithin(historyBytesMax * 0.9) : 0;
    const marks = this.#marks;
    const target = compactionTarget({ nowMs, revision, marks, revisionsMin, ageMinMs, revisionWithinLimit });
    if (target > this.#mvcc.compactedRevision && target > 1) this.#compactTo(target);
  }
}

function closedError(): StoreError {
  return new StoreError("unreachable", "The store is closed.");
}
