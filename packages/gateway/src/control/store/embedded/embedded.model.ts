import { inRange } from "../keys.ts";
import type { Compare, Key, KeyValue, Operation, OperationResult, RangeRequest, RangeResult } from "../store.ts";
import type { StoreEvent, Txn, TxnResult } from "../store.ts";
import { refuse } from "./refusals.ts";
import type { HistoryPage, HistoryRequest } from "./watcher.ts";

type State = ReadonlyMap<Key, KeyValue>;

interface ModelLease {
  readonly ttlSeconds: number;
  deadlineMs: number;
}

/** What the store does, said as plainly as possible: a whole copy of all keys for every revision. For tests. */
export class Model {
  readonly clusterId: string;
  compacted = -1;
  readonly states: State[] = [new Map(), new Map()];
  readonly events: StoreEvent[][] = [[], []];
  readonly leases = new Map<string, ModelLease>();
  nowMs = 0;

  constructor(clusterId: string) {
    this.clusterId = clusterId;
  }

  get revision(): number {
    return this.states.length - 1;
  }

  get state(): State {
    return this.states.at(-1) ?? new Map();
  }

  range(request: RangeRequest, state?: State, newest = this.revision): RangeResult {
    const wanted = request.revision ?? 0;
    if (wanted > newest) throw refuse("futureRevision");
    if (wanted > 0 && wanted < this.compacted) throw refuse("compacted");
    const source = (wanted > 0 ? this.states[wanted] : undefined) ?? state ?? this.state;
    const inside = [...source.values()].filter((kv) => inRange(request, kv.key));
    inside.sort((a, b) => (a.key < b.key ? -1 : 1));
    let kvs = inside.filter(
      (kv) =>
        kv.modRevision >= (request.minModRevision ?? 0) &&
        kv.modRevision <= (request.maxModRevision ?? Infinity) &&
        kv.createRevision >= (request.minCreateRevision ?? 0) &&
        kv.createRevision <= (request.maxCreateRevision ?? Infinity),
    );
    if (request.sort !== undefined) kvs.sort(order(request.sort));
    const more = (request.limit ?? 0) > 0 && kvs.length > (request.limit ?? 0) && request.countOnly !== true;
    if (more) kvs = kvs.slice(0, request.limit);
    if (request.keysOnly === true) kvs = kvs.map((kv) => ({ ...kv, value: Buffer.alloc(0) }));
    if (request.countOnly === true) kvs = [];
    return { revision: newest, clusterId: this.clusterId, kvs, more, count: inside.length };
  }

  txn(txn: Txn): TxnResult {
    checkDuplicates(txn.then);
    checkDuplicates(txn.otherwise ?? []);
    const before = this.state;
    this.#check(txn, before);
    const work = { state: new Map(before), events: [] as StoreEvent[] };
    const result = this.#run(txn, before, work);
    this.#append(work.state, work.events);
    return { ...result, revision: this.revision };
  }

  history({ from, previous, ...range }: HistoryRequest): HistoryPage {
    if (from < this.compacted) throw refuse("compacted");
    const revisions: { revision: number; events: StoreEvent[] }[] = [];
    for (let revision = Math.max(from, 2); revision <= this.revision; revision++) {
      const events = (this.events[revision] ?? []).filter(({ kv }) => inRange(range, kv.key));
      const known = previous === true && revision > this.compacted;
      const told = known ? events : events.map(({ type, kv }) => ({ type, kv }));
      if (told.length > 0) revisions.push({ revision, events: told });
    }
    return { revisions, next: Math.max(from, this.compacted, this.revision + 1, 2) };
  }

  compact(revision: number): void {
    if (revision <= this.compacted) throw refuse("compacted");
    if (revision > this.revision) throw refuse("futureRevision");
    this.compacted = revision;
  }

  grant(ttlSeconds: number, id: string): void {
    if (this.leases.has(id)) throw refuse("leaseExists");
    this.leases.set(id, { ttlSeconds, deadlineMs: this.nowMs + ttlSeconds * 1000 });
  }

  keepAlive(id: string): number {
    const lease = this.leases.get(id);
    if (lease !== undefined) lease.deadlineMs = this.nowMs + lease.ttlSeconds * 1000;
    return lease?.ttlSeconds ?? 0;
  }

