import type * as m from "../../etcd/messages.ts";
import { bytesOfKey } from "../../keys.ts";
import type { KeyValue, OperationResult, RangeResult, StoreEvent, TxnResult } from "../../store.ts";

type Sent<T> = m.Sent<T>;

export function writeKeyValue(kv: KeyValue): m.KeyValueMessage {
  return {
    key: bytesOfKey(kv.key),
    value: kv.value,
    create_revision: String(kv.createRevision),
    mod_revision: String(kv.modRevision),
    version: String(kv.version),
    lease: kv.lease,
  };
}

export function writeEvent({ type, kv, previous }: StoreEvent, withPrevious: boolean): Sent<m.EventMessage> {
  return {
    type: type === "put" ? "PUT" : "DELETE",
    // As etcd: of a deletion only the key and its revision.
    kv: type === "put" ? writeKeyValue(kv) : { key: bytesOfKey(kv.key), mod_revision: String(kv.modRevision) },
    ...(withPrevious && previous !== undefined ? { prev_kv: writeKeyValue(previous) } : {}),
  };
}

export function writeRange(range: RangeResult, header: Sent<m.ResponseHeader>): Sent<m.RangeResponse> {
  return { header, kvs: range.kvs.map(writeKeyValue), more: range.more, count: String(range.count) };
}

/** Answers inside a transaction have a header of their own, with the revision as it was at that step and nothing else. */
export function writeTxn(
  result: TxnResult,
  header: Sent<m.ResponseHeader>,
  steps = new Steps(result),
): Sent<m.TxnResponse> {
  return {
    header,
    succeeded: result.succeeded,
    responses: result.responses.map((response) => writeOperation(response, steps)),
  };
}

function writeOperation(result: OperationResult, steps: Steps): Sent<m.ResponseOp> {
  switch (result.type) {
    case "range":
      return { response_range: writeRange(result.range, steps.header()) };
    case "put": {
      const header = steps.header(true);
      const previous = result.previous === undefined ? {} : { prev_kv: writeKeyValue(result.previous) };
      return { response_put: { header, ...previous } };
    }
    case "delete":
      return { response_delete_range: writeDelete(result, steps.header(result.deleted > 0)) };
    case "txn":
      return { response_txn: writeTxn(result.txn, {}, steps) };
  }
}

export function writeDelete(
  result: Extract<OperationResult, { type: "delete" }>,
  header: Sent<m.ResponseHeader>,
): Sent<m.DeleteRangeResponse> {
  return { header, deleted: String(result.deleted), prev_kvs: result.previous.map(writeKeyValue) };
}

/** The revision before the first write of a transaction, and that of the transaction from there on. */
class Steps {
  #revision: number;
  readonly #written: number;

  constructor(result: TxnResult) {
    this.#written = result.revision;
    this.#revision = hasWrites(result) ? result.revision - 1 : result.revision;
  }

  header(wrote = false): Sent<m.ResponseHeader> {
    if (wrote) this.#revision = this.#written;
    return { revision: String(this.#revision) };
  }
}

function hasWrites({ responses }: TxnResult): boolean {
  return responses.some((response) => {
    if (response.type === "txn") return hasWrites(response.txn);
    return response.type === "put" || (response.type === "delete" && response.deleted > 0);
  });
}
