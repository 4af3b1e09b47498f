import type { Clock, Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import { compareCopy, type Comparison } from "./replica/compare-copy.ts";
import { Copy, isEmpty, type Difference } from "./replica/copy.ts";
import { Following } from "./replica/follow-watch.ts";
import { listPrefix, type Listed } from "./replica/list-prefix.ts";
import { backoffMs, Pauses } from "./replica/pause.ts";
import { StoreError, type Key, type KeyValue, type Store } from "./store/store.ts";

/** What changed under the prefix: all of one revision, or what a list had other than the copy. */
export interface ReplicaChange {
  /** What the copy is as of, with this change. */
  readonly revision: number;
  /** Keys that are new or have another value, version or lease. */
  readonly set: readonly KeyValue[];
  /** Keys that were there. */
  readonly deleted: readonly Key[];
  /** When it was seen, monotonic milliseconds. */
  readonly seenMs: number;
  /** `drift`: the watch had not told it, and a comparison found it. */
  readonly cause: "list" | "watch" | "drift";
}

export interface ReplicaState {
  /** Whether changes arrive: the store answers and the watch is connected. */
  readonly connected: boolean;
  /** Why, in one sentence. */
  readonly reason: string;
  /** Whether the prefix was listed and applied at least once since the start. */
  readonly synced: boolean;
  /** Since when `connected` is what it is. */
  readonly sinceWallMs: number;
}

export interface ReplicatorOptions {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** What was known when the last process ended. */
  readonly initial?: { readonly revision: number; readonly clusterId: string; readonly kvs: readonly KeyValue[] };
  /** Keys that count for "most of the configuration". */
  readonly counts: (key: Key) => boolean;
  /** Runs in the turn in which the store told it, with the copy already changed. Must not throw. */
  readonly onChange: (change: ReplicaChange) => void;
  readonly onState: (state: ReplicaState) => void;
  /** Keys that differed though the watch had told everything. */
  readonly onDrift?: (count: number) => void;
  /** Keys of the first page of a list; later pages follow the size of the values. Default: 500. */
  readonly pageKeys?: number;
  /** Between comparisons with the store, give or take a tenth. Default: 60 s. */
  readonly antiEntropyMs?: number;
  /** Before a list that lacks most of the configuration is asked for again. Default: 1 s. */
  readonly secondLookMs?: number;
}

interface Waiter {
  readonly revision: number;
  readonly settle: (reached: boolean) => void;
}

/** A list that lacks fewer keys is believed at once. */
const heldKeysMin = 2;
/** Looks at a store that lacks most of the configuration, and something else each time, before it is believed. */
const looksMax = 10;
/** A watch that is lost sooner after its list counts as a failure; repeated ones are paused between. */
const shortRoundMs = 5_000;
/** After a lost connection is back, until the copy is compared. Short of the time in which clients expect the truth. */
const returnedMs = 500;
/** For the watch to tell the revision of a list: two of its requests for progress, and some. */
const comparisonWaitMs = 30_000;
/** Callers of `caughtUp` that wait; a further one is told false at once. */
const waitersMax = 10_000;

/**
 * Keeps a copy of one prefix of a store and tells each change of it, in the order of revisions: lists at a revision,
 * watches from the next one, and lists again whenever the watch cannot go on, telling only what differs.
 */
export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #copy: Copy;
  readonly #pauses: Pauses;
  readonly #waiters = new Set<Waiter>();
  #state: ReplicaState;
  #following: Following | undefined;
  #cancelComparison: (() => void) | undefined;
  #comparing = false;
  /** The connection was lost and is back, and no comparison was made since. */
  #returned = false;
  #started = false;
  #stopped = false;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
    this.#pauses = new Pauses(options.timers);
    this.#copy = new Copy(options.counts);
    const { initial, store, clock } = options;
    if (initial !== undefined) {
      this.#copy.take({ set: initial.kvs, deleted: [] }, initial.revision);
      this.#copy.clusterId = initial.clusterId;
    }
    const reason = `Connecting to ${store.facts.url}.`;
    this.#state = { connected: false, reason, synced: false, sinceWallMs: clock.wall() };
  }

  get kvs(): ReadonlyMap<Key, KeyValue> {
    return this.#copy.kvs;
  }

  /** Everything up to here was told; 0 before the first list. Goes back when the store was replaced. */
  get revision(): number {
    return this.#copy.revision;
  }

  /** Empty before the first list. */
  get clusterId(): string {
    return this.#copy.clusterId;
  }

  get state(): ReplicaState {
    return this.#state;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#run();
    this.#armComparison();
  }

  /** Ends it for good: nothing is told afterwards. The copy stays readable. */
  stop(): void {
    this.#stopped = true;
    this.#cancelComparison?.();
    this.#following?.end("Stopped.");
    this.#pauses.end();
    for (const waiter of [...this.#waiters]) waiter.settle(false);
  }

  /** Resolves when everything up to this revision of the store was told; false when it was not in time. */
  caughtUp(revision: number, timeoutMs: number): Promise<boolean> {
    if (this.#copy.revision >= revision) return Promise.resolve(true);
    if (this.#stopped || this.#waiters.size >= waitersMax) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (reached: boolean): void => {
        cancel();
        this.#waiters.delete(waiter);
        resolve(reached);
      };
      const waiter = { revision, settle };
      const cancel = this.#options.timers.after(timeoutMs, () => settle(false));
      this.#waiters.add(waiter);
    });
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    let shortRounds = 0;
    for (;;) {
      const startedMs = clock.now();
      const listed = await this.#listSurely();
      if (listed === undefined) return;
      this.#take(listed);
      const reason = await this.#follow();
      if (this.#stopped) return;
      this.#options.log.info({ revision: this.#copy.revision }, `${reason} Listing ${this.#url} again.`);
      shortRounds = clock.now() - startedMs < shortRoundMs ? shortRounds + 1 : 0;
      // One loss is ordinary and costs no time; a store that loses every watch must not be listed without pause.
      if (shortRounds > 1) await this.#pauses.wait(backoffMs(shortRounds - 2, random));
    }
  }

  get #url(): string {
    return this.#options.store.facts.url;
  }

  /**
   * A list to be believed. One that lacks most of what is known is in doubt, and so is all that follows until two in a
   * row lack the same, or nothing: a store that is being filled again has less than half of it missing at some time.
   */
  async #listSurely(): Promise<Listed | undefined> {
    const { log, secondLookMs = 1_000 } = this.#options;
    let before: ReadonlySet<Key> | undefined;
    for (let looks = 1; ; looks++) {
      const listed = await this.#listUntilAnswered();
      if (listed === undefined) return undefined;
      const lost = this.#copy.lossOf(this.#copy.differenceTo(listed.kvs));
      if (before === undefined && !this.#copy.isMost(lost.size, heldKeysMin)) return listed;
      if (lost.size === 0) {
        log.warn({ revision: listed.revision }, "A later look finds the whole configuration; nothing is deleted.");
        return listed;
      }
      const facts = { revision: listed.revision, keys: lost.size, of: this.#copy.counted };
      const what = `${lost.size} of ${this.#copy.counted} resources are not in ${this.#url}`;
      if ((before !== undefined && sameKeys(before, lost)) || looks >= looksMax) {
        log.warn(facts, `${what}, says a second look too; they are deleted.`);
        return listed;
      }
      before = lost;
      log.warn(facts, `${what} at revision ${listed.revision}; what is known is kept until a second look.`);
      this.#tell(false, `${what}; what is known is kept until a second look says the same.`);
      await this.#pauses.wait(secondLookMs);
    }
  }

  async #listUntilAnswered(): Promise<Listed | undefined> {
    const { log, random } = this.#options;
    for (let failures = 0; !this.#stopped; failures++) {
      try {
        const listed = await this.#list(false, () => !this.#stopped);
        if (failures > 0 && listed !== undefined) log.info({ failures }, `${this.#url} answers again.`);
        return listed;
      } catch (error) {
        const reason = `${this.#url} cannot be read (${messageOf(error)}); trying again.`;
        if (failures === 0) log.warn({ err: error }, reason);
        this.#tell(false, reason);
        await this.#pauses.wait(backoffMs(failures, random));
      }
    }
    return undefined;
  }

  #list(keysOnly: boolean, wanted: () => boolean): Promise<Listed | undefined> {
    const { store, prefix, pageKeys = 500 } = this.#options;
    return listPrefix({ store, prefix, pageKeys, keysOnly, wanted });
  }

  #take(listed: Listed): void {
    const known = this.#copy.clusterId;
    if (known !== "" && (listed.clusterId !== known || listed.revision < this.#copy.revision)) {
      const facts = { revision: listed.revision, before: this.#copy.revision };
      this.#options.log.warn(facts, `${this.#url} was replaced or restored; its revision is ${listed.revision} now.`);
    }
    const difference = this.#copy.differenceTo(listed.kvs);
    this.#copy.clusterId = listed.clusterId;
    this.#change(difference, listed.revision, this.#options.clock.now(), "list");
    this.#tell(this.#state.connected, this.#state.reason, true);
  }

  /** Resolves with the reason when the watch is over. */
  #follow(): Promise<string> {
    const { store, prefix, clock, timers, random, log } = this.#options;
    const { promise, resolve } = Promise.withResolvers<string>();
    let met = false;
    const following: Following = new Following({
      ...{ store, prefix, clock, timers, random, log, copy: this.#copy },
      list: () => this.#list(true, () => !following.ended),
      onRevision: (revision, difference, seenMs) => this.#change(difference, revision, seenMs, "watch"),
      onProgress: (revision) => this.#reach(revision),
      onConnection: (connected, reason) => {
        this.#tell(connected, reason);
        if (connected && met) this.#compareSoon();
        met ||= connected;
      },
      onEnd: resolve,
    });
    this.#following = following;
    return promise;
  }

  #change(difference: Difference, revision: number, seenMs: number, cause: ReplicaChange["cause"]): void {
    this.#copy.take(difference, revision);
    if (!isEmpty(difference)) this.#options.onChange({ revision, ...difference, seenMs, cause });
    this.#reach(revision);
  }

  #reach(revision: number): void {
    // Progress may repeat what was told; after a list of a replaced store the copy is already there.
    this.#copy.revision = Math.max(this.#copy.revision, revision);
    for (const waiter of [...this.#waiters]) {
      if (waiter.revision <= this.#copy.revision) waiter.settle(true);
    }
  }

  #tell(connected: boolean, reason: string, synced = this.#state.synced): void {
    const before = this.#state;
    if (this.#stopped) return;
    if (before.connected === connected && before.reason === reason && before.synced === synced) return;
    const sinceWallMs = before.connected === connected ? before.sinceWallMs : this.#options.clock.wall();
    this.#state = { connected, reason, synced, sinceWallMs };
    this.#options.onState(this.#state);
  }

  /**
   * A store that was restored from a backup while it was away, and has been written past what is known since, goes on
   * with the watch as if nothing had happened: revisions, and where it was restored under its old name the cluster's id
   * too, are in order.
   */
  #compareSoon(): void {
    this.#returned = true;
    this.#armComparison();
  }

  #armComparison(): void {
    const { timers, random, antiEntropyMs = 60_000 } = this.#options;
    if (this.#stopped || this.#comparing) return;
    this.#cancelComparison?.();
    const afterMs = this.#returned ? returnedMs : antiEntropyMs;
    // Chance keeps gateways that started together from asking together.
    this.#cancelComparison = timers.after(afterMs * (0.9 + 0.2 * random()), () => {
      this.#comparing = true;
      void this.#compare().finally(() => {
        this.#comparing = false;
        this.#armComparison();
      });
    });
  }

  async #compare(): Promise<void> {
    const { store, log } = this.#options;
    const following = this.#following;
    const history = this.#returned;
    this.#returned = false;
    if (following === undefined || following.ended || following.holding || !this.#state.connected) return;
    const wanted = (): boolean => !following.ended && !following.holding;
    try {
      const comparison = await compareCopy({
        store,
        copy: this.#copy,
        history,
        list: () => this.#list(!history, wanted),
        reached: (revision) => this.caughtUp(revision, comparisonWaitMs),
        wanted,
        heal: (difference) => this.#heal(difference),
      });
      const reason = listAgain[comparison];
      if (reason !== undefined) following.end(reason);
    } catch (error) {
      this.#returned = history;
      log.debug({ err: error }, "The comparison with the store failed; the next one follows.");
    }
  }

  #heal(difference: Difference): void {
    const count = difference.set.length + difference.deleted.length;
    if (count === 0) return;
    this.#options.log.warn(
      { count },
      `${count} keys differed from ${this.#url} though it had told of no change; corrected.`,
    );
    this.#change(difference, this.#copy.revision, this.#options.clock.now(), "drift");
    this.#options.onDrift?.(count);
  }
}

/** What a comparison cannot put right, a list can: with its second look, and from a watch that begins anew. */
const listAgain: Readonly<Record<Comparison, string | undefined>> = {
  same: undefined,
  healed: undefined,
  unwanted: undefined,
  behind: "The watch has not told for 30 seconds what the store has.",
  loss: "Most of the configuration is not in the store.",
  replaced: "The store was replaced or restored: its history is another one.",
};

function sameKeys(a: ReadonlySet<Key>, b: ReadonlySet<Key>): boolean {
  return a.size === b.size && [...a].every((key) => b.has(key));
}

function messageOf(error: unknown): string {
  if (error instanceof StoreError) return error.message.replace(/\.$/, "");
  return error instanceof Error ? error.message : String(error);
}
