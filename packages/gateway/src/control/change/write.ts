import type { Clock } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";
import { changeKey, changesPrefix } from "../layout.ts";
import { StoreError } from "../store/store.ts";
import type { Compare, Key, Operation, OperationResult, Store } from "../store/store.ts";
import { ChangeError } from "./change-error.ts";
import type { PlannedWrite } from "./plan.ts";
import { isUnreachable, type Basis } from "./read.ts";
import { encodeRecord, recordsMax, type RecordFacts, type RecordStage } from "./record.ts";
import { orderWrites, splitWrites, transactionLimits, type Reserve, type TransactionLimits } from "./split.ts";

export interface WriteParts {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Default: those of etcd. */
  readonly limits?: TransactionLimits;
}

/** One change, while it is made. */
export interface ChangeJob {
  readonly id: string;
  readonly facts: RecordFacts;
  /** Must hold in every transaction. */
  readonly guards: readonly Compare[];
  /** Goes with the first transaction of each try. `whole`: it is the only one. `all`: what is written in the end. */
  readonly first: (all: readonly PlannedWrite[], whole: boolean) => readonly Operation[];
  /** Goes with the last transaction. */
  readonly last: readonly Operation[];
}

/** How far a change is. Kept over tries: each continues what the one before had done. */
export interface Progress {
  written: PlannedWrite[];
  transactions: number;
  firstRevision: number;
  revision: number;
  /** Of the last transaction that wrote resources: what gateways come to run. */
  resourcesRevision: number;
}

export function noProgress(): Progress {
  return { written: [], transactions: 0, firstRevision: 0, revision: 0, resourcesRevision: 0 };
}

/** How often, and how long, a transaction is sent again that was not answered. */
const resendsMax = 5;
const answerMsMax = 10_000;
const resendPauseMs = 100;

/**
 * Makes a plan: one transaction where that is possible, else several of which each leaves a configuration that refers
 * to nothing that is not there. The record of the change is in the only one; of several, in the first (marked `partial`)
 * and, complete, in the last. Answers `conflict` when the store no longer is what the plan was made from: `progress` then
 * tells what was done, and the rest has to be planned anew.
 *
 * Rejects with a StoreError when nothing was done, else with a ChangeError (`interrupted`, `unanswered`).
 */
export async function writePlan(
  parts: WriteParts,
  basis: Basis,
  planned: readonly PlannedWrite[],
  job: ChangeJob,
  progress: Progress,
): Promise<"done" | "conflict"> {
  const { limits = transactionLimits } = parts;
  const all = [...progress.written, ...planned];
  const ordered = orderWrites(planned);
  const record = (stage: RecordStage): Operation => ({
    type: "put",
    put: { key: changeKey(parts.prefix, job.id), value: encodeRecord(job.facts, all, stage) },
  });
  const first = [...job.first(all, true), ...trimOf(parts.prefix, basis)];
  // The stage that takes the most bytes.
  const reserveLater = sizeOf([record({ firstRevision: Number.MAX_SAFE_INTEGER }), ...job.last], job.guards);
  const reserve = sizeOf([record({ firstRevision: Number.MAX_SAFE_INTEGER }), ...first, ...job.last], job.guards);
  const transactions = splitWrites(ordered, reserve, reserveLater, limits);
  const whole = transactions.length === 1 && progress.transactions === 0;
  for (const [index, writes] of transactions.entries()) {
    const isLast = index === transactions.length - 1;
    const then: Operation[] = writes.map(operationOf);
    if (index === 0) then.push(...job.first(all, whole), ...trimOf(parts.prefix, basis));
    if (isLast) then.push(record(whole ? {} : { firstRevision: progress.firstRevision }), ...job.last);
    else if (index === 0) then.push(record({ partial: true }));
    const compare = [...writes.map(compareOf), ...job.guards];
    const revision = await commit(parts, { compare, then, writes, job, whole }, progress, all.length);
    if (revision === undefined) return "conflict";
    if (progress.transactions === 0) progress.firstRevision = revision;
    progress.transactions++;
    progress.revision = revision;
    if (writes.length > 0) progress.resourcesRevision = revision;
    progress.written.push(...writes);
  }
  return "done";
}

function operationOf({ key, bytes }: PlannedWrite): Operation {
  return bytes === undefined ? { type: "delete", delete: { key } } : { type: "put", put: { key, value: bytes } };
}

