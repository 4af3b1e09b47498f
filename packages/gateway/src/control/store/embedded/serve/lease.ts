import type { ServerDuplexStream } from "@grpc/grpc-js";
import type * as m from "../../etcd/messages.ts";
import type { Sent } from "../../etcd/messages.ts";
import type { Rpc } from "../../etcd/rpc.ts";
import { bytesOfKey } from "../../keys.ts";
import { unary, type ServeContext } from "./context.ts";
import { readCall, sendAndWait } from "./stream.ts";

/** etcd's Lease service. */
export function leaseService(context: ServeContext, { Lease }: Rpc) {
  const { store, header } = context;
  return {
    LeaseGrant: unary(context, Lease.LeaseGrant, async ({ TTL, ID }) => {
      const lease = await store.grant(Number(TTL), ID === "0" ? undefined : ID);
      return { header: header(), ID: lease.id, TTL: String(lease.ttlSeconds) };
    }),
    LeaseRevoke: unary(context, Lease.LeaseRevoke, async ({ ID }) => {
      await store.revoke(ID);
      return { header: header() };
    }),
    LeaseTimeToLive: unary(context, Lease.LeaseTimeToLive, async ({ ID, keys }) => {
      const lease = await store.lease(ID);
      return {
        header: header(),
        ID,
        TTL: String(lease.ttlSeconds),
        grantedTTL: String(lease.grantedSeconds),
        keys: keys ? lease.keys.map(bytesOfKey) : [],
      };
    }),
    LeaseLeases: unary(context, Lease.LeaseLeases, () => ({
      header: header(),
      leases: store.leases().map((ID) => ({ ID })),
    })),
    LeaseKeepAlive: (call: ServerDuplexStream<m.LeaseId, Sent<m.LeaseKeepAliveResponse>>): void => {
      readCall(call, context.log, async ({ ID }) => {
        const ttlSeconds = await store.keepAlive(ID);
        await sendAndWait(call, { header: header(), ID, TTL: String(ttlSeconds) });
      });
      call.on("end", () => call.end());
    },
  };
}
