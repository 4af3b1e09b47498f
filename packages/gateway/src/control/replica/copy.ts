import type { Key, KeyValue, StoreEvent } from "../store/store.ts";

/** What is to be done to a copy. */
export interface Difference {
  readonly set: readonly KeyValue[];
  readonly deleted: readonly Key[];
}

/** What is known of a prefix, and as of when. */
export class Copy {
  readonly kvs = new Map<Key, KeyValue>();
  /** Everything up to here is in it. */
  revision = 0;
  clusterId = "";
  readonly #counts: (key: Key) => boolean;
  #counted = 0;
  #deletions: Map<Key, number> | undefined;

  /** `counts`: which keys matter for "most of the configuration". */
  constructor(counts: (key: Key) => boolean) {
    this.#counts = counts;
  }

  /** Keys that count. */
  get counted(): number {
    return this.#counted;
  }

  take(difference: Difference, revision: number): void {
    for (const kv of difference.set) {
      if (!this.kvs.has(kv.key) && this.#counts(kv.key)) this.#counted++;
      this.kvs.set(kv.key, kv);
    }
    for (const key of difference.deleted) {
      if (this.kvs.delete(key) && this.#counts(key)) this.#counted--;
      this.#deletions?.set(key, revision);
    }
    this.revision = revision;
  }

  /** What leads from the copy to what was listed; nothing that is the same is in it. */
  differenceTo(listed: readonly KeyValue[]): Difference {
    const set: KeyValue[] = [];
    let known = 0;
    for (const kv of listed) {
      const have = this.kvs.get(kv.key);
      if (have !== undefined) known++;
      if (have === undefined || !same(have, kv)) set.push(kv);
    }
    if (known === this.kvs.size) return { set, deleted: [] };
    const there = new Set(listed.map((kv) => kv.key));
    return { set, deleted: [...this.kvs.keys()].filter((key) => !there.has(key)) };
  }

  /** What the events of one revision do to the copy. */
  differenceOf(events: readonly StoreEvent[]): Difference {
    const set = new Map<Key, KeyValue>();
    const deleted = new Set<Key>();
    for (const { type, kv } of events) {
      if (type === "put") {
        deleted.delete(kv.key);
        set.set(kv.key, kv);
      } else {
        set.delete(kv.key);
        if (this.kvs.has(kv.key)) deleted.add(kv.key);
      }
    }
    return { set: [...set.values()], deleted: [...deleted] };
  }

  /** The counted keys that a difference deletes. */
  lossOf({ deleted }: Difference): ReadonlySet<Key> {
    return new Set(deleted.filter(this.#counts));
  }

  /** Whether a loss is more than half of all that counts, and at least `atLeast` keys. */
  isMost(lost: number, atLeast: number): boolean {
    return lost >= atLeast && lost * 2 > this.#counted;
  }

  /** Notes from now on which keys are deleted, and in which revision, for a comparison with what was listed meanwhile. */
  recordDeletions(): { readonly deletions: ReadonlyMap<Key, number>; stop(): void } {
    const deletions = new Map<Key, number>();
    this.#deletions = deletions;
    return {
      deletions,
      stop: () => {
        if (this.#deletions === deletions) this.#deletions = undefined;
      },
    };
  }
}

export function isEmpty({ set, deleted }: Difference): boolean {
  return set.length === 0 && deleted.length === 0;
}

/** By value too: a store that was restored and written again can have other values at the same revisions. */
export function same(a: KeyValue, b: KeyValue): boolean {
  return sameVersion(a, b) && a.lease === b.lease && a.value.equals(b.value);
}

/** As far as can be told without the values. */
export function sameVersion(a: KeyValue, b: KeyValue): boolean {
  return a.modRevision === b.modRevision && a.createRevision === b.createRevision && a.version === b.version;
}
