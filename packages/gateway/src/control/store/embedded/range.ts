import type { RangeRequest } from "../store.ts";
import type { KeyIndex } from "./key-index.ts";
import { keyValueOf, versionAt } from "./version.ts";
import type { Version } from "./version.ts";
import type { KeyValue } from "../store.ts";

export interface RangeAnswer {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

/** Reads a range as of a revision, as etcd does: `count` is of the keys before filters and limit. */
export function readRange(index: KeyIndex, request: RangeRequest, revision: number): RangeAnswer {
  if (request.countOnly === true) return { kvs: [], more: false, count: index.count(request, revision) };
  const limit = Math.max(0, request.limit ?? 0);
  const inKeyOrder = request.sort === undefined || (request.sort.by === "key" && !request.sort.descending);
  const filtered = hasFilter(request);
  // One more than the limit tells whether there are more.
  const wanted = limit > 0 && inKeyOrder && !filtered ? limit + 1 : Infinity;
  const versions: Version[] = [];
  index.visit(request, (entry) => {
    const version = versionAt(entry, revision);
    if (version !== undefined) versions.push(version);
    return versions.length < wanted;
  });
  const count = versions.length < wanted ? versions.length : index.count(request, revision);
  const kept = filtered ? versions.filter((version) => passes(request, version)) : versions;
  if (!inKeyOrder && request.sort !== undefined) kept.sort(comparisonOf(request.sort));
  const more = limit > 0 && kept.length > limit;
  if (more) kept.length = limit;
  return { kvs: kept.map((version) => keyValueOf(version, request.keysOnly)), more, count };
}

function hasFilter(request: RangeRequest): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].some((bound) => (bound ?? 0) !== 0);
}

/** A bound of 0 is none. */
function passes(request: RangeRequest, { modRevision, createRevision }: Version): boolean {
  return (
    modRevision >= (request.minModRevision ?? 0) &&
    modRevision <= (request.maxModRevision || Infinity) &&
    createRevision >= (request.minCreateRevision ?? 0) &&
    createRevision <= (request.maxCreateRevision || Infinity)
  );
}

/** Equal ones stay in the order of their keys, either way. */
function comparisonOf({ by, descending }: NonNullable<RangeRequest["sort"]>): (a: Version, b: Version) => number {
  const sign = descending ? -1 : 1;
  switch (by) {
    case "key":
      return (a, b) => sign * compare(a.entry.key, b.entry.key);
    case "value":
      return (a, b) => sign * compare(a.value, b.value);
    case "version":
      return (a, b) => sign * (a.version - b.version);
    case "create":
      return (a, b) => sign * (a.createRevision - b.createRevision);
    case "mod":
      return (a, b) => sign * (a.modRevision - b.modRevision);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
