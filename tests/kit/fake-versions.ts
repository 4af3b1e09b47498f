import { inRange } from "../../packages/gateway/src/control/store/keys.ts";
import type { Compare, Key, KeyRange, KeyValue } from "../../packages/gateway/src/control/store/store.ts";

/** What a put says of a key. */
export type Version = Pick<KeyValue, "value" | "lease" | "modRevision">;

const nothing = Buffer.alloc(0);

/** Every version of every key; nothing is ever forgotten. A deletion is a version with `version` 0. */
export class Versions {
  readonly #versions = new Map<Key, KeyValue[]>();
  /** Keys in order; undefined after a new one came. */
  #sorted: readonly Key[] | undefined;

  constructor(kvs: readonly KeyValue[] = []) {
    for (const kv of kvs) this.#versions.set(kv.key, [kv]);
  }

  newest(key: Key): KeyValue | undefined {
    const kv = this.#versions.get(key)?.at(-1);
    return kv?.version === 0 ? undefined : kv;
  }

  /** What a range held as of a revision, ascending by key. */
  at(range: KeyRange, revision: number): KeyValue[] {
    const keys = range.end === undefined ? [range.key] : this.#keys();
    const found: KeyValue[] = [];
    for (const key of keys) {
      if (!inRange(range, key)) continue;
      const kv = this.#versions.get(key)?.findLast((version) => version.modRevision <= revision);
      if (kv !== undefined && kv.version > 0) found.push(kv);
    }
    return found;
  }

  put(key: Key, version: Version): KeyValue {
    const before = this.newest(key);
    return this.#add({
      key,
      ...version,
      createRevision: before?.createRevision ?? version.modRevision,
      version: (before?.version ?? 0) + 1,
    });
  }

  delete(key: Key, modRevision: number): KeyValue {
    return this.#add({ key, value: nothing, lease: "0", createRevision: 0, modRevision, version: 0 });
  }

  #add(kv: KeyValue): KeyValue {
    const versions = this.#versions.get(kv.key);
    if (versions === undefined) {
      this.#versions.set(kv.key, [kv]);
      this.#sorted = undefined;
    } else versions.push(kv);
    return kv;
  }

  #keys(): readonly Key[] {
    return (this.#sorted ??= [...this.#versions.keys()].sort((a, b) => (a < b ? -1 : 1)));
  }
}

/** Whether a condition of a transaction is met. A key that is not there has version, create and mod 0. */
export function holds(compare: Compare, at: (range: KeyRange) => readonly KeyValue[]): boolean {
  const found = at(compare);
  if (found.length === 0 && compare.end === undefined) {
    if (compare.target === "value") return false;
    const absent = { key: compare.key, value: nothing, lease: "0", createRevision: 0, modRevision: 0, version: 0 };
    return meets(compare, absent);
  }
  return found.every((kv) => meets(compare, kv));
}

function meets(compare: Compare, kv: KeyValue): boolean {
  const order = orderOf(compare, kv);
  switch (compare.is) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
  }
}

function orderOf(compare: Compare, kv: KeyValue): number {
  switch (compare.target) {
    case "version":
      return kv.version - compare.number;
    case "create":
      return kv.createRevision - compare.number;
    case "mod":
      return kv.modRevision - compare.number;
    case "value":
      return Buffer.compare(kv.value, compare.value);
    case "lease":
      return BigInt(kv.lease) === BigInt(compare.lease) ? 0 : BigInt(kv.lease) < BigInt(compare.lease) ? -1 : 1;
  }
}
