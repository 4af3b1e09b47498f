import { changesPrefix, kindPrefix, kinds } from "../layout.ts";
import { prefixRange } from "../store/keys.ts";
import { StoreError } from "../store/store.ts";
import type { Key, KeyValue, Operation, Store } from "../store/store.ts";

/** What a plan is made from: what the store held at one revision, or shortly after one another. */
export interface Basis {
  /** The store's newest when it was read. */
  readonly revision: number;
  readonly resources: ReadonlyMap<Key, KeyValue>;
  /** Of the recorded changes, oldest first. */
  readonly recordKeys: readonly Key[];
}

/** The copy of the store's prefix that replication keeps. */
export interface Replica {
  /** Keys of all areas; changes while it is held. */
  readonly kvs: ReadonlyMap<Key, KeyValue>;
  revision(): number;
  /** Whether everything up to this revision was told; false when the time is over. */
  caughtUp(revision: number, timeoutMs: number): Promise<boolean>;
}

/** Etcd's default limit of operations, and of compares, of one transaction. */
export const operationsMax = 128;

/** So many resources are read one by one, in one request; more of them from the replica. */
export const namedMax = operationsMax - 1;

/**
 * How long the replica may take to catch up before the store is read itself. Longer is of no use: revisions of keys that
 * are not the replica's own are told to it seldom.
 */
const catchUpMs = 50;

const pageKeys = 2_000;

/** Some resources as they are now, whatever the replica knows. At most `namedMax` keys. */
export async function readNamed(store: Store, prefix: Key, keys: readonly Key[]): Promise<Basis> {
  const ranges: Operation[] = keys.map((key) => ({ type: "range", range: { key } }));
  const records: Operation = { type: "range", range: { ...prefixRange(changesPrefix(prefix)), keysOnly: true } };
  const { revision, responses } = await store.txn({ compare: [], then: [records, ...ranges] });
  const [recordKeys = [], ...found] = responses.map((response) =>
    response.type === "range" ? response.range.kvs : [],
  );
  const resources = new Map(found.flat().map((kv) => [kv.key, kv]));
  return { revision, resources, recordKeys: recordKeys.map(({ key }) => key) };
}

/**
 * All resources as of now or later: from the replica where it has caught up, so that a change of one route of ten
 * thousand does not read them all.
 */
export async function readAll(store: Store, prefix: Key, replica: Replica): Promise<Basis> {
  const records = await store.range({ ...prefixRange(changesPrefix(prefix)), keysOnly: true });
  const { revision } = records;
  const recordKeys = records.kvs.map(({ key }) => key);
  if (await replica.caughtUp(revision, catchUpMs)) return { revision, resources: replica.kvs, recordKeys };
  return { revision, resources: await readResources(store, prefix, revision), recordKeys };
}

/** All resources as of a revision, in pages. Rejects with a StoreError, `compacted` where the store has forgotten it. */
export async function readResources(store: Store, prefix: Key, revision: number): Promise<Map<Key, KeyValue>> {
  const found = new Map<Key, KeyValue>();
  for (const kind of kinds) {
    const range = prefixRange(kindPrefix(prefix, kind));
    for (let key = range.key; ;) {
      const page = await store.range({ ...range, key, revision, limit: pageKeys });
      for (const kv of page.kvs) found.set(kv.key, kv);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      key = `${last.key}\0`;
    }
  }
  return found;
}

/** Some keys as they are now, however many, in several requests where needed. */
export async function readKeys(store: Store, keys: readonly Key[]): Promise<Map<Key, KeyValue>> {
  const found = new Map<Key, KeyValue>();
  for (let from = 0; from < keys.length; from += operationsMax) {
    const then = keys.slice(from, from + operationsMax).map((key): Operation => ({ type: "range", range: { key } }));
    const { responses } = await store.txn({ compare: [], then });
    for (const response of responses) {
      if (response.type === "range") for (const kv of response.range.kvs) found.set(kv.key, kv);
    }
  }
  return found;
}

/** Whether a call may have been carried out although it failed. */
export function isUnreachable(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === "unreachable";
}

/** A stored value: JSON, or the text itself where it is none (somebody put it by hand). */
export function valueOf(kv: KeyValue): unknown {
  const text = kv.value.toString("utf8");
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return text;
  }
}
