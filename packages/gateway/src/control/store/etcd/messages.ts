/**
 * The messages of rpc.proto as they are delivered: every field there, 64-bit integers as decimal text (ids exceed
 * 2^53), bytes as Buffer, enums by name, a message that was not sent null. What is sent may leave fields out: `Sent`.
 */

/** Decimal digits, perhaps with a minus. */
export type Int64 = string;

/** A message to be sent: what is left out has its default. */
export type Sent<T> = T extends Buffer
  ? Uint8Array
  : T extends readonly (infer Item)[]
    ? readonly Sent<Item>[]
    : T extends object
      ? { readonly [Field in keyof T]?: Sent<T[Field]> | undefined }
      : T;

export interface ResponseHeader {
  readonly cluster_id: Int64;
  readonly member_id: Int64;
  readonly revision: Int64;
  readonly raft_term: Int64;
}

/** A response that carries nothing else. */
export interface HeaderOnly {
  readonly header: ResponseHeader | null;
}

/** A message without fields. */
export type Empty = Record<never, never>;

export interface KeyValueMessage {
  readonly key: Buffer;
  readonly create_revision: Int64;
  readonly mod_revision: Int64;
  readonly version: Int64;
  readonly value: Buffer;
  readonly lease: Int64;
}

export interface EventMessage {
  readonly type: "PUT" | "DELETE";
  readonly kv: KeyValueMessage | null;
  readonly prev_kv: KeyValueMessage | null;
}

export interface RangeRequestMessage {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly limit: Int64;
  readonly revision: Int64;
  readonly sort_order: "NONE" | "ASCEND" | "DESCEND";
  readonly sort_target: "KEY" | "VERSION" | "CREATE" | "MOD" | "VALUE";
  readonly serializable: boolean;
  readonly keys_only: boolean;
  readonly count_only: boolean;
  readonly min_mod_revision: Int64;
  readonly max_mod_revision: Int64;
  readonly min_create_revision: Int64;
  readonly max_create_revision: Int64;
}

export interface RangeResponse extends HeaderOnly {
  readonly kvs: readonly KeyValueMessage[];
  readonly more: boolean;
  readonly count: Int64;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: Int64;
  readonly prev_kv: boolean;
  readonly ignore_value: boolean;
  readonly ignore_lease: boolean;
}

export interface PutResponse extends HeaderOnly {
  readonly prev_kv: KeyValueMessage | null;
}

export interface DeleteRangeRequest {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly prev_kv: boolean;
}

export interface DeleteRangeResponse extends HeaderOnly {
  readonly deleted: Int64;
  readonly prev_kvs: readonly KeyValueMessage[];
}

/** One of the fields is there; `request` names it. When sending, the field alone is enough. */
export interface RequestOp {
  readonly request?: "request_range" | "request_put" | "request_delete_range" | "request_txn";
  readonly request_range?: RangeRequestMessage;
  readonly request_put?: PutRequest;
  readonly request_delete_range?: DeleteRangeRequest;
  readonly request_txn?: TxnRequest;
}

/** One of the fields is there; `response` names it. */
export interface ResponseOp {
  readonly response?: "response_range" | "response_put" | "response_delete_range" | "response_txn";
  readonly response_range?: RangeResponse;
  readonly response_put?: PutResponse;
  readonly response_delete_range?: DeleteRangeResponse;
  readonly response_txn?: TxnResponse;
}

/** One of the last five fields is there; `target_union` names it. */
export interface CompareMessage {
  readonly result: "EQUAL" | "GREATER" | "LESS" | "NOT_EQUAL";
  readonly target: "VERSION" | "CREATE" | "MOD" | "VALUE" | "LEASE";
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly target_union?: "version" | "create_revision" | "mod_revision" | "value" | "lease";
  readonly version?: Int64;
  readonly create_revision?: Int64;
  readonly mod_revision?: Int64;
  readonly value?: Buffer;
  readonly lease?: Int64;
}

