import { isDeepStrictEqual } from "node:util";
import { formatPath } from "@headgate/schema";
import { resourceKey, resourceNameProblem } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import type { Key, KeyValue } from "../store/store.ts";
import type { RecordedWrite, ResourceWrite } from "./change.ts";
import { valueOf } from "./read.ts";

/** A write that changes something, and what it was decided from. */
export interface PlannedWrite extends RecordedWrite {
  readonly key: Key;
  /** The new value as it is stored; absent deletes. */
  readonly bytes?: Buffer;
  /** The revision of what it replaces or deletes; 0 where there is nothing. A transaction holds it to that. */
  readonly modRevision: number;
}

export interface Plan {
  /** What it was made for. */
  readonly wanted: readonly ResourceWrite[];
  readonly writes: readonly PlannedWrite[];
  readonly problems: readonly ReportedProblem[];
}

/** A value must leave room in a transaction for the record of the change. */
export const valueBytesMax = 1024 * 1024;

/**
 * What to write so that the store holds the wanted resources. Values that are the same JSON, whatever the order of keys
 * and however it is spelled, are left alone. Pure.
 */
export function planWrites(prefix: Key, stored: ReadonlyMap<Key, KeyValue>, wanted: readonly ResourceWrite[]): Plan {
  const writes: PlannedWrite[] = [];
  const problems: ReportedProblem[] = [];
  for (const write of wanted) {
    const { kind, name } = write;
    const path = formatPath([kind, name]);
    const nameProblem = write.value === undefined ? undefined : resourceNameProblem(kind, name);
    if (nameProblem !== undefined) {
      problems.push({ severity: "error", path, message: nameProblem });
      continue;
    }
    const key = resourceKey(prefix, kind, name);
    const planned = planWrite(key, stored.get(key), write);
    if (planned === undefined) continue;
    const size = planned.bytes?.length ?? 0;
    if (size > valueBytesMax) {
      const message = `takes ${size} bytes, a store takes at most ${valueBytesMax} of one resource`;
      problems.push({ severity: "error", path, message, hint: "split it into several resources" });
      continue;
    }
    writes.push(planned);
  }
  return { wanted, writes, problems };
}

function planWrite(key: Key, held: KeyValue | undefined, write: ResourceWrite): PlannedWrite | undefined {
  const { kind, name } = write;
  if (write.value === undefined) {
    if (held === undefined) return undefined;
    return { kind, name, key, action: "delete", before: valueOf(held), modRevision: held.modRevision };
  }
  const text = JSON.stringify(write.value);
  const bytes = Buffer.from(text);
  // What was asked for may hold what JSON does not have; what is stored and recorded is what it became.
  const after: unknown = JSON.parse(text);
  if (held === undefined) return { kind, name, key, action: "create", after, bytes, modRevision: 0 };
  if (held.value.equals(bytes)) return undefined;
  const before = valueOf(held);
  if (isDeepStrictEqual(before, after)) return undefined;
  return { kind, name, key, action: "update", before, after, bytes, modRevision: held.modRevision };
}

/** The same, for who only asks what is to become of which resource. */
export function toResourceWrite({ kind, name, after }: PlannedWrite): ResourceWrite {
  return { kind, name, value: after };
}
