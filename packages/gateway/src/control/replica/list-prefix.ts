import { prefixRange } from "../store/keys.ts";
import { StoreError, type Key, type KeyValue, type RangeResult, type Store } from "../store/store.ts";

/** Everything under a prefix at one revision, ascending by key. */
export interface Listed {
  readonly revision: number;
  readonly clusterId: string;
  readonly kvs: readonly KeyValue[];
}

export interface ListOptions {
  readonly store: Store;
  readonly prefix: Key;
  /** Keys of the first page; the next ones follow the size of the values. */
  readonly pageKeys: number;
  /** Leaves the values out. Default: false. */
  readonly keysOnly?: boolean;
  /** Whether anybody still wants it; asked between pages. */
  readonly wanted: () => boolean;
}

/**
 * What a page should weigh. etcd walks the index of the whole prefix for every page (before 3.5), so that few pages are
 * cheap and many are not; and a page is decoded in one go, which holds everything else up.
 */
const pageBytesAim = 2 * 1024 * 1024;
const pageKeysMax = 10_000;
/** A compaction, or another cluster, between two pages makes the list begin again; so often at most. */
const beginningsMax = 5;

/** Lists a prefix in pages, all as of one revision. Undefined when nobody wants it any more. Rejects with a StoreError. */
export async function listPrefix(options: ListOptions): Promise<Listed | undefined> {
  for (let beginnings = 1; ; beginnings++) {
    try {
      const listed = await listOnce(options);
      if (listed !== "changed") return listed;
    } catch (error) {
      if (!(error instanceof StoreError && error.code === "compacted") || beginnings >= beginningsMax) throw error;
    }
    if (beginnings >= beginningsMax)
      throw new StoreError("unreachable", "The endpoints of the store answer for different clusters.");
  }
}

async function listOnce({
  store,
  prefix,
  pageKeys,
  keysOnly = false,
  wanted,
}: ListOptions): Promise<Listed | "changed" | undefined> {
  const { end = "\0", key: first } = prefixRange(prefix);
  let from = first;
  let limit = pageKeys;
  let head: RangeResult | undefined;
  const kvs: KeyValue[] = [];
  for (;;) {
    let page: RangeResult;
    try {
      page = await store.range({ key: from, end, limit, keysOnly, ...(head && { revision: head.revision }) });
    } catch (error) {
      if (!(error instanceof StoreError && error.code === "too-large") || limit === 1) throw error;
      limit = Math.ceil(limit / 2);
      continue;
    }
    if (!wanted()) return undefined;
    head ??= page;
    if (page.clusterId !== head.clusterId) return "changed";
    for (const kv of page.kvs) kvs.push(kv);
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return { revision: head.revision, clusterId: head.clusterId, kvs };
    from = `${last.key}\0`;
    limit = nextPageKeys(page.kvs);
  }
}

function nextPageKeys(kvs: readonly KeyValue[]): number {
  // Beside key and value, the message has about 40 bytes for each.
  const bytes = kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length + 40, 0);
  return Math.max(1, Math.min(pageKeysMax, Math.floor((kvs.length * pageBytesAim) / bytes)));
}
