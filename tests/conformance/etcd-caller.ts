import { Client, credentials, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import type * as m from "../../packages/gateway/src/control/store/etcd/messages.ts";
import type { Sent } from "../../packages/gateway/src/control/store/etcd/messages.ts";
import { loadRpc, type Method, type Rpc } from "../../packages/gateway/src/control/store/etcd/rpc.ts";
import { Bell } from "../kit/wait.ts";
import type { Scope } from "../kit/scope.ts";

export type Answer<Response> = { readonly response: Response } | { readonly error: { code: number; details: string } };

const messageBytesMax = 256 * 1024 * 1024;

/** Calls of etcd's API as they are on the wire, without a client's ideas on top. */
export class Caller {
  readonly rpc: Rpc = loadRpc();
  readonly #client: Client;

  constructor(scope: Scope, address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": messageBytesMax,
      // Callers of one process would share one connection, and one's flow control would be the other's.
      "grpc.use_local_subchannel_pool": 1,
    });
    scope.after(() => this.#client.close());
  }

  unary<Request, Response>(method: Method<Request, Response>, request: Sent<Request>): Promise<Answer<Response>> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        (error: ServiceError | null, response?: Response) => {
          if (error !== null) resolve({ error: { code: error.code, details: error.details } });
          else if (response !== undefined) resolve({ response });
        },
      );
    });
  }

  /** The response, or an error that says what was answered. */
  async must<Request, Response>(method: Method<Request, Response>, request: Sent<Request>): Promise<Response> {
    const answer = await this.unary(method, request);
    if ("response" in answer) return answer.response;
    throw new Error(`${method.path}: ${answer.error.code} ${answer.error.details}`);
  }

  watch(): Conversation<m.WatchRequestMessage, m.WatchResponse> {
    return this.#converse(this.rpc.Watch.Watch);
  }

  keepAlive(): Conversation<m.LeaseId, m.LeaseKeepAliveResponse> {
    return this.#converse(this.rpc.Lease.LeaseKeepAlive);
  }

  #converse<Request, Response>(method: Method<Request, Response>): Conversation<Request, Response> {
    return new Conversation(
      this.#client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize),
    );
  }
}

/** A call with messages both ways; what came is kept in order. */
export class Conversation<Request, Response> {
  readonly received: Response[] = [];
  readonly bell = new Bell();
  readonly #call: ClientDuplexStream<Sent<Request>, Response>;
  #ended: { readonly code: number; readonly details: string } | undefined;

  constructor(call: ClientDuplexStream<Sent<Request>, Response>) {
    this.#call = call;
    call.on("data", (response: Response) => {
      this.received.push(response);
      this.bell.ring();
    });
    call.on("error", () => undefined);
    call.on("status", ({ code, details }) => {
      this.#ended = { code, details };
      this.bell.ring();
    });
  }

  get ended(): { readonly code: number; readonly details: string } | undefined {
    return this.#ended;
  }

  send(request: Sent<Request>): void {
    this.#call.write(request);
  }

  /** The responses when there are so many, or fewer when it ended before. */
  async until(enough: (received: readonly Response[]) => boolean, what: string): Promise<readonly Response[]> {
    return this.bell.until(
      () => (enough(this.received) || this.#ended !== undefined ? this.received : undefined),
      () => `${what}; received ${this.received.length}`,
    );
  }

  /** Stops reading: the other side's writes pile up. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** Says that nothing more is asked. */
  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }
}
