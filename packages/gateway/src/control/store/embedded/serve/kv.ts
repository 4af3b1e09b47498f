import type * as m from "../../etcd/messages.ts";
import type { Sent } from "../../etcd/messages.ts";
import type { Rpc } from "../../etcd/rpc.ts";
import type { Operation, OperationResult } from "../../store.ts";
import { unary, type ServeContext } from "./context.ts";
import { readDelete, readPut, readRange, readTxn } from "./read-requests.ts";
import { writeDelete, writeKeyValue, writeRange, writeTxn } from "./write-responses.ts";

/** etcd's KV service. */
export function kvService(context: ServeContext, { KV }: Rpc) {
  const { store, header } = context;
  /** One write, and the revision that it led to. */
  async function write<Type extends "put" | "delete">(
    operation: Extract<Operation, { type: Type }>,
  ): Promise<{ revision: number; result: Extract<OperationResult, { type: Type }> }> {
    const { revision, responses } = await store.txn({ compare: [], then: [operation] });
    // The one answer of the one operation, of its type: the contract of `txn`.
    return { revision, result: responses[0] as Extract<OperationResult, { type: Type }> };
  }
  return {
    Range: unary(context, KV.Range, async (request) => {
      const result = await store.range(readRange(request));
      return writeRange(result, header(result.revision));
    }),
    Put: unary(context, KV.Put, async (request): Promise<Sent<m.PutResponse>> => {
      const { revision, result } = await write({ type: "put", put: readPut(request) });
      const previous = result.previous === undefined ? {} : { prev_kv: writeKeyValue(result.previous) };
      return { header: header(revision), ...previous };
    }),
    DeleteRange: unary(context, KV.DeleteRange, async (request) => {
      const { revision, result } = await write({ type: "delete", delete: readDelete(request) });
      return writeDelete(result, header(revision));
    }),
    Txn: unary(context, KV.Txn, async (request) => {
      const result = await store.txn(readTxn(request));
      return writeTxn(result, header(result.revision));
    }),
    Compact: unary(context, KV.Compact, async (request) => {
      await store.compact(Number(request.revision));
      return { header: header() };
    }),
  };
}
