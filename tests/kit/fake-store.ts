import { inRange, keyOf, prefixRange } from "../../packages/gateway/src/control/store/keys.ts";
import { StoreError } from "../../packages/gateway/src/control/store/store.ts";
import type {
  Key,
  KeyValue,
  Lease,
  LeaseState,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResult,
  Store,
  StoreEvent,
  Txn,
  TxnResult,
  Watch,
  WatchListener,
  WatchRequest,
} from "../../packages/gateway/src/control/store/store.ts";
import type { FakeClock } from "./clock.ts";
import { Versions, holds, type Version } from "./fake-versions.ts";

/** What a store is at one time; `restore` brings it back. */
export interface Backup {
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
}

interface FakeWatch {
  readonly request: WatchRequest;
  readonly listener: WatchListener;
  next: number;
  connected: boolean;
}

interface FakeLease {
  readonly grantedSeconds: number;
  readonly keys: Set<Key>;
  expiresMs: number;
  timer: number | undefined;
}

/**
 * A store in memory that misbehaves when told. Calls answer in a later microtask; watchers are told in the same turn as
 * the write, unless held back. Leases expire only where a clock is given.
 */
export class FakeStore implements Store {
  readonly facts = { kind: "etcd", url: "etcd://fake:2379/headgate/" } as const;
  clusterId = "7001";
  /** Every range that was asked for. */
  readonly ranges: RangeRequest[] = [];
  /** Runs before each range is answered: may write, compact, throw, or wait. */
  beforeRange: ((request: RangeRequest) => void | Promise<void>) | undefined;
  /** While set, every call is refused with it. */
  failing: StoreError | undefined;
  /** While true, events stay on their way: nothing is told and nothing is lost. */
  lagging = false;
  /** While true, revisions are told to nobody, ever: the store's own defect that anti-entropy is for. */
  losing = false;
  readonly #clock: FakeClock | undefined;
  #versions = new Versions();
  #history: { readonly revision: number; readonly events: readonly StoreEvent[] }[] = [];
  #revision = 1;
  #compacted = 0;
  #cut = false;
  readonly #watches = new Set<FakeWatch>();
  readonly #leases = new Map<string, FakeLease>();
  #granted = 0;

