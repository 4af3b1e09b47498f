import type * as m from "../../etcd/messages.ts";
import { keyOfBytes } from "../../keys.ts";
import type { Compare, Delete, KeyRange, Operation, Put, RangeRequest, Txn } from "../../store.ts";
import { EtcdError, etcdError } from "./errors.ts";
import { status } from "@grpc/grpc-js";

/** A request of etcd's API in the terms of the store, which checks it. */
export function readRange(request: m.RangeRequestMessage): RangeRequest {
  const revision = Number(request.revision);
  const { sort_target: target, sort_order: order } = request;
  const sorted = order !== "NONE" || target !== "KEY";
  return {
    ...rangeOf(request),
    ...(revision > 0 ? { revision } : {}),
    limit: Number(request.limit),
    keysOnly: request.keys_only,
    countOnly: request.count_only,
    ...(sorted ? { sort: { by: sortTargets[target], descending: order === "DESCEND" } } : {}),
    minModRevision: Number(request.min_mod_revision),
    maxModRevision: Number(request.max_mod_revision),
    minCreateRevision: Number(request.min_create_revision),
    maxCreateRevision: Number(request.max_create_revision),
  };
}

const sortTargets = {
  KEY: "key",
  VERSION: "version",
  CREATE: "create",
  MOD: "mod",
  VALUE: "value",
} as const satisfies Record<m.RangeRequestMessage["sort_target"], string>;

export function readPut(request: m.PutRequest): Put {
  return {
    key: keyOfBytes(request.key),
    value: request.value,
    ...(request.lease === "0" ? {} : { lease: request.lease }),
    previous: request.prev_kv,
    ignoreValue: request.ignore_value,
    ignoreLease: request.ignore_lease,
  };
}

export function readDelete(request: m.DeleteRangeRequest): Delete {
  return { ...rangeOf(request), previous: request.prev_kv };
}

export function readTxn({ compare, success, failure }: m.TxnRequest): Txn {
  return {
    compare: compare.map(readCompare),
    then: success.map(readOperation),
    otherwise: failure.map(readOperation),
  };
}

function readOperation(operation: m.RequestOp): Operation {
  const { request_range, request_put, request_delete_range, request_txn } = operation;
  if (request_range !== undefined) return { type: "range", range: readRange(request_range) };
  if (request_put !== undefined) return { type: "put", put: readPut(request_put) };
  if (request_delete_range !== undefined) return { type: "delete", delete: readDelete(request_delete_range) };
  if (request_txn !== undefined) return { type: "txn", txn: readTxn(request_txn) };
  throw etcdError("noOperation");
}

const relations = {
  EQUAL: "=",
  NOT_EQUAL: "!=",
  LESS: "<",
  GREATER: ">",
} as const satisfies Record<m.CompareMessage["result"], string>;

/** What is compared with stands in one of five fields; if it is not the target's, etcd takes the target's default. */
function readCompare(compare: m.CompareMessage): Compare {
  const range = rangeOf(compare);
  const is = relations[compare.result];
  switch (compare.target) {
    case "VERSION":
      return { ...range, is, target: "version", number: Number(compare.version ?? 0) };
    case "CREATE":
      return { ...range, is, target: "create", number: Number(compare.create_revision ?? 0) };
    case "MOD":
      return { ...range, is, target: "mod", number: Number(compare.mod_revision ?? 0) };
    case "VALUE":
      return { ...range, is, target: "value", value: compare.value ?? Buffer.alloc(0) };
    case "LEASE":
      return { ...range, is, target: "lease", lease: compare.lease ?? "0" };
    default:
      throw unknownEnum("target");
  }
}

/** An empty end means one key; "\0" is the contract's own sign for no end. */
export function rangeOf({ key, range_end: end }: { readonly key: Buffer; readonly range_end: Buffer }): KeyRange {
  return end.length === 0 ? { key: keyOfBytes(key) } : { key: keyOfBytes(key), end: keyOfBytes(end) };
}

/** Values that the definitions do not name arrive as numbers, whatever the types say. */
function unknownEnum(field: string): EtcdError {
  return new EtcdError(status.INVALID_ARGUMENT, `etcdserver: ${field} has a value that is not known`);
}
