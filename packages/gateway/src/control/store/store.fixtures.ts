import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { Bell } from "../../../../../tests/kit/wait.ts";
import { keyOf, prefixRange, textOf } from "./keys.ts";
import type { KeyRange, KeyValue, Operation, Put, RangeRequest, Store, StoreErrorCode } from "./store.ts";
import { StoreError, type StoreEvent, type TxnResult, type Watch, type WatchListener } from "./store.ts";

/** A store under test, and what can be done to it. What a hook is missing for is not tested. */
export interface TestStore {
  readonly store: Store;
  /** Resets every connection between the store's client and its server. */
  readonly cutConnections?: () => void;
  /** Ends the server hard and starts it again with its data. `store` must go on working. */
  readonly restart?: () => Promise<void>;
  /** Moves the store's time, where it stands still by itself. Without it the tests wait for real time to pass. */
  readonly advance?: (ms: number) => void;
}

/** Opens one for a test; cleans up in `t.after`. It may hold keys of other tests: each test has a prefix of its own. */
export type OpenStore = (t: TestContext) => Promise<TestStore>;

/** A prefix that no other test has. */
export function ownPrefix(): string {
  return `/suite/${randomUUID()}/`;
}

export function putOf(key: string, value: string | Buffer, more: Partial<Put> = {}): Operation {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return { type: "put", put: { key: keyOf(key), value: bytes, ...more } };
}

export function deleteOf(key: string, more: { readonly end?: string; readonly previous?: boolean } = {}): Operation {
  return { type: "delete", delete: { key: keyOf(key), ...more } };
}

export function deletePrefixOf(prefix: string, previous = false): Operation {
  return { type: "delete", delete: { ...prefixRange(keyOf(prefix)), previous } };
}

export function rangeOf(range: RangeRequest): Operation {
  return { type: "range", range };
}

/** Carries out operations without a condition. */
export function write(store: Store, ...operations: Operation[]): Promise<TxnResult> {
  return store.txn({ compare: [], then: operations });
}

/** Puts one key; its revision. */
export async function put(store: Store, key: string, value: string | Buffer, more: Partial<Put> = {}): Promise<number> {
  return (await write(store, putOf(key, value, more))).revision;
}

export async function get(store: Store, key: string): Promise<KeyValue | undefined> {
  return (await store.range({ key: keyOf(key) })).kvs[0];
}

export async function keysOf(store: Store, range: RangeRequest): Promise<string[]> {
  return (await store.range(range)).kvs.map((kv) => textOf(kv.key));
}

/** `key=value` of every key below a prefix. */
export async function contents(store: Store, prefix: string): Promise<string[]> {
  const { kvs } = await store.range(prefixRange(keyOf(prefix)));
  return kvs.map((kv) => `${textOf(kv.key).slice(prefix.length)}=${kv.value.toString()}`);
}

export async function newestRevision(store: Store): Promise<number> {
  return (await store.range({ key: keyOf("/suite/none") })).revision;
}

export async function assertRefused(call: Promise<unknown>, code: StoreErrorCode): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.equal(error.code, code, error.message);
    assert.notEqual(error.message, "");
    return true;
  });
}

export interface ToldRevision {
  readonly revision: number;
  readonly events: readonly StoreEvent[];
}

/** Remembers what a watch tells. */
export class Recorder implements WatchListener {
  readonly revisions: ToldRevision[] = [];
  readonly progress: number[] = [];
  readonly connections: { readonly connected: boolean; readonly reason: string }[] = [];
  readonly lost: ("compacted" | "replaced")[] = [];
  readonly #bell = new Bell();
  watch: Watch = { close: () => undefined };

  onRevision = (revision: number, events: readonly StoreEvent[]): void => {
    this.revisions.push({ revision, events });
    this.#bell.ring();
  };

  onProgress = (revision: number): void => {
    this.progress.push(revision);
    this.#bell.ring();
  };

  onLost = (reason: "compacted" | "replaced"): void => {
    this.lost.push(reason);
    this.#bell.ring();
  };

  onConnection = (connected: boolean, reason: string): void => {
    this.connections.push({ connected, reason });
    this.#bell.ring();
  };

  /** Whether events can come now. */
  get connected(): boolean {
    return this.connections.at(-1)?.connected === true;
  }

  /** All events as `put key=value` and `delete key`, without the prefix. */
  texts(prefix: string): string[] {
    return this.revisions.flatMap(({ events }) => events.map((event) => textOfEvent(event, prefix)));
  }

  until(condition: () => boolean, what: string, deadlineMs?: number): Promise<true> {
    const told = (): string =>
      `${what}; told ${this.revisions.length} revisions, lost ${this.lost.join()}, connections ` +
      this.connections.map(({ connected, reason }) => `${connected}: ${reason}`).join(", ");
    return this.#bell.until(() => (condition() ? true : undefined), told, deadlineMs);
  }

  /** Until the revision was told. */
  seen(revision: number, deadlineMs?: number): Promise<true> {
    return this.until(() => (this.revisions.at(-1)?.revision ?? 0) >= revision, `revision ${revision}`, deadlineMs);
  }
}

export function textOfEvent(event: StoreEvent, prefix: string): string {
  const key = textOf(event.kv.key).slice(prefix.length);
  return event.type === "put" ? `put ${key}=${event.kv.value.toString()}` : `delete ${key}`;
}

/** A watch that a recorder hears; closed after the test. */
export async function record(
  t: TestContext,
  store: Store,
  range: KeyRange,
  options: { readonly from?: number; readonly clusterId?: string; readonly previous?: boolean } = {},
): Promise<Recorder> {
  const now = await store.range({ key: keyOf("/suite/none") });
  const recorder = new Recorder();
  const { from = now.revision + 1, clusterId = now.clusterId, previous = false } = options;
  recorder.watch = store.watch({ ...range, from, clusterId, previous }, recorder);
  t.after(() => recorder.watch.close());
  return recorder;
}