  revoke(id: string): void {
    if (!this.leases.delete(id)) throw refuse("leaseNotFound");
    const state = new Map(this.state);
    const events: StoreEvent[] = [];
    for (const kv of [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1))) {
      if (kv.lease === id) remove(state, kv, this.revision + 1, events, this.state);
    }
    this.#append(state, events);
  }

  /** Ends the leases whose time is over; in the order of their time, then of their ids. */
  advance(ms: number): void {
    this.nowMs += ms;
    const over = [...this.leases].filter(([, lease]) => lease.deadlineMs <= this.nowMs);
    over.sort(([first, a], [second, b]) => a.deadlineMs - b.deadlineMs || (first < second ? -1 : 1));
    for (const [id] of over) this.revoke(id);
  }

  restart(): void {
    for (const lease of this.leases.values()) lease.deadlineMs = this.nowMs + lease.ttlSeconds * 1000;
  }

  #append(state: State, events: StoreEvent[]): void {
    if (events.length === 0) return;
    this.states.push(state);
    this.events.push(events);
  }

  /** The operations that a transaction comes to, with nested ones in their places. */
  #chosen(txn: Txn, before: State): readonly Operation[] {
    return (txn.compare.every((compare) => holds(compare, before)) ? txn.then : txn.otherwise) ?? [];
  }

  #check(txn: Txn, before: State): void {
    const puts: Operation[] = [];
    const ranges: Operation[] = [];
    const collect = (nested: Txn): void => {
      for (const operation of this.#chosen(nested, before)) {
        if (operation.type === "txn") collect(operation.txn);
        (operation.type === "put" ? puts : ranges).push(operation);
      }
    };
    collect(txn);
    for (const operation of puts) {
      if (operation.type !== "put") continue;
      const { key, lease = "0", ignoreValue, ignoreLease } = operation.put;
      if ((ignoreValue === true || ignoreLease === true) && !before.has(key)) throw refuse("keyNotFound");
      if (lease !== "0" && !this.leases.has(lease)) throw refuse("leaseNotFound");
    }
    for (const operation of ranges) if (operation.type === "range") this.range(operation.range);
  }

  #run(txn: Txn, before: State, work: { state: Map<Key, KeyValue>; events: StoreEvent[] }): TxnResult {
    const revision = this.revision + 1;
    const now = (): number => this.revision + (work.events.length > 0 ? 1 : 0);
    const succeeded = txn.compare.every((compare) => holds(compare, before));
    const responses = this.#chosen(txn, before).map((operation): OperationResult => {
      if (operation.type === "txn") return { type: "txn", txn: this.#run(operation.txn, before, work) };
      if (operation.type === "range") return { type: "range", range: this.range(operation.range, work.state, now()) };
      if (operation.type === "delete") {
        const gone = [...work.state.values()].filter((kv) => inRange(operation.delete, kv.key));
        gone.sort((a, b) => (a.key < b.key ? -1 : 1));
        for (const kv of gone) remove(work.state, kv, revision, work.events, before);
        return { type: "delete", deleted: gone.length, previous: operation.delete.previous === true ? gone : [] };
      }
      const { key, value, lease = "0", ignoreValue, ignoreLease, previous } = operation.put;
      const old = work.state.get(key);
      const kv: KeyValue = {
        key,
        value: ignoreValue === true && old !== undefined ? old.value : value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0) + 1,
        lease: ignoreLease === true && old !== undefined ? old.lease : lease,
      };
      work.state.set(key, kv);
      const earlier = before.get(key);
      work.events.push({ type: "put", kv, ...(earlier === undefined ? {} : { previous: earlier }) });
      return { type: "put", ...(previous === true && old !== undefined ? { previous: old } : {}) };
    });
    return { succeeded, revision: now(), responses };
  }
}

function remove(state: Map<Key, KeyValue>, kv: KeyValue, revision: number, events: StoreEvent[], before: State): void {
  const gone = {
    key: kv.key,
    value: Buffer.alloc(0),
    createRevision: 0,
    modRevision: revision,
    version: 0,
    lease: "0",
  };
  state.delete(kv.key);
  const earlier = before.get(kv.key);
  events.push({ type: "delete", kv: gone, ...(earlier === undefined ? {} : { previous: earlier }) });
}

function order({ by, descending }: NonNullable<RangeRequest["sort"]>): (a: KeyValue, b: KeyValue) => number {
  const of = (kv: KeyValue): string | number => {
    if (by === "key") return kv.key;
    if (by === "value") return kv.value.toString("latin1");
    return by === "version" ? kv.version : by === "create" ? kv.createRevision : kv.modRevision;
  };
  return (a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) * (descending ? -1 : 1);
}

function holds(compare: Compare, state: State): boolean {
  const inside = [...state.values()].filter((kv) => inRange(compare, kv.key));
  if (inside.length === 0 && compare.target === "value") return false;
  const nothing = { createRevision: 0, modRevision: 0, version: 0, lease: "0", value: Buffer.alloc(0) };
  return (inside.length === 0 ? [nothing] : inside).every((kv) => {
    const sign = {
      version: () => (compare.target === "version" ? kv.version - compare.number : NaN),
      create: () => (compare.target === "create" ? kv.createRevision - compare.number : NaN),
      mod: () => (compare.target === "mod" ? kv.modRevision - compare.number : NaN),
      value: () => (compare.target === "value" ? Buffer.compare(kv.value, compare.value) : NaN),
      lease: () => (compare.target === "lease" ? Number(BigInt(kv.lease) - BigInt(compare.lease)) : NaN),
    }[compare.target]();
    return { "=": sign === 0, "!=": sign !== 0, "<": sign < 0, ">": sign > 0 }[compare.is];
  });
}

/** With at most one nested transaction a level: etcd overlooks some overlaps between several. */
function checkDuplicates(operations: readonly Operation[]): { puts: Key[]; deletes: Operation[] } {
  const puts = operations.flatMap((operation) => (operation.type === "put" ? [operation.put.key] : []));
  const deletes = operations.filter(({ type }) => type === "delete");
  for (const operation of operations) {
    if (operation.type !== "txn") continue;
    const branches = [checkDuplicates(operation.txn.then), checkDuplicates(operation.txn.otherwise ?? [])];
    const nested = new Set(branches.flatMap((branch) => branch.puts));
    for (const key of nested) if (deletes.some((one) => covers(one, key))) throw refuse("duplicateKey");
    puts.push(...nested);
    deletes.push(...branches.flatMap((branch) => branch.deletes));
    const own = operations.flatMap((one) => (one.type === "put" ? [one.put.key] : []));
    for (const key of own) if (deletes.some((one) => covers(one, key))) throw refuse("duplicateKey");
  }
  if (new Set(puts).size < puts.length) throw refuse("duplicateKey");
  const own = operations.flatMap((one) => (one.type === "put" ? [one.put.key] : []));
  for (const key of own) if (deletes.some((one) => covers(one, key))) throw refuse("duplicateKey");
  return { puts, deletes };
}

function covers(operation: Operation, key: Key): boolean {
  if (operation.type !== "delete") return false;
  const { key: first, end } = operation.delete;
  return end === undefined ? first === key : key >= first && key < end;
}
