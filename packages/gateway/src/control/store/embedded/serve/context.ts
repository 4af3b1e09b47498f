import type { handleUnaryCall, status } from "@grpc/grpc-js";
import type { Log } from "../../../../core/log.ts";
import type { ResponseHeader, Sent } from "../../etcd/messages.ts";
import type { Method } from "../../etcd/rpc.ts";
import type { EmbeddedStore } from "../embedded-store.ts";
import { answerFor } from "./errors.ts";

/** There is no Raft here; clients only want to see that a leader was elected. */
const raftTerm = "1";

/** What every service of the server has at hand. */
export interface ServeContext {
  readonly store: EmbeddedStore;
  readonly log: Log;
  /** What stands before every answer. Default revision: the newest that is durable. */
  header(revision?: number): ResponseHeader;
}

export function contextOf(store: EmbeddedStore, log: Log): ServeContext {
  const { clusterId, memberId } = store.identity;
  return {
    store,
    log,
    header: (revision = store.revision) => ({
      cluster_id: clusterId,
      member_id: memberId,
      revision: String(revision),
      raft_term: raftTerm,
    }),
  };
}

/** A method of one question and one answer. `_method` only gives the types. */
export function unary<Request, Response>(
  { log }: ServeContext,
  _method: Method<Request, Response>,
  answer: (request: Request) => Promise<Sent<Response>> | Sent<Response>,
): handleUnaryCall<Request, Sent<Response>> {
  return (call, callback) => {
    const run = async (): Promise<Sent<Response>> => answer(call.request);
    run().then(
      (response) => callback(null, response),
      (error: unknown) => callback(refusalOf(error, call.getPath(), log)),
    );
  };
}

/** The gRPC status of an error; one that nobody foresaw is logged. */
export function refusalOf(error: unknown, path: string, log: Log): { code: status; details: string } {
  const { code, message, foreseen } = answerFor(error);
  if (!foreseen) log.error({ error, path }, "A call of the etcd API failed for a reason that is not the caller's.");
  return { code, details: message };
}
