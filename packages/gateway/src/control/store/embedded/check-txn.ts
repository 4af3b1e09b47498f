import type { Delete, Key, Operation, Txn } from "../store.ts";
import { refuse } from "./refusals.ts";

/** etcd's default for `--max-txn-ops`. */
const operationsMax = 128;
/** etcd's default for `--max-request-bytes`: keys and values of a transaction. */
const requestBytesMax = 1_572_864;
/**
 * All operations of a transaction with those nested in it. etcd has no such limit; 128 to a level lets nested ones grow
 * to 80,000 in one request, whose check for keys that are written twice takes seconds.
 */
const nestedOperationsMax = 4_096;

/** Refuses, with etcd's errors and in its order, what can be refused without looking into the store. */
export function checkTxn(txn: Txn): void {
  checkOperations(txn, operationsMax);
  const size: Size = { bytes: 0, operations: 0 };
  measure(txn, size);
  if (size.operations > nestedOperationsMax) throw refuse("tooManyOperations");
  writesOf(txn.then);
  writesOf(txn.otherwise ?? []);
  if (size.bytes > requestBytesMax) throw refuse("requestTooLarge");
}

/** Nested transactions have what their parents left of the operations. */
function checkOperations({ compare, then, otherwise = [] }: Txn, max: number): void {
  const operations = Math.max(compare.length, then.length, otherwise.length);
  if (operations > max) throw refuse("tooManyOperations");
  for (const { key } of compare) checkKey(key);
  for (const operation of [...then, ...otherwise]) {
    if (operation.type === "txn") checkOperations(operation.txn, max - operations);
    else checkOperation(operation);
  }
}

function checkOperation(operation: Exclude<Operation, { type: "txn" }>): void {
  switch (operation.type) {
    case "range":
      return checkKey(operation.range.key);
    case "delete":
      return checkKey(operation.delete.key);
    case "put": {
      const { key, value, lease = "0", ignoreValue, ignoreLease } = operation.put;
      checkKey(key);
      if (ignoreValue === true && value.length > 0) throw refuse("valueProvided");
      if (ignoreLease === true && lease !== "0") throw refuse("leaseProvided");
    }
  }
}

export function checkKey(key: Key): void {
  if (key === "") throw refuse("emptyKey");
}

interface Size {
  bytes: number;
  operations: number;
}

function measure({ compare, then, otherwise = [] }: Txn, size: Size): void {
  size.operations += then.length + otherwise.length;
  for (const condition of compare) {
    size.bytes += condition.key.length + (condition.target === "value" ? condition.value.length : 0);
  }
  for (const operation of [...then, ...otherwise]) {
    if (operation.type === "txn") measure(operation.txn, size);
    else if (operation.type === "put") size.bytes += operation.put.key.length + operation.put.value.length;
    else size.bytes += operation.type === "range" ? operation.range.key.length : operation.delete.key.length;
  }
}

interface Writes {
  readonly puts: Set<Key>;
  readonly deletes: Delete[];
}

/**
 * The keys that operations may write. Refuses a key that would be put twice, or put and deleted, in one revision.
 * Source: `checkIntervals` in etcd's api/v3rpc/key.go.
 */
function writesOf(operations: readonly Operation[]): Writes {
  const puts = new Set<Key>();
  const deletes: Delete[] = [];
  for (const operation of operations) {
    if (operation.type === "delete") deletes.push(operation.delete);
  }
  const add = (key: Key): void => {
    if (puts.has(key) || deletes.some((range) => touches(range, key))) throw refuse("duplicateKey");
    puts.add(key);
  };
  for (const operation of operations) {
    if (operation.type !== "txn") continue;
    const then = writesOf(operation.txn.then);
    const otherwise = writesOf(operation.txn.otherwise ?? []);
    for (const key of then.puts) add(key);
    // Only one of the two branches runs, so a key may stand in both.
    for (const key of otherwise.puts) if (!then.puts.has(key)) add(key);
    deletes.push(...then.deletes, ...otherwise.deletes);
  }
  for (const operation of operations) {
    if (operation.type === "put") add(operation.put.key);
  }
  return { puts, deletes };
}

/** etcd does not see that a deletion without an end ("\0") covers any key: neither do we. */
function touches({ key, end }: Delete, put: Key): boolean {
  return end === undefined ? put === key : put >= key && put < end;
}
