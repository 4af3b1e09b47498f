import type { ChainEntry } from "@headgate/schema";
import type { KindChange, SnapshotChange } from "../proxy/snapshot.ts";
import { kindsInOrder, type CatalogKind, type Entry, type Version } from "./catalog/entry.ts";

/** A change whose revision is not known yet. */
export type CompiledChange = Omit<SnapshotChange, "revision">;

/**
 * Step 3 of a change: what workers must be told when these entries get these versions. Pure. Names only what differs: a
 * route is not sent again because a middleware or plugin it names changed, the worker knows who depends on what.
 * `undefined` when a worker would notice nothing.
 */
export function compileChange(next: ReadonlyMap<Entry, Version | undefined>): CompiledChange | undefined {
  const change: { -readonly [K in keyof CompiledChange]: CompiledChange[K] } = {};
  const differing = new Map<CatalogKind, [Entry, Version | undefined][]>();
  for (const [entry, version] of next) {
    if (!differs(entry.live, version)) continue;
    const entries = differing.get(entry.kind);
    if (entries === undefined) differing.set(entry.kind, [[entry, version]]);
    else entries.push([entry, version]);
  }
  for (const kind of kindsInOrder) {
    const entries = differing.get(kind);
    if (entries === undefined) continue;
    // Kind and value belong together, see ValueOf in catalog/entry.ts.
    if (kind === "settings") change.global = (entries[0]?.[1]?.value ?? []) as readonly ChainEntry[];
    else change[kind] = kindChange(entries) as KindChange<never>;
  }
  return Object.keys(change).length === 0 ? undefined : change;
}

/** A version that says the same as the live one takes its place without the workers being told. */
function differs(live: Version | undefined, next: Version | undefined): boolean {
  return live === undefined || next === undefined || !sameValue(live.value, next.value);
}

function kindChange(entries: readonly [Entry, Version | undefined][]): KindChange<unknown> {
  // Without a prototype: a resource may be called `__proto__`, which on a plain object would set none.
  const set = Object.create(null) as Record<string, unknown>;
  const gone: string[] = [];
  for (const [{ name }, version] of entries) {
    if (version === undefined) gone.push(name);
    else set[name] = version.value;
  }
  return { set, delete: gone };
}

/** Whether two plain values say the same. The order of an object's keys says nothing, that of a list does. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameValue(item, b[index]));
  }
  return sameFields(a, b);
}

function sameFields(a: object, b: object): boolean {
  // An absent field and one that holds `undefined` are the same: structured cloning and JSON disagree about it.
  const left = new Map<string, unknown>(Object.entries(a));
  const right = new Map<string, unknown>(Object.entries(b));
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    if (!sameValue(left.get(name), right.get(name))) return false;
  }
  return true;
}