  constructor(clock?: FakeClock) {
    this.#clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Watches that are open. */
  get watches(): number {
    return this.#watches.size;
  }

  /** What it holds under a prefix, as of a revision. */
  contents(prefix = "", revision = this.#revision): Map<Key, KeyValue> {
    return new Map(this.#versions.at(prefixRange(keyOf(prefix)), revision).map((kv) => [kv.key, kv]));
  }

  put(key: string, value: string, lease = "0"): number {
    return this.commit([{ type: "put", put: { key: keyOf(key), value: Buffer.from(value), lease } }]).revision;
  }

  delete(key: string): number {
    return this.commit([{ type: "delete", delete: { key: keyOf(key) } }]).revision;
  }

  /** One transaction, now. */
  commit(then: readonly Operation[]): TxnResult {
    return this.#transact({ compare: [], then });
  }

  /** The connection breaks: calls are refused, watches tell so and resume at `mend`. */
  cut(): void {
    this.#cut = true;
    for (const watch of this.#watches) this.#disconnect(watch);
  }

  mend(): void {
    this.#cut = false;
    this.#pump();
  }

  /** Tells what `lagging` held back. */
  pump(): void {
    this.lagging = false;
    this.#pump();
  }

  /** Tells every watch that it is up to date. */
  progress(): void {
    for (const watch of [...this.#watches]) {
      if (watch.connected && !this.lagging) watch.listener.onProgress(this.#revision);
    }
  }

  compactNow(revision = this.#revision): void {
    this.#compacted = Math.max(this.#compacted, revision);
  }

  backup(): Backup {
    return { revision: this.#revision, kvs: [...this.contents().values()] };
  }

  /** Another history takes over, as after a restore or a wipe; watches notice when they connect again. */
  restore(backup: Backup, clusterId = this.clusterId): void {
    const connected = !this.#cut;
    this.cut();
    this.clusterId = clusterId;
    this.#revision = backup.revision;
    this.#compacted = backup.revision;
    this.#history = [];
    this.#versions = new Versions(backup.kvs);
    if (connected) this.mend();
  }

  /** Ends a lease as if its time were over. */
  expire(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    this.#clock?.clearTimeout(lease.timer);
    this.commit([...lease.keys].map((key) => ({ type: "delete", delete: { key } })));
  }

  get leases(): readonly string[] {
    return [...this.#leases.keys()];
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.ranges.push(request);
    await this.#answerable();
    await this.beforeRange?.(request);
    await this.#answerable();
    return this.#range(request);
  }

  async txn(txn: Txn): Promise<TxnResult> {
    await this.#answerable();
    return this.#transact(txn);
  }

  watch(request: WatchRequest, listener: WatchListener): Watch {
    const watch: FakeWatch = { request, listener, next: request.from, connected: false };
    this.#watches.add(watch);
    queueMicrotask(() => this.#resume(watch));
    return { close: () => void this.#watches.delete(watch) };
  }

  async grant(ttlSeconds: number, wanted?: string): Promise<Lease> {
    // Beyond 2^53, as etcd's are: an id that became a number would not come back the same.
    const id = wanted ?? String(7_587_000_000_000_000_001n + BigInt(this.#granted++));
    await this.#answerable();
    if (this.#leases.has(id)) throw new StoreError("lease-exists", "etcdserver: lease already exists");
    this.#leases.set(id, { grantedSeconds: ttlSeconds, keys: new Set(), expiresMs: 0, timer: undefined });
    this.#renew(id);
    return { id, ttlSeconds };
  }

  async keepAlive(id: string): Promise<number> {
    await this.#answerable();
    this.#renew(id);
    return this.#leases.get(id)?.grantedSeconds ?? 0;
  }

  async revoke(id: string): Promise<void> {
    await this.#answerable();
    if (!this.#leases.has(id)) throw new StoreError("lease-not-found", "etcdserver: requested lease not found");
    this.expire(id);
  }

  async lease(id: string): Promise<LeaseState> {
    await this.#answerable();
    const lease = this.#leases.get(id);
    if (lease === undefined) return { ttlSeconds: -1, grantedSeconds: 0, keys: [] };
    const leftMs = this.#clock === undefined ? lease.grantedSeconds * 1_000 : lease.expiresMs - this.#clock.now();
    return { ttlSeconds: Math.ceil(leftMs / 1_000), grantedSeconds: lease.grantedSeconds, keys: [...lease.keys] };
  }

  async compact(revision: number): Promise<void> {
    await this.#answerable();
    this.compactNow(revision);
  }

  close(): Promise<void> {
    this.#watches.clear();
    for (const lease of this.#leases.values()) this.#clock?.clearTimeout(lease.timer);
    return Promise.resolve();
  }

  async #answerable(): Promise<void> {
    await Promise.resolve();
    if (this.failing !== undefined) throw this.failing;
    if (this.#cut) throw new StoreError("unreachable", "connection refused");
  }

  #renew(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined || this.#clock === undefined) return;
    this.#clock.clearTimeout(lease.timer);
    lease.expiresMs = this.#clock.now() + lease.grantedSeconds * 1_000;
    lease.timer = this.#clock.setTimeout(() => this.expire(id), lease.grantedSeconds * 1_000);
  }

  #range(request: RangeRequest): RangeResult {
    const revision = request.revision ?? this.#revision;
    if (revision > this.#revision)
      throw new StoreError("future", "etcdserver: mvcc: required revision is a future revision");
    if (revision < this.#compacted)
      throw new StoreError("compacted", "etcdserver: mvcc: required revision has been compacted");
    const all = this.#versions.at(request, revision);
    const limit = request.limit ?? 0;
    const cut = limit > 0 ? all.slice(0, limit) : all;
    const kvs = request.keysOnly === true ? cut.map((kv) => ({ ...kv, value: Buffer.alloc(0) })) : cut;
    return {
      revision: this.#revision,
      clusterId: this.clusterId,
      kvs: request.countOnly === true ? [] : kvs,
      more: cut.length < all.length,
      count: all.length,
    };
  }

  #transact(txn: Txn): TxnResult {
    const succeeded = txn.compare.every((compare) =>
      holds(compare, (range) => this.#versions.at(range, this.#revision)),
    );
    const revision = this.#revision + 1;
    const events: StoreEvent[] = [];
    const responses = (succeeded ? txn.then : (txn.otherwise ?? [])).map((operation) =>
      this.#operate(operation, revision, events),
    );
    if (events.length > 0) {
      this.#revision = revision;
      this.#history.push({ revision, events });
      if (this.losing) for (const watch of this.#watches) watch.next = revision + 1;
      else this.#pump();
    }
    return { succeeded, revision: this.#revision, responses };
  }

  #operate(operation: Operation, revision: number, events: StoreEvent[]): OperationResult {
    switch (operation.type) {
      case "range":
        return { type: "range", range: this.#range(operation.range) };
      case "put": {
        const { key, value, lease = "0" } = operation.put;
        if (lease !== "0" && !this.#leases.has(lease))
          throw new StoreError("lease-not-found", "etcdserver: requested lease not found");
        const before = this.#versions.newest(key);
        for (const other of this.#leases.values()) other.keys.delete(key);
        this.#leases.get(lease)?.keys.add(key);
        const version: Version = { value, lease, modRevision: revision };
        events.push({ type: "put", kv: this.#versions.put(key, version), ...previous(before) });
        return { type: "put", ...(operation.put.previous === true ? previous(before) : {}) };
      }
      case "delete": {
        const gone = this.#versions.at(operation.delete, revision);
        for (const kv of gone) {
          for (const lease of this.#leases.values()) lease.keys.delete(kv.key);
          events.push({ type: "delete", kv: this.#versions.delete(kv.key, revision), previous: kv });
        }
        return { type: "delete", deleted: gone.length, previous: operation.delete.previous === true ? gone : [] };
      }
      case "txn":
        throw new StoreError("invalid", "the fake store has no nested transactions");
    }
  }

  #pump(): void {
    for (const watch of [...this.#watches]) {
      if (!watch.connected) this.#resume(watch);
      else this.#tell(watch);
    }
  }

  #disconnect(watch: FakeWatch): void {
    if (!watch.connected) return;
    watch.connected = false;
    watch.listener.onConnection(false, "connection reset");
  }

  #resume(watch: FakeWatch): void {
    if (this.#cut || !this.#watches.has(watch)) return;
    const replaced = watch.request.clusterId !== this.clusterId || this.#revision < watch.next - 1;
    if (replaced || watch.next < this.#compacted) {
      this.#watches.delete(watch);
      watch.listener.onLost(replaced ? "replaced" : "compacted");
      return;
    }
    if (!watch.connected) watch.listener.onConnection(true, "connected");
    watch.connected = true;
    this.#tell(watch);
  }

  #tell(watch: FakeWatch): void {
    if (this.lagging) return;
    // From the back: what is new is at the end, however long the history.
    let at = this.#history.length;
    while (at > 0 && (this.#history[at - 1]?.revision ?? 0) >= watch.next) at--;
    for (const { revision, events } of this.#history.slice(at)) {
      if (!this.#watches.has(watch)) return;
      watch.next = revision + 1;
      const wanted = events.filter((event) => inRange(watch.request, event.kv.key));
      if (wanted.length > 0) watch.listener.onRevision(revision, wanted);
    }
  }
}

function previous(kv: KeyValue | undefined): { previous?: KeyValue } {
  return kv === undefined ? {} : { previous: kv };
}