function compareOf({ key, modRevision }: PlannedWrite): Compare {
  return { key, is: "=", target: "mod", number: modRevision };
}

/** Deletes the oldest records, so that the newest remain with the one that comes. Nothing of it is newer than that. */
function trimOf(prefix: Key, { recordKeys }: Basis): readonly Operation[] {
  const oldestKept = recordKeys.at(-(recordsMax - 1));
  if (recordKeys.length < recordsMax || oldestKept === undefined) return [];
  return [{ type: "delete", delete: { key: changesPrefix(prefix), end: oldestKept } }];
}

function sizeOf(operations: readonly Operation[], guards: readonly Compare[]): Reserve {
  let bytes = 1_024;
  for (const operation of operations) {
    if (operation.type === "put") bytes += operation.put.key.length + operation.put.value.length + 64;
    if (operation.type === "delete") bytes += 2 * operation.delete.key.length + 64;
  }
  for (const guard of guards) bytes += guard.key.length + 64;
  // As many compares are reserved as operations: there is one of each for a write, and never more guards than others.
  return { bytes, operations: Math.max(operations.length, guards.length) };
}

interface Transaction {
  readonly compare: readonly Compare[];
  readonly then: readonly Operation[];
  readonly writes: readonly PlannedWrite[];
  readonly job: ChangeJob;
  readonly whole: boolean;
}

/**
 * Commits one transaction; answers its revision, or undefined when a compare failed. One that was not answered may have
 * been made or not, now or later: it is sent again, unchanged. Had it been made, its compares fail, and what is read
 * then says that it was ours. So it is made once, and nobody is told that it failed when it did not.
 */
async function commit(
  parts: WriteParts,
  transaction: Transaction,
  progress: Progress,
  total: number,
): Promise<number | undefined> {
  const { store, clock, timers, prefix } = parts;
  const { compare, then, writes, job, whole } = transaction;
  const read = whole ? [changeKey(prefix, job.id)] : writes.map(({ key }) => key);
  const otherwise = read.map((key): Operation => ({ type: "range", range: { key } }));
  const startedMs = clock.now();
  for (let resends = 0; ; resends++) {
    try {
      const { succeeded, revision, responses } = await store.txn({ compare, then, otherwise });
      if (succeeded) return revision;
      return resends === 0 ? undefined : ownRevision(responses, transaction);
    } catch (error) {
      const late = resends >= resendsMax || clock.now() - startedMs >= answerMsMax;
      if (!isUnreachable(error) || late) throw failureOf(error, progress, total, job.id);
    }
    await new Promise<void>((resolve) => timers.after(resendPauseMs * 2 ** resends, resolve));
  }
}

/** The revision in which the first, unanswered sending was made; undefined where somebody else was faster. */
function ownRevision(responses: readonly OperationResult[], { writes, whole }: Transaction): number | undefined {
  const found = responses.map((response) => (response.type === "range" ? response.range.kvs[0] : undefined));
  const newest = found.reduce((most, kv) => Math.max(most, kv?.modRevision ?? 0), 0);
  // The record's key is ours alone. Of one part of several it is enough that it is as wanted, whoever wrote it.
  if (whole) return found[0] === undefined ? undefined : newest;
  if (writes.length === 0) return undefined;
  const asWanted = writes.every(({ bytes }, index) => {
    const kv = found[index];
    return bytes === undefined ? kv === undefined : kv?.value.equals(bytes) === true;
  });
  const revisionOfAnswer = responses[0]?.type === "range" ? responses[0].range.revision : newest;
  return asWanted ? newest || revisionOfAnswer : undefined;
}

function failureOf(error: unknown, progress: Progress, total: number, id: string): unknown {
  const done = progress.written.length;
  const reason = error instanceof Error ? error.message : String(error);
  if (progress.transactions > 0) {
    const message = `${done} of ${total} resources were written when the store failed (${reason}): repeat the command to complete change ${id}.`;
    return new ChangeError("interrupted", message, { cause: error });
  }
  if (!(error instanceof StoreError) || error.code !== "unreachable") return error;
  const message = `The store did not answer (${reason}): look for change ${id} in the history to see whether it was made.`;
  return new ChangeError("unanswered", message, { cause: error });
}
