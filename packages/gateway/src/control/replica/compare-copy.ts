import type { Key, KeyValue, OperationResult, Store } from "../store/store.ts";
import { isEmpty, same, sameVersion, type Copy, type Difference } from "./copy.ts";
import type { Listed } from "./list-prefix.ts";

export interface CompareOptions {
  readonly store: Store;
  readonly copy: Copy;
  /**
   * Whether the store's history is in doubt too: then values are compared, for another history can have others at the
   * same revisions, and what differs is not corrected but listed again.
   */
  readonly history: boolean;
  /** Lists the prefix, with values if `history`, at the newest revision. Undefined: nobody wants it any more. */
  readonly list: () => Promise<Listed | undefined>;
  /** Resolves when the copy is as of that revision; false when that takes too long. */
  readonly reached: (revision: number) => Promise<boolean>;
  /** Whether the copy is still followed by the watch it was when this began. */
  readonly wanted: () => boolean;
  /** Corrects the copy; called at most once, at its revision of that moment. */
  readonly heal: (difference: Difference) => void;
}

/**
 * `same`: nothing differs that is not on its way. `healed`: something did. `behind`: something differs and the watch has
 * not told whether it is on its way. `loss`: most of the copy is not in the store. `replaced`: another history answered.
 */
export type Comparison = "same" | "healed" | "behind" | "loss" | "replaced" | "unwanted";

/** Values fetched in one transaction; etcd allows 128, and 32 of the largest fit the limit on messages. */
const fetchedKeysMax = 32;
/** A loss of less is healed at once. */
const lossKeysMin = 2;

/**
 * Anti-entropy: compares a copy with what the store lists, as of the revision of the list. etcd had defects that lose
 * events without a sign (etcd#18089), and a copy that follows a watch alone stays wrong for ever. The copy goes on
 * meanwhile: a key that changed after the listed revision says nothing about it and is left out.
 */
export async function compareCopy(options: CompareOptions): Promise<Comparison> {
  const { copy, wanted, history } = options;
  const differs = history
    ? (a: KeyValue, b: KeyValue) => !same(a, b)
    : (a: KeyValue, b: KeyValue) => !sameVersion(a, b);
  const suspectsOf = (listed: Listed): Difference => suspects(copy, listed, deletions, differs);
  const from = copy.revision;
  const { deletions, stop } = copy.recordDeletions();
  try {
    const listed = await options.list();
    if (listed === undefined || !wanted()) return "unwanted";
    if (listed.clusterId !== copy.clusterId || listed.revision < from) return "replaced";
    const first = suspectsOf(listed);
    if (isEmpty(first)) return "same";
    // The watch has passed these revisions and tells nothing of them any more. A key that is gone may be on its way;
    // then the list was one too many.
    if (history && (first.deleted.length > 0 || first.set.some((kv) => kv.modRevision <= from))) return "replaced";
    const reached = await options.reached(listed.revision);
    if (!wanted()) return "unwanted";
    const found = suspectsOf(listed);
    if (isEmpty(found)) return "same";
    if (!reached) return "behind";
    if (copy.isMost(copy.lossOf(found).size, lossKeysMin)) return "loss";
    const values = await fetchValues(options.store, found.set, listed.revision);
    if (!wanted()) return "unwanted";
    // What changed while the values were on their way is newer than what was found.
    const still = suspectsOf(listed);
    const keys = new Set(still.set.map((kv) => kv.key));
    options.heal({ set: values.filter((kv) => keys.has(kv.key)), deleted: still.deleted });
    return "healed";
  } finally {
    stop();
  }
}

/** Where copy and list differ, of the keys that the copy did not see changing after the list. */
function suspects(
  copy: Copy,
  listed: Listed,
  deletions: ReadonlyMap<Key, number>,
  differs: (have: KeyValue, listed: KeyValue) => boolean,
): Difference {
  const { kvs, revision } = listed;
  const set: KeyValue[] = [];
  let known = 0;
  for (const kv of kvs) {
    const have = copy.kvs.get(kv.key);
    if (have === undefined) {
      if ((deletions.get(kv.key) ?? 0) <= revision) set.push(kv);
      continue;
    }
    known++;
    if (have.modRevision <= revision && differs(have, kv)) set.push(kv);
  }
  if (known === copy.kvs.size) return { set, deleted: [] };
  const there = new Set(kvs.map((kv) => kv.key));
  const deleted = [...copy.kvs.values()].filter((kv) => kv.modRevision <= revision && !there.has(kv.key));
  return { set, deleted: deleted.map((kv) => kv.key) };
}

async function fetchValues(store: Store, kvs: readonly KeyValue[], revision: number): Promise<KeyValue[]> {
  const found: KeyValue[] = [];
  for (let at = 0; at < kvs.length; at += fetchedKeysMax) {
    const keys = kvs.slice(at, at + fetchedKeysMax);
    const { responses } = await store.txn({
      compare: [],
      then: keys.map(({ key }) => ({ type: "range", range: { key, revision } })),
    });
    found.push(...responses.flatMap(valuesOf));
  }
  return found;
}

function valuesOf(result: OperationResult): readonly KeyValue[] {
  return result.type === "range" ? result.range.kvs : [];
}
