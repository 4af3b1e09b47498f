import type { Random } from "../../core/clock.ts";
import { isKind, parseKey } from "../layout.ts";
import type { Key, KeyValue } from "../store/store.ts";
import type { Change, ChangeAction, RecordedWrite } from "./change.ts";

/** A record that would be larger holds names without values, and if need be not all of them. */
export const recordBytesMax = 256 * 1024;

/** So many of the newest changes are kept; older ones go with the next change. */
export const recordsMax = 200;

/** What a record says besides its writes. */
export interface RecordFacts {
  readonly author: string;
  /** ISO 8601. */
  readonly time: string;
  readonly message: string;
  readonly action: ChangeAction;
  readonly of?: string;
}

/** Of a change of several transactions: how far it is. `firstRevision`: that of the first transaction. */
export type RecordStage =
  { readonly partial: true } | { readonly firstRevision: number } | Readonly<Record<string, never>>;

const timeDigits = 9;
const randomDigits = 6;

/**
 * An id that sorts behind all that are recorded, so that the oldest come first: milliseconds since 1970 and chance, in
 * base 36. A clock that is behind that of another gateway does not change the order.
 */
export function newChangeId(wallMs: number, recordIds: readonly string[], random: Random): string {
  const newest = recordIds.reduce((most, id) => Math.max(most, timeOf(id)), 0);
  const ms = Math.max(Math.floor(wallMs), newest + 1);
  const chance = Math.floor(random() * 36 ** randomDigits);
  return `${ms.toString(36).padStart(timeDigits, "0")}-${chance.toString(36).padStart(randomDigits, "0")}`;
}

/** 0 for an id that is none of ours, or of a time that no clock shows: it must not push all later ids behind it. */
function timeOf(id: string): number {
  const digits = /^([0-9a-z]{9})-[0-9a-z]{6}$/.exec(id)?.[1];
  const ms = digits === undefined ? 0 : Number.parseInt(digits, 36);
  return ms < 36 ** timeDigits - 1_000_000 ? ms : 0;
}

/** The record of a change as it is stored, with as much of its writes as fits. */
export function encodeRecord(
  facts: RecordFacts,
  writes: readonly RecordedWrite[],
  stage: RecordStage,
  bytesMax = recordBytesMax,
): Buffer {
  const encode = (record: object): Buffer => Buffer.from(JSON.stringify({ ...facts, ...stage, ...record }));
  // Only the fields of a record: plans carry more.
  const whole = writes.map(({ kind, name, action, before, after }) => ({ kind, name, action, before, after }));
  const full = encode({ writes: whole });
  if (full.length <= bytesMax) return full;
  const names = whole.map(({ kind, name, action }) => ({ kind, name, action }));
  let record = encode({ writes: names, truncated: true });
  for (let kept = names.length; record.length > bytesMax && kept > 0;) {
    kept = Math.floor((kept * bytesMax) / record.length / 1.05);
    record = encode({ writes: names.slice(0, kept), truncated: true, leftOut: names.length - kept });
  }
  return record;
}

/** A change as it was recorded, and what rolling back needs to know of it. */
export interface RecordedChange extends Change {
  /** That of its first transaction. */
  readonly firstRevision: number;
}

/** `undefined` for a value that is no record: somebody put it by hand. */
export function parseRecord(prefix: Key, kv: KeyValue): RecordedChange | undefined {
  const parsed = parseKey(prefix, kv.key);
  if (parsed.area !== "change") return undefined;
  const record = jsonOf(kv);
  if (record === undefined) return undefined;
  const { author, time, message, action, writes, truncated, partial, of, firstRevision } = record;
  if (!Array.isArray(writes) || !isAction(action) || typeof time !== "string") return undefined;
  const revision = kv.modRevision;
  return {
    id: parsed.id,
    revision,
    time,
    author: typeof author === "string" ? author : "",
    message: typeof message === "string" ? message : "",
    action,
    writes: writes.flatMap(parseWrite),
    ...(truncated === true ? { truncated } : {}),
    ...(partial === true ? { partial } : {}),
    ...(typeof of === "string" ? { of } : {}),
    firstRevision: partial === true ? kv.createRevision : typeof firstRevision === "number" ? firstRevision : revision,
  };
}

function parseWrite(write: unknown): RecordedWrite[] {
  if (!isMap(write)) return [];
  const { kind, name, action } = write;
  if (typeof kind !== "string" || !isKind(kind) || typeof name !== "string") return [];
  if (action !== "create" && action !== "update" && action !== "delete") return [];
  return [
    {
      kind,
      name,
      action,
      ...("before" in write ? { before: write["before"] } : {}),
      ...("after" in write ? { after: write["after"] } : {}),
    },
  ];
}

function isAction(action: unknown): action is ChangeAction {
  return ["apply", "put", "delete", "rollback", "unconfirmed"].some((known) => known === action);
}

/** A stored map, or undefined. */
export function jsonOf(kv: KeyValue): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(kv.value.toString("utf8"));
    return isMap(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
