import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { confirmKey, isKind, parseKey, resourceKey } from "../layout.ts";
import type { Key, KeyValue, Operation } from "../store/store.ts";
import type { ResourceWrite } from "./change.ts";
import type { PlannedWrite } from "./plan.ts";
import { valueOf } from "./read.ts";
import { jsonOf } from "./record.ts";

/** A change that takes itself back unless it is confirmed: what is under `<prefix>confirm/<change>`. */
export interface PendingChange {
  readonly change: string;
  readonly author: string;
  /** By the clock of the gateway that made it. */
  readonly deadlineWallMs: number;
  readonly durationMs: number;
  /** All writes have the revision in which the key came to be. */
  readonly whole: boolean;
  readonly undo: readonly UndoWrite[];
}

/** How to take back one write. */
export interface UndoWrite extends ResourceWrite {
  /** What the change stored: the beginning of its SHA-256; null where it deleted. */
  readonly after: string | null;
}

/** What a confirmation must know of a change has to fit into one value beside others. */
export const undoBytesMax = 1024 * 1024;

/** Longer ones fit no timer; nobody waits so long for a person. */
export const confirmMsMax = 24 * 60 * 60 * 1_000;
export const confirmMsMin = 1_000;

export function pendingOf(facts: Omit<PendingChange, "undo">, writes: readonly PlannedWrite[]): PendingChange {
  // A resource that was written twice, because a try failed half-way, goes back to what it was at first.
  const undo = new Map<Key, UndoWrite>();
  for (const { key, kind, name, before, bytes } of writes) {
    const earliest = undo.get(key);
    const after = bytes === undefined ? null : digestOf(bytes);
    undo.set(key, { kind, name, value: earliest === undefined ? before : earliest.value, after });
  }
  return { ...facts, undo: [...undo.values()] };
}

export function putPending(prefix: Key, pending: PendingChange): Operation {
  const { change, undo, ...rest } = pending;
  // JSON has no undefined: a write without `value` deletes.
  const value = Buffer.from(JSON.stringify({ ...rest, undo }));
  return { type: "put", put: { key: confirmKey(prefix, change), value } };
}

/** `undefined` for a value that is none: somebody put it by hand. */
export function parsePending(prefix: Key, kv: KeyValue): PendingChange | undefined {
  const parsed = parseKey(prefix, kv.key);
  const stored = jsonOf(kv);
  if (parsed.area !== "confirm" || stored === undefined) return undefined;
  const { author, deadlineWallMs, durationMs, whole, undo } = stored;
  if (typeof deadlineWallMs !== "number" || typeof durationMs !== "number" || !Array.isArray(undo)) return undefined;
  const writes = undo.flatMap(parseUndo);
  if (writes.length !== undo.length) return undefined;
  return {
    change: parsed.id,
    author: typeof author === "string" ? author : "",
    deadlineWallMs,
    durationMs: Math.min(Math.max(0, durationMs), confirmMsMax),
    whole: whole === true,
    undo: writes,
  };
}

function parseUndo(write: unknown): UndoWrite[] {
  if (typeof write !== "object" || write === null) return [];
  const { kind, name, value, after }: { kind?: unknown; name?: unknown; value?: unknown; after?: unknown } = write;
  if (typeof kind !== "string" || !isKind(kind) || typeof name !== "string") return [];
  if (typeof after !== "string" && after !== null) return [];
  return [{ kind, name, value, after }];
}

/** What taking a change back comes to by now. */
export interface UndoPlan {
  readonly wanted: readonly ResourceWrite[];
  /** Resources that somebody changed since: they stay. */
  readonly left: readonly string[];
}

/**
 * Which resources still are what the change made of them. `confirm` is the key that waits, `stored` what the store holds
 * of the resources. Pure.
 */
export function planUndo(
  prefix: Key,
  pending: PendingChange,
  confirm: KeyValue,
  stored: ReadonlyMap<Key, KeyValue>,
): UndoPlan {
  const wanted: ResourceWrite[] = [];
  const left: string[] = [];
  for (const { kind, name, value, after } of pending.undo) {
    const held = stored.get(resourceKey(prefix, kind, name));
    if (isOfChange(pending.whole, confirm.createRevision, held, after)) wanted.push({ kind, name, value });
    else if (!isDeepStrictEqual(held === undefined ? undefined : valueOf(held), value)) left.push(`${kind}/${name}`);
  }
  return { wanted, left };
}

function isOfChange(whole: boolean, since: number, held: KeyValue | undefined, after: string | null): boolean {
  if (after === null || held === undefined) return after === null && held === undefined;
  if (whole) return held.modRevision === since;
  return held.modRevision >= since && digestOf(held.value) === after;
}

function digestOf(value: Buffer): string {
  return createHash("sha256").update(value).digest("base64url").slice(0, 22);
}
