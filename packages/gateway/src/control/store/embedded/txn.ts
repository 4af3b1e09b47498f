import { bytesOfKey, keyOfBytes } from "../keys.ts";
import type { Compare, Delete, Operation, OperationResult, Put, RangeRequest, RangeResult, Txn } from "../store.ts";
import type { TxnResult } from "../store.ts";
import type { Mvcc, Transaction } from "./mvcc.ts";
import { readRange } from "./range.ts";
import { refuse } from "./refusals.ts";
import { costOf, keyValueOf, versionAt } from "./version.ts";
import type { Version } from "./version.ts";

export interface TxnOptions {
  readonly clusterId: string;
  /** Most that newest values and keys may take; `no-space` beyond. */
  readonly bytesMax: number;
  /** Called before anything is changed. Throws what speaks against writing now. */
  readonly admitWrite: () => void;
}

/** A transaction with its compares decided. */
interface Plan {
  readonly succeeded: boolean;
  readonly steps: readonly (Exclude<Operation, { type: "txn" }> | { readonly type: "plan"; readonly plan: Plan })[];
}

/**
 * Decides a transaction that `checkTxn` passed and carries it out, whole or not at all: all compares, those of nested
 * ones too, see the store as it was before, and everything that can be refused is refused before the first write.
 * Source: etcdserver/apply.go of etcd 3.4 (`compareToPath`, `checkRequestPut`, `applyTxn`).
 */
export function runTxn(mvcc: Mvcc, txn: Txn, options: TxnOptions): { result: TxnResult; changes: readonly Version[] } {
  const plan = planOf(mvcc, txn);
  const demand: Demand = { writes: false, bytes: 0 };
  checkPuts(mvcc, plan, demand);
  checkRanges(mvcc, plan);
  if (demand.writes) options.admitWrite();
  if (demand.bytes > 0 && mvcc.liveBytes + demand.bytes > options.bytesMax) throw refuse("noSpace");
  const transaction = mvcc.begin();
  const responses = carryOut(mvcc, transaction, plan, options.clusterId);
  const { revision, changes } = transaction;
  transaction.finish();
  return { result: { succeeded: plan.succeeded, revision, responses }, changes };
}

function planOf(mvcc: Mvcc, { compare, then, otherwise = [] }: Txn): Plan {
  const succeeded = compare.every((condition) => holds(mvcc, condition));
  const steps = (succeeded ? then : otherwise).map((operation) =>
    operation.type === "txn" ? { type: "plan" as const, plan: planOf(mvcc, operation.txn) } : operation,
  );
  return { succeeded, steps };
}

function holds(mvcc: Mvcc, condition: Compare): boolean {
  let found = false;
  let held = true;
  mvcc.index.visit(condition, (entry) => {
    const version = versionAt(entry, Infinity);
    if (version === undefined) return true;
    found = true;
    held = verdict(condition, comparison(condition, version));
    return held;
  });
  if (found) return held;
  // A key that is not there compares as one of zeros, but has no value that anything could be said of.
  return condition.target !== "value" && verdict(condition, comparison(condition, undefined));
}

/** Below 0: what the store has is less than what is asked for. */
function comparison(condition: Compare, version: Version | undefined): number {
  switch (condition.target) {
    case "version":
      return (version?.version ?? 0) - condition.number;
    case "create":
      return (version?.createRevision ?? 0) - condition.number;
    case "mod":
      return (version?.modRevision ?? 0) - condition.number;
    case "lease": {
      const difference = BigInt(version?.lease ?? "0") - BigInt(condition.lease);
      return difference < 0n ? -1 : difference > 0n ? 1 : 0;
    }
    case "value":
      return Buffer.compare(bytesOfKey(version?.value ?? ""), condition.value);
  }
}

function verdict({ is }: Compare, comparison: number): boolean {
  switch (is) {
    case "=":
      return comparison === 0;
    case "!=":
      return comparison !== 0;
    case "<":
      return comparison < 0;
    case ">":
      return comparison > 0;
  }
}

interface Demand {
  writes: boolean;
  /** What the puts add to the newest values. */
  bytes: number;
}

function checkPuts(mvcc: Mvcc, plan: Plan, demand: Demand): void {
  for (const step of plan.steps) {
    if (step.type === "plan") checkPuts(mvcc, step.plan, demand);
    if (step.type === "delete") demand.writes = true;
    if (step.type !== "put") continue;
    const { key, value, lease = "0", ignoreValue, ignoreLease } = step.put;
    const entry = mvcc.index.find(key);
    const before = entry === undefined ? undefined : versionAt(entry, Infinity);
    if ((ignoreValue === true || ignoreLease === true) && before === undefined) throw refuse("keyNotFound");
    if (lease !== "0" && mvcc.leases.get(lease) === undefined) throw refuse("leaseNotFound");
    const valueBytes = ignoreValue === true ? (before?.value.length ?? 0) : value.length;
    demand.writes = true;
    demand.bytes += costOf(key, "") + valueBytes - (before === undefined ? 0 : costOf(key, before.value));
  }
}

function checkRanges(mvcc: Mvcc, plan: Plan): void {
  for (const step of plan.steps) {
    if (step.type === "plan") checkRanges(mvcc, step.plan);
    else if (step.type === "range") checkRevision(mvcc, step.range.revision ?? 0, mvcc.revision);
  }
}

/** 0 is the newest. */
export function checkRevision(mvcc: Mvcc, revision: number, newest: number): void {
  if (revision > newest) throw refuse("futureRevision");
  if (revision > 0 && revision < mvcc.compactedRevision) throw refuse("compacted");
}

function carryOut(mvcc: Mvcc, transaction: Transaction, plan: Plan, clusterId: string): OperationResult[] {
  return plan.steps.map((step): OperationResult => {
    switch (step.type) {
      case "range":
        return { type: "range", range: range(mvcc, transaction, step.range, clusterId) };
      case "put":
        return put(transaction, step.put);
      case "delete":
        return remove(transaction, step.delete);
      case "plan": {
        const responses = carryOut(mvcc, transaction, step.plan, clusterId);
        return { type: "txn", txn: { succeeded: step.plan.succeeded, revision: transaction.revision, responses } };
      }
    }
  });
}

function range(mvcc: Mvcc, transaction: Transaction, request: RangeRequest, clusterId: string): RangeResult {
  const { revision } = transaction;
  const wanted = request.revision ?? 0;
  return { revision, clusterId, ...readRange(mvcc.index, request, wanted > 0 ? wanted : revision) };
}

function put(
  transaction: Transaction,
  { key, value, lease, previous, ignoreValue, ignoreLease }: Put,
): OperationResult {
  const before = transaction.get(key);
  const newValue = ignoreValue === true && before !== undefined ? before.value : keyOfBytes(value);
  const newLease = ignoreLease === true && before !== undefined ? before.lease : (lease ?? "0");
  transaction.put(key, newValue, newLease);
  return previous === true && before !== undefined ? { type: "put", previous: keyValueOf(before) } : { type: "put" };
}

function remove(transaction: Transaction, request: Delete): OperationResult {
  const deleted = transaction.delete(request);
  const previous = request.previous === true ? deleted.map((version) => keyValueOf(version)) : [];
  return { type: "delete", deleted: deleted.length, previous };
}
