import { bytesOfKey, keyOfBytes } from "../keys.ts";
import type * as s from "../store.ts";
import type * as m from "./messages.ts";
import type { Sent } from "./messages.ts";

/**
 * A revision, version or count as a number. Ids are never turned into numbers: they use all 64 bits. A store would need
 * 285 years of a million writes a second to get there.
 */
export function numberOf(text: m.Int64): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new Error(`etcd answered with ${text}, which is no exact number here`);
  return number;
}

function keyRange({ key, end }: s.KeyRange): { readonly key: Buffer; readonly range_end?: Buffer } {
  return end === undefined ? { key: bytesOfKey(key) } : { key: bytesOfKey(key), range_end: bytesOfKey(end) };
}

const sortTargets = { key: "KEY", version: "VERSION", create: "CREATE", mod: "MOD", value: "VALUE" } as const;

export function rangeRequest(range: s.RangeRequest): Sent<m.RangeRequestMessage> {
  const { sort } = range;
  return {
    ...keyRange(range),
    limit: String(range.limit ?? 0),
    revision: String(range.revision ?? 0),
    keys_only: range.keysOnly ?? false,
    count_only: range.countOnly ?? false,
    min_mod_revision: String(range.minModRevision ?? 0),
    max_mod_revision: String(range.maxModRevision ?? 0),
    min_create_revision: String(range.minCreateRevision ?? 0),
    max_create_revision: String(range.maxCreateRevision ?? 0),
    ...(sort && { sort_target: sortTargets[sort.by], sort_order: sort.descending ? "DESCEND" : "ASCEND" }),
  };
}

const comparisons = { "=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER" } as const;

function compareMessage(compare: s.Compare): Sent<m.CompareMessage> {
  const common = { ...keyRange(compare), result: comparisons[compare.is] };
  switch (compare.target) {
    case "version":
      return { ...common, target: "VERSION", version: String(compare.number) };
    case "create":
      return { ...common, target: "CREATE", create_revision: String(compare.number) };
    case "mod":
      return { ...common, target: "MOD", mod_revision: String(compare.number) };
    case "value":
      return { ...common, target: "VALUE", value: compare.value };
    case "lease":
      return { ...common, target: "LEASE", lease: compare.lease };
  }
}

function requestOp(operation: s.Operation): Sent<m.RequestOp> {
  switch (operation.type) {
    case "range":
      return { request_range: rangeRequest(operation.range) };
    case "put": {
      const { key, value, lease = "0", previous = false, ignoreValue = false, ignoreLease = false } = operation.put;
      const put = { key: bytesOfKey(key), lease, prev_kv: previous, ignore_value: ignoreValue };
      // etcd refuses a value beside ignore_value, even an empty one of a length.
      return { request_put: { ...put, ignore_lease: ignoreLease, ...(ignoreValue ? {} : { value }) } };
    }
    case "delete":
      return { request_delete_range: { ...keyRange(operation.delete), prev_kv: operation.delete.previous ?? false } };
    case "txn":
      return { request_txn: txnRequest(operation.txn) };
  }
}

export function txnRequest(txn: s.Txn): Sent<m.TxnRequest> {
  return {
    compare: txn.compare.map(compareMessage),
    success: txn.then.map(requestOp),
    failure: (txn.otherwise ?? []).map(requestOp),
  };
}

/** Whether a transaction can be repeated without harm: neither of its branches writes. */
export function onlyReads(txn: s.Txn): boolean {
  return [...txn.then, ...(txn.otherwise ?? [])].every(
    (operation) => operation.type === "range" || (operation.type === "txn" && onlyReads(operation.txn)),
  );
}

export function keyValue(message: m.KeyValueMessage): s.KeyValue {
  return {
    key: keyOfBytes(message.key),
    value: message.value,
    createRevision: numberOf(message.create_revision),
    modRevision: numberOf(message.mod_revision),
    version: numberOf(message.version),
    lease: message.lease,
  };
}

export function storeEvent(message: m.EventMessage): s.StoreEvent {
  if (message.kv === null) throw new Error("etcd sent an event without a key");
  const type = message.type === "DELETE" ? "delete" : "put";
  const kv = keyValue(message.kv);
  return message.prev_kv === null ? { type, kv } : { type, kv, previous: keyValue(message.prev_kv) };
}

const noHeader: m.ResponseHeader = { cluster_id: "0", member_id: "0", revision: "0", raft_term: "0" };

export function rangeResult(response: m.RangeResponse, outer?: m.ResponseHeader): s.RangeResult {
  // Within a transaction only the outer header is filled in.
  const header = outer ?? response.header ?? noHeader;
  return {
    revision: numberOf(header.revision),
    clusterId: header.cluster_id,
    kvs: response.kvs.map(keyValue),
    more: response.more,
    count: numberOf(response.count),
  };
}

function operationResult(op: m.ResponseOp, header: m.ResponseHeader): s.OperationResult {
  if (op.response_range) return { type: "range", range: rangeResult(op.response_range, header) };
  if (op.response_put) {
    const previous = op.response_put.prev_kv;
    return previous === null ? { type: "put" } : { type: "put", previous: keyValue(previous) };
  }
  if (op.response_delete_range) {
    const { deleted, prev_kvs } = op.response_delete_range;
    return { type: "delete", deleted: numberOf(deleted), previous: prev_kvs.map(keyValue) };
  }
  if (op.response_txn) return { type: "txn", txn: txnResult(op.response_txn, header) };
  throw new Error("etcd answered an operation with nothing that is known");
}

export function txnResult(response: m.TxnResponse, outer?: m.ResponseHeader): s.TxnResult {
  const header = outer ?? response.header ?? noHeader;
  return {
    succeeded: response.succeeded,
    revision: numberOf(header.revision),
    responses: response.responses.map((op) => operationResult(op, header)),
  };
}
