import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../tests/kit/fake-store.ts";
import { fakeTimers, settled } from "../../../../tests/kit/fake-timers.ts";
import { silentLog, type Log } from "../core/log.ts";
import { Replicator, type ReplicaChange, type ReplicaState, type ReplicatorOptions } from "./replicate.ts";
import { keyOf } from "./store/keys.ts";
import type { Key, KeyValue } from "./store/store.ts";

export const prefix = "/headgate/";

/** A replicator of a fake store, with everything it told. */
export interface Replica {
  readonly clock: FakeClock;
  readonly store: FakeStore;
  readonly replicator: Replicator;
  readonly changes: ReplicaChange[];
  readonly states: ReplicaState[];
  readonly drifts: number[];
  readonly warnings: string[];
  /** The copy as text, for comparing. */
  copy(): Record<string, string>;
}

export interface ReplicaSetup extends Partial<ReplicatorOptions> {
  readonly clock?: FakeClock;
  readonly store?: FakeStore;
  /** Keys written before the start. */
  readonly keys?: readonly string[];
  readonly seed?: number;
}

/** Starts a replicator and waits for its first list, where the store answers. */
export async function replicate(t: Pick<TestContext, "after">, setup: ReplicaSetup = {}): Promise<Replica> {
  const { clock = new FakeClock(), keys = [], seed = 1, store: given, ...options } = setup;
  const store = given ?? new FakeStore(clock);
  for (const key of keys) store.put(prefix + key, `value of ${key}`);
  const changes: ReplicaChange[] = [];
  const states: ReplicaState[] = [];
  const drifts: number[] = [];
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (_fields, message) => void warnings.push(message) };
  const replicator = new Replicator({
    store,
    prefix: keyOf(prefix),
    clock,
    timers: fakeTimers(clock),
    random: seededRandom(seed),
    log,
    counts: (key) => !key.startsWith(keyOf("/headgate/nodes/")),
    onChange: (change) => void changes.push(change),
    onState: (state) => void states.push(state),
    onDrift: (count) => void drifts.push(count),
    ...options,
  });
  t.after(() => replicator.stop());
  replicator.start();
  await settled();
  const copy = (): Record<string, string> => textsOf(replicator.kvs);
  return { clock, store, replicator, changes, states, drifts, warnings, copy };
}

export function textsOf(kvs: ReadonlyMap<Key, KeyValue>): Record<string, string> {
  const sorted = [...kvs.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return Object.fromEntries(sorted.map((kv) => [kv.key, kv.value.toString()]));
}

/** What a change says, short. */
export function told(change: ReplicaChange | undefined): unknown {
  if (change === undefined) return undefined;
  const short = (key: Key): string => key.slice(prefix.length);
  return [change.cause, change.revision, change.set.map((kv) => short(kv.key)), change.deleted.map(short)];
}

/** The copy is the store's content, in every field. */
export function assertSame(replica: Replica, message?: string): void {
  const sorted = (kvs: ReadonlyMap<Key, KeyValue>): KeyValue[] =>
    [...kvs.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  assert.deepEqual(sorted(replica.replicator.kvs), sorted(replica.store.contents(prefix)), message);
}

/** Names of that many routes. */
export function routes(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `routes/r${String(i).padStart(4, "0")}`);
}
