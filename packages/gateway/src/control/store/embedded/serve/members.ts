import { crc32 } from "node:zlib";
import { status, type handleUnaryCall, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type * as m from "../../etcd/messages.ts";
import type { Sent } from "../../etcd/messages.ts";
import type { Rpc } from "../../etcd/rpc.ts";
import { unary, type ServeContext } from "./context.ts";
import { EtcdError, etcdError } from "./errors.ts";

/**
 * The etcd that clients may take this for: some ask the version before they use a feature, such as progress requests
 * (from 3.5.8 on). Everything of that version that the KV, Watch and Lease services have is here.
 */
const etcdVersion = "3.5.21";

export interface MemberFacts {
  /** Of the gateway; told after etcd's as the build. */
  readonly version: string;
  /** Where clients are to connect, as the member list tells them. */
  readonly clientUrls: readonly string[];
}

/** etcd's Cluster service: one member, this one. */
export function clusterService(context: ServeContext, { Cluster }: Rpc, { clientUrls }: MemberFacts) {
  const alone = (): never => {
    throw new EtcdError(
      status.UNIMPLEMENTED,
      "This store is in one gateway and has no members to change; for more than one machine use etcd.",
    );
  };
  return {
    MemberList: unary(context, Cluster.MemberList, () => ({
      header: context.header(),
      members: [{ ID: context.store.identity.memberId, name: "headgate", peerURLs: [], clientURLs: [...clientUrls] }],
    })),
    MemberAdd: unary(context, Cluster.MemberAdd, alone),
    MemberRemove: unary(context, Cluster.MemberRemove, alone),
    MemberUpdate: unary(context, Cluster.MemberUpdate, alone),
    MemberPromote: unary(context, Cluster.MemberPromote, alone),
  };
}

/** etcd's Maintenance service, as far as it has a meaning here. */
export function maintenanceService(context: ServeContext, { Maintenance }: Rpc, { version }: MemberFacts) {
  const { store, header } = context;
  return {
    Alarm: unary(context, Maintenance.Alarm, () => ({ header: header(), alarms: [] })),
    Status: unary(context, Maintenance.Status, (): Sent<m.StatusResponse> => {
      const { dbBytes, revision } = store.status;
      return {
        header: header(revision),
        version: `${etcdVersion}+headgate.${version}`,
        dbSize: String(dbBytes),
        dbSizeInUse: String(dbBytes),
        leader: store.identity.memberId,
        raftIndex: String(revision),
        raftAppliedIndex: String(revision),
        raftTerm: header().raft_term,
      };
    }),
    // The file needs none: space that compaction frees is used again.
    Defragment: unary(context, Maintenance.Defragment, () => ({ header: header() })),
    Hash: unary(context, Maintenance.Hash, () => hashOf(context, 0)),
    HashKV: unary(context, Maintenance.HashKV, ({ revision }): Sent<m.HashKVResponse> => {
      const { compactedRevision } = store.status;
      return { ...hashOf(context, Number(revision)), compact_revision: String(compactedRevision) };
    }),
    Snapshot: (call: { emit(event: "error", error: object): boolean }): void => {
      const details = "A running store gives no snapshot: copy its file store.db while the gateway is stopped.";
      call.emit("error", { code: status.UNIMPLEMENTED, details });
    },
    MoveLeader: unary(context, Maintenance.MoveLeader, () => {
      throw new EtcdError(status.UNIMPLEMENTED, "This store has no other member that could lead.");
    }),
  };
}

/**
 * A checksum of all keys as of a revision (0: the newest), to compare with itself: etcd's own depends on how etcd's file
 * keeps them. Walks all of it in one turn, so it is for people and not for a monitor that asks every second.
 */
function hashOf({ store, header }: ServeContext, revision: number): { header: m.ResponseHeader; hash: number } {
  const range = store.rangeNow({ key: "\0", end: "\0", ...(revision > 0 ? { revision } : {}) });
  let hash = 0;
  for (const kv of range.kvs) {
    const { key, createRevision, modRevision, version, lease } = kv;
    // Lengths in front: what ends one part cannot begin the next.
    const facts = [key.length, kv.value.length, createRevision, modRevision, version, lease].join(" ");
    hash = crc32(kv.value, crc32(Buffer.from(`${facts} ${key}`, "latin1"), hash));
  }
  return { header: header(range.revision), hash };
}

/** etcd's Auth service: there is no authentication, and it says so in etcd's words. */
export function authService(context: ServeContext, { Auth }: Rpc): UntypedServiceImplementation {
  const handlers: UntypedServiceImplementation = {};
  for (const name of Object.keys(Auth)) {
    const refuse: handleUnaryCall<unknown, unknown> = (_call, callback) => {
      const { code, message } = etcdError("authNotEnabled");
      callback({ code, details: message });
    };
    handlers[name] = refuse;
  }
  handlers["AuthStatus"] = unary(context, Auth.AuthStatus, () => ({ header: context.header(), enabled: false }));
  return handlers;
}
