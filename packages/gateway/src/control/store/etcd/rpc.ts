import { join } from "node:path";
import { loadSync } from "@grpc/proto-loader";
import type * as m from "./messages.ts";
import type { Sent } from "./messages.ts";

/** A method, for a client to call and for a server to hold: both of gRPC's definitions. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Sent<Request>) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Sent<Response>) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

interface Name {
  readonly name: string;
}
interface Role {
  readonly role: string;
}

/** etcd's gRPC services. Each is a service definition: `server.addService(rpc.KV, { Range(call, callback) {...} })`. */
export interface Rpc {
  readonly KV: {
    readonly Range: Method<m.RangeRequestMessage, m.RangeResponse>;
    readonly Put: Method<m.PutRequest, m.PutResponse>;
    readonly DeleteRange: Method<m.DeleteRangeRequest, m.DeleteRangeResponse>;
    readonly Txn: Method<m.TxnRequest, m.TxnResponse>;
    readonly Compact: Method<m.CompactionRequest, m.HeaderOnly>;
  };
  readonly Watch: {
    readonly Watch: Method<m.WatchRequestMessage, m.WatchResponse>;
  };
  readonly Lease: {
    readonly LeaseGrant: Method<m.LeaseGrantRequest, m.LeaseGrantResponse>;
    readonly LeaseRevoke: Method<m.LeaseId, m.HeaderOnly>;
    readonly LeaseKeepAlive: Method<m.LeaseId, m.LeaseKeepAliveResponse>;
    readonly LeaseTimeToLive: Method<m.LeaseTimeToLiveRequest, m.LeaseTimeToLiveResponse>;
    readonly LeaseLeases: Method<m.Empty, m.LeaseLeasesResponse>;
  };
  readonly Cluster: {
    readonly MemberAdd: Method<m.MemberAddRequest, m.MemberAddResponse>;
    readonly MemberRemove: Method<m.LeaseId, m.MembersResponse>;
    readonly MemberUpdate: Method<m.MemberUpdateRequest, m.MembersResponse>;
    readonly MemberList: Method<{ readonly linearizable: boolean }, m.MembersResponse>;
    readonly MemberPromote: Method<m.LeaseId, m.MembersResponse>;
  };
  readonly Maintenance: {
    readonly Alarm: Method<m.AlarmRequest, m.AlarmResponse>;
    readonly Status: Method<m.Empty, m.StatusResponse>;
    readonly Defragment: Method<m.Empty, m.HeaderOnly>;
    readonly Hash: Method<m.Empty, m.HashResponse>;
    readonly HashKV: Method<{ readonly revision: m.Int64 }, m.HashKVResponse>;
    readonly Snapshot: Method<m.Empty, m.SnapshotResponse>;
    readonly MoveLeader: Method<{ readonly targetID: m.Int64 }, m.HeaderOnly>;
  };
  readonly Auth: {
    readonly AuthEnable: Method<m.Empty, m.HeaderOnly>;
    readonly AuthDisable: Method<m.Empty, m.HeaderOnly>;
    readonly AuthStatus: Method<m.Empty, m.AuthStatusResponse>;
    readonly Authenticate: Method<m.AuthenticateRequest, m.AuthenticateResponse>;
    readonly UserAdd: Method<m.UserAddRequest, m.HeaderOnly>;
    readonly UserGet: Method<Name, m.RolesResponse>;
    readonly UserList: Method<m.Empty, m.UserListResponse>;
    readonly UserDelete: Method<Name, m.HeaderOnly>;
    readonly UserChangePassword: Method<m.AuthenticateRequest, m.HeaderOnly>;
    readonly UserGrantRole: Method<Role & { readonly user: string }, m.HeaderOnly>;
    readonly UserRevokeRole: Method<Role & Name, m.HeaderOnly>;
    readonly RoleAdd: Method<Name, m.HeaderOnly>;
    readonly RoleGet: Method<Role, m.RoleGetResponse>;
    readonly RoleList: Method<m.Empty, m.RolesResponse>;
    readonly RoleDelete: Method<Role, m.HeaderOnly>;
    readonly RoleGrantPermission: Method<Name & { readonly perm: m.Permission | null }, m.HeaderOnly>;
    readonly RoleRevokePermission: Method<Role & { readonly key: Buffer; readonly range_end: Buffer }, m.HeaderOnly>;
  };
}

let loaded: Rpc | undefined;

/** Reads rpc.proto, once: some 30 ms that a gateway without etcd does not spend. */
export function loadRpc(): Rpc {
  loaded ??= read();
  return loaded;
}

function read(): Rpc {
  const found = loadSync(join(import.meta.dirname, "rpc.proto"), {
    includeDirs: [import.meta.dirname],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const service = (name: keyof Rpc): unknown => {
    const definition = found[`etcdserverpb.${name}`];
    if (definition === undefined) throw new Error(`rpc.proto has no service ${name}`);
    return definition;
  };
  // The types here and in messages.ts say what rpc.proto says; the suite that runs against a real etcd would find where
  // they do not.
  return {
    KV: service("KV"),
    Watch: service("Watch"),
    Lease: service("Lease"),
    Cluster: service("Cluster"),
    Maintenance: service("Maintenance"),
    Auth: service("Auth"),
  } as Rpc;
}
