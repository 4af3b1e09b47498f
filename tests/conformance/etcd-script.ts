import type * as m from "../../packages/gateway/src/control/store/etcd/messages.ts";
import type { Sent } from "../../packages/gateway/src/control/store/etcd/messages.ts";

/** The words that the scripts are written in: what is sent to a real etcd and to ours, to be compared. */

export type Call =
  | { readonly call: "Range"; readonly request: Sent<m.RangeRequestMessage> }
  | { readonly call: "Put"; readonly request: Sent<m.PutRequest> }
  | { readonly call: "DeleteRange"; readonly request: Sent<m.DeleteRangeRequest> }
  | { readonly call: "Txn"; readonly request: Sent<m.TxnRequest> }
  | { readonly call: "Compact"; readonly request: Sent<m.CompactionRequest> }
  | { readonly call: "LeaseGrant"; readonly request: Sent<m.LeaseGrantRequest> }
  | { readonly call: "LeaseRevoke"; readonly request: Sent<m.LeaseId> }
  | { readonly call: "LeaseTimeToLive"; readonly request: Sent<m.LeaseTimeToLiveRequest> }
  | { readonly call: "LeaseLeases"; readonly request: m.Empty }
  | { readonly call: "Alarm"; readonly request: Sent<m.AlarmRequest> }
  | { readonly call: "Authenticate"; readonly request: Sent<m.AuthenticateRequest> };

/** What a watch stream is told, and how many answers and events have to be there before the next is sent. */
export type WatchAct = (
  | { readonly create: Sent<m.WatchCreateRequest> }
  | { readonly cancel: string }
  | { readonly progress: true }
  | { readonly also: Call }
) & {
  /** Answers without events that it leads to. */
  readonly answers?: number;
  readonly events?: number;
};

export type Step = { readonly name: string } & (
  | Call
  | { readonly call: "Watch"; readonly acts: readonly WatchAct[] }
  | { readonly call: "LeaseKeepAlive"; readonly ids: readonly string[] }
);

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** A key and an end, in short: `"a"`, `"a..c"`, `"a.."` for everything from a on, `".."` for everything. */
function span(text: string): { key: Buffer; range_end?: Buffer } {
  const [key = "", end] = text.split("..");
  // Left out, not empty: an empty end that is written out is no end at all to etcd, and not one key.
  if (end === undefined) return { key: bytes(key) };
  return { key: bytes(key === "" ? "\0" : key), range_end: bytes(end === "" ? "\0" : end) };
}

export const range = (keys: string, more: Sent<Omit<m.RangeRequestMessage, "key" | "range_end">> = {}) =>
  ({ call: "Range", request: { ...span(keys), ...more } }) as const;

export const put = (key: string, value = "", more: Sent<Omit<m.PutRequest, "key" | "value">> = {}) =>
  ({ call: "Put", request: { key: bytes(key), value: bytes(value), ...more } }) as const;

export const del = (keys: string, more: { readonly prev_kv?: boolean } = {}) =>
  ({ call: "DeleteRange", request: { ...span(keys), ...more } }) as const;

type KvCall = Extract<Call, { call: "Range" | "Put" | "DeleteRange" | "Txn" }>;

function operation(kv: KvCall): Sent<m.RequestOp> {
  switch (kv.call) {
    case "Range":
      return { request_range: kv.request };
    case "Put":
      return { request_put: kv.request };
    case "DeleteRange":
      return { request_delete_range: kv.request };
    case "Txn":
      return { request_txn: kv.request };
  }
}

export function txn(
  compare: readonly Sent<m.CompareMessage>[],
  success: readonly KvCall[],
  failure: readonly KvCall[] = [],
): { readonly call: "Txn"; readonly request: Sent<m.TxnRequest> } {
  const request = { compare, success: success.map(operation), failure: failure.map(operation) };
  return { call: "Txn", request };
}

type Union = Sent<Pick<m.CompareMessage, "version" | "create_revision" | "mod_revision" | "value" | "lease">>;

export function compare(
  keys: string,
  target: m.CompareMessage["target"],
  result: m.CompareMessage["result"],
  union: Union = {},
): Sent<m.CompareMessage> {
  return { ...span(keys), target, result, ...union };
}

export const compact = (revision: number) => ({ call: "Compact", request: { revision: String(revision) } }) as const;

export const grant = (ID: string, TTL: string) => ({ call: "LeaseGrant", request: { ID, TTL } }) as const;
export const revoke = (ID: string) => ({ call: "LeaseRevoke", request: { ID } }) as const;
export const timeToLive = (ID: string, keys = false) => ({ call: "LeaseTimeToLive", request: { ID, keys } }) as const;
export const leases = { call: "LeaseLeases", request: {} } as const;

export const watching = (keys: string, more: Sent<Omit<m.WatchCreateRequest, "key" | "range_end">> = {}) => ({
  create: { ...span(keys), ...more },
});

/** Names the steps of a part: by their own name, or by their place. */
export function part(name: string, steps: readonly (Call | Step)[]): Step[] {
  return steps.map((step, index) => ({
    ...step,
    name: "name" in step ? `${name}: ${step.name}` : `${name} ${index + 1}`,
  }));
}