export interface TxnRequest {
  readonly compare: readonly CompareMessage[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse extends HeaderOnly {
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface CompactionRequest {
  readonly revision: Int64;
  readonly physical: boolean;
}

export interface WatchCreateRequest {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly start_revision: Int64;
  readonly progress_notify: boolean;
  readonly filters: readonly ("NOPUT" | "NODELETE")[];
  readonly prev_kv: boolean;
  readonly watch_id: Int64;
  readonly fragment: boolean;
}

/** One of the last three fields is there; `request_union` names it. */
export interface WatchRequestMessage {
  readonly request_union?: "create_request" | "cancel_request" | "progress_request";
  readonly create_request?: WatchCreateRequest;
  readonly cancel_request?: { readonly watch_id: Int64 };
  readonly progress_request?: Empty;
}

export interface WatchResponse extends HeaderOnly {
  readonly watch_id: Int64;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: Int64;
  readonly cancel_reason: string;
  /** More pieces of this answer follow. */
  readonly fragment: boolean;
  readonly events: readonly EventMessage[];
}

export interface LeaseId {
  readonly ID: Int64;
}

export interface LeaseGrantRequest {
  readonly TTL: Int64;
  readonly ID: Int64;
}

export interface LeaseGrantResponse extends HeaderOnly {
  readonly ID: Int64;
  readonly TTL: Int64;
  readonly error: string;
}

export interface LeaseKeepAliveResponse extends HeaderOnly {
  readonly ID: Int64;
  readonly TTL: Int64;
}

export interface LeaseTimeToLiveRequest {
  readonly ID: Int64;
  readonly keys: boolean;
}

export interface LeaseTimeToLiveResponse extends HeaderOnly {
  readonly ID: Int64;
  /** "-1": there is no such lease. */
  readonly TTL: Int64;
  readonly grantedTTL: Int64;
  readonly keys: readonly Buffer[];
}

export interface LeaseLeasesResponse extends HeaderOnly {
  readonly leases: readonly LeaseId[];
}

export interface Member {
  readonly ID: Int64;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

export interface MembersResponse extends HeaderOnly {
  readonly members: readonly Member[];
}

export interface MemberAddRequest {
  readonly peerURLs: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberAddResponse extends MembersResponse {
  readonly member: Member | null;
}

export interface MemberUpdateRequest {
  readonly ID: Int64;
  readonly peerURLs: readonly string[];
}

export type AlarmType = "NONE" | "NOSPACE" | "CORRUPT";

export interface AlarmRequest {
  readonly action: "GET" | "ACTIVATE" | "DEACTIVATE";
  readonly memberID: Int64;
  readonly alarm: AlarmType;
}

export interface AlarmResponse extends HeaderOnly {
  readonly alarms: readonly { readonly memberID: Int64; readonly alarm: AlarmType }[];
}

export interface StatusResponse extends HeaderOnly {
  readonly version: string;
  readonly dbSize: Int64;
  readonly leader: Int64;
  readonly raftIndex: Int64;
  readonly raftTerm: Int64;
  readonly raftAppliedIndex: Int64;
  readonly errors: readonly string[];
  readonly dbSizeInUse: Int64;
  readonly isLearner: boolean;
}

export interface HashResponse extends HeaderOnly {
  readonly hash: number;
}

export interface HashKVResponse extends HashResponse {
  readonly compact_revision: Int64;
}

export interface SnapshotResponse extends HeaderOnly {
  readonly remaining_bytes: Int64;
  readonly blob: Buffer;
}

export interface AuthStatusResponse extends HeaderOnly {
  readonly enabled: boolean;
  readonly authRevision: Int64;
}

export interface AuthenticateRequest {
  readonly name: string;
  readonly password: string;
}

export interface AuthenticateResponse extends HeaderOnly {
  readonly token: string;
}

export interface UserAddRequest {
  readonly name: string;
  readonly password: string;
  readonly options: { readonly no_password: boolean } | null;
}

export interface RolesResponse extends HeaderOnly {
  readonly roles: readonly string[];
}

export interface UserListResponse extends HeaderOnly {
  readonly users: readonly string[];
}

export interface Permission {
  readonly permType: "READ" | "WRITE" | "READWRITE";
  readonly key: Buffer;
  readonly range_end: Buffer;
}

export interface RoleGetResponse extends HeaderOnly {
  readonly perm: readonly Permission[];
}
