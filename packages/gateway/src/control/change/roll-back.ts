import { isDeepStrictEqual } from "node:util";
import { formatPath } from "@headgate/schema";
import { parseKey, resourceKey } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import { StoreError } from "../store/store.ts";
import type { Key, KeyValue, Store } from "../store/store.ts";
import type { ResourceWrite } from "./change.ts";
import { ChangeError } from "./change-error.ts";
import { recordedChanges } from "./history.ts";
import { planWrites, type Plan } from "./plan.ts";
import { readResources, valueOf, type Basis } from "./read.ts";
import { jsonOf, type RecordedChange } from "./record.ts";

/** How the configuration as of a revision is known: from the store's own history, or from the recorded changes. */
export type Past =
  | { readonly from: "store"; readonly resources: ReadonlyMap<Key, KeyValue> }
  | { readonly from: "records"; readonly changes: readonly RecordedChange[] };

/** Reads what is needed to go back to a revision. Rejects with a ChangeError where it does not exist yet. */
export async function readPast(
  store: Store,
  prefix: Key,
  kvs: ReadonlyMap<Key, KeyValue>,
  revision: number,
): Promise<Past> {
  try {
    return { from: "store", resources: await readResources(store, prefix, revision) };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === "compacted") return { from: "records", changes: recordedChanges(prefix, kvs.values()) };
    if (error.code !== "future") throw error;
    const message = `Revision ${revision} does not exist yet: choose one that the history shows.`;
    throw new ChangeError("bad-request", message, { cause: error });
  }
}

/** What to write so that every resource is what it was at a revision. Throws a ChangeError where that is not known. */
export function planRollback(prefix: Key, basis: Basis, past: Past, revision: number): Plan {
  const problems: ReportedProblem[] = [];
  const wanted =
    past.from === "store"
      ? asOfStore(prefix, basis, past.resources, problems)
      : asOfRecords(prefix, basis, past.changes, revision);
  if (past.from === "records") {
    const message = `the store no longer knows revision ${revision}: it was put together from the recorded changes`;
    problems.push({ severity: "warning", path: "", message });
  }
  const plan = planWrites(prefix, basis.resources, wanted);
  return { ...plan, problems: [...problems, ...plan.problems] };
}

function asOfStore(
  prefix: Key,
  { resources }: Basis,
  then: ReadonlyMap<Key, KeyValue>,
  problems: ReportedProblem[],
): ResourceWrite[] {
  const wanted: ResourceWrite[] = [];
  for (const key of new Set([...resources.keys(), ...then.keys()])) {
    const parsed = parseKey(prefix, key);
    if (parsed.area !== "resource") continue;
    const { kind, name } = parsed;
    const kv = then.get(key);
    // The same version: most of a large configuration, and its values need not be looked at.
    if (kv !== undefined && kv.modRevision === resources.get(key)?.modRevision) continue;
    if (kv === undefined) wanted.push({ kind, name, value: undefined });
    else if (isJson(kv)) wanted.push({ kind, name, value: valueOf(kv) });
    else {
      const message = "was no JSON at that revision: it stays as it is now";
      problems.push({ severity: "warning", path: formatPath([kind, name]), message });
    }
  }
  return wanted;
}

function isJson(kv: KeyValue): boolean {
  // Of what is no JSON, the value is the text itself.
  return jsonOf(kv) !== undefined || valueOf(kv) !== kv.value.toString("utf8");
}

/**
 * Walks the recorded changes backwards from now, each of which must have left what the next newer one found. What was
 * written beside the tools (`etcdctl put`) breaks the chain, and is found out; all but the deletion of a resource that
 * no recorded change since touched.
 */
function asOfRecords(
  prefix: Key,
  { resources }: Basis,
  changes: readonly RecordedChange[],
  revision: number,
): ResourceWrite[] {
  // Older ones are deleted: only if one is left from before is everything after it here.
  if (!changes.some((change) => change.revision <= revision)) throw gone(revision, "no change from then is recorded");
  const newer = changes.filter((change) => change.revision > revision);
  const writes = new Map<Key, ResourceWrite>();
  const explained = new Map<Key, readonly [first: number, last: number]>();
  for (const change of newer) {
    const { id, truncated, firstRevision } = change;
    if (truncated === true) throw gone(revision, `the record of change ${id} was too large to hold values`);
    if (firstRevision <= revision) throw gone(revision, `it lies between two transactions of change ${id}`);
    for (const { kind, name, before, after } of change.writes) {
      const key = resourceKey(prefix, kind, name);
      const write = writes.get(key);
      const found = write === undefined ? valueAt(resources, key) : write.value;
      // Of an interrupted change, what was not reached is what it was.
      const skipped = change.partial === true && isDeepStrictEqual(found, before);
      if (!skipped && !isDeepStrictEqual(found, after)) {
        throw gone(revision, `${kind}/${name} was changed beside the recorded changes`);
      }
      // Its record has the revision of the first transaction; nobody wrote that of the one it ended with.
      const last = change.partial === true ? Infinity : change.revision;
      if (!skipped && !explained.has(key)) explained.set(key, [firstRevision, last]);
      writes.set(key, { kind, name, value: before });
    }
  }
  for (const kv of resources.values()) {
    const [first, last] = explained.get(kv.key) ?? [0, revision];
    const parsed = parseKey(prefix, kv.key);
    if (parsed.area !== "resource" || (kv.modRevision >= first && kv.modRevision <= last)) continue;
    if (kv.modRevision <= revision) continue;
    throw gone(revision, `${parsed.kind}/${parsed.name} was changed beside the recorded changes`);
  }
  return [...writes.values()];
}

function valueAt(resources: ReadonlyMap<Key, KeyValue>, key: Key): unknown {
  const kv = resources.get(key);
  return kv === undefined ? undefined : valueOf(kv);
}

function gone(revision: number, reason: string): ChangeError {
  const message = `The configuration as of revision ${revision} is no longer known: the store has forgotten it, and ${reason}.`;
  return new ChangeError("history-gone", message);
}
