import type { Kind } from "../layout.ts";
import { bytesOfKey } from "../store/keys.ts";
import type { PlannedWrite } from "./plan.ts";
import { operationsMax } from "./read.ts";

/** What fits into one transaction. */
export interface TransactionLimits {
  /** Operations, and as many compares. */
  readonly operations: number;
  readonly bytes: number;
}

/** Etcd's defaults are 128 and 1.5 MiB for the whole request; the rest is room for what carries it. */
export const transactionLimits: TransactionLimits = { operations: operationsMax, bytes: Math.floor(1.4 * 1024 ** 2) };

/** What each transaction holds besides the writes. */
export interface Reserve {
  readonly operations: number;
  /** Of the first transaction; the others have at most as much. */
  readonly bytes: number;
}

/** What refers to nothing first; a kind refers only to those before it. */
const kindOrder: readonly Kind[] = [
  "plugins",
  "middlewares",
  "services",
  "consumers",
  "certificates",
  "routes",
  "settings",
];

/**
 * The order in which writes may take effect one after the other: what is referred to comes before who refers to it, and
 * goes after the last reference is gone.
 */
export function orderWrites(writes: readonly PlannedWrite[]): PlannedWrite[] {
  const rank = ({ kind, bytes }: PlannedWrite): number => {
    const place = kindOrder.indexOf(kind);
    return bytes === undefined ? 2 * kindOrder.length - place : place;
  };
  return writes.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * Ordered writes in as few transactions as the limits allow, at least one. Where what is reserved leaves no room for the
 * first write, the first transaction has none.
 */
export function splitWrites(
  ordered: readonly PlannedWrite[],
  reserve: Reserve,
  reserveLater: Reserve,
  limits: TransactionLimits,
): PlannedWrite[][] {
  let current: PlannedWrite[] = [];
  const transactions = [current];
  let bytes = reserve.bytes;
  let operations = reserve.operations;
  for (const write of ordered) {
    const size = writeBytes(write);
    if (operations + 1 > limits.operations || bytes + size > limits.bytes) {
      current = [];
      transactions.push(current);
      ({ bytes, operations } = reserveLater);
    }
    current.push(write);
    bytes += size;
    operations++;
  }
  return transactions;
}

/** Of the operation, its compare, and what protobuf adds. */
function writeBytes({ key, bytes }: PlannedWrite): number {
  return 2 * bytesOfKey(key).length + (bytes?.length ?? 0) + 64;
}
