import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  status,
  type ServerDuplexStream,
  type sendUnaryData,
  type ServerUnaryCall,
  type MethodDefinition,
} from "@grpc/grpc-js";
import type { WatchResponse } from "../../packages/gateway/src/control/store/etcd/messages.ts";
import { loadRpc } from "../../packages/gateway/src/control/store/etcd/rpc.ts";
import { deferred } from "./wait.ts";
import type { Scope } from "./scope.ts";

/** What a message of a watch stream is. `fragment`: a piece of an answer, with more to come. */
export type WatchMessage = "created" | "events" | "progress" | "fragment";

/** Passes every call on to an etcd, and ends watch streams when told. */
export interface EtcdRelay {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Resolves when a watch stream has been ended just after it delivered a message of that kind. */
  cutAfter(kind: WatchMessage): Promise<void>;
  /** While refusing, calls and new streams are answered as an etcd does that ends. */
  refuse(refusing: boolean): void;
}

type Bytes = Buffer;

const refusal = { code: status.UNAVAILABLE, details: "etcdserver: server stopped" };

const receivedBytesMax = 256 * 1024 * 1024;

/** Starts a relay to the etcd at `target`, `127.0.0.1:port`. */
export async function etcdRelay(scope: Scope, target: string): Promise<EtcdRelay> {
  const client = new Client(target, credentials.createInsecure(), {
    "grpc.max_receive_message_length": receivedBytesMax,
  });
  const server = new Server({ "grpc.max_receive_message_length": receivedBytesMax });
  const relay = new Relay(client);
  const { KV, Lease, Maintenance, Watch } = loadRpc();
  for (const service of [KV, Maintenance]) server.addService(raw(service), handlers(service, relay));
  server.addService(raw(Lease), { ...handlers(Lease, relay), LeaseKeepAlive: relay.stream(Lease.LeaseKeepAlive.path) });
  server.addService(raw(Watch), { Watch: relay.stream(Watch.Watch.path) });
  const port = await new Promise<number>((resolve, reject) => {
    const done = (error: Error | null, bound: number): void => (error === null ? resolve(bound) : reject(error));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), done);
  });
  scope.after(() => {
    server.forceShutdown();
    client.close();
  });
  relay.address = `127.0.0.1:${port}`;
  return relay;
}

class Relay implements EtcdRelay {
  address = "";
  readonly #client: Client;
  #refusing = false;
  #cut: { readonly kind: WatchMessage; readonly done: () => void } | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  cutAfter(kind: WatchMessage): Promise<void> {
    const { promise, resolve } = deferred();
    this.#cut = { kind, done: () => resolve() };
    return promise;
  }

  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  unary(path: string) {
    return (call: ServerUnaryCall<Bytes, Bytes>, reply: sendUnaryData<Bytes>): void => {
      if (this.#refusing) return reply(refusal);
      this.#client.makeUnaryRequest(path, asIs, asIs, call.request, call.metadata, (error, response) => {
        if (error === null) reply(null, response ?? Buffer.alloc(0));
        else reply({ code: error.code, details: error.details });
      });
    };
  }

  stream(path: string) {
    return (near: ServerDuplexStream<Bytes, Bytes>): void => {
      if (this.#refusing) return void near.emit("error", refusal);
      const far = this.#client.makeBidiStreamRequest(path, asIs, asIs, near.metadata);
      near.on("data", (message: Bytes) => void far.write(message));
      near.on("end", () => far.end());
      near.on("cancelled", () => far.cancel());
      near.on("error", () => far.cancel());
      far.on("error", ({ code, details }: { code: number; details: string }) => near.emit("error", { code, details }));
      far.on("end", () => near.end());
      far.on("data", (message: Bytes) => {
        near.write(message);
        if (path !== Watch.path || this.#cut?.kind !== kindOf(message)) return;
        const { done } = this.#cut;
        this.#cut = undefined;
        // What was written is delivered before the stream ends.
        near.end();
        far.cancel();
        done();
      });
    };
  }
}

const { Watch } = loadRpc().Watch;

function kindOf(message: Bytes): WatchMessage {
  const response: WatchResponse = Watch.responseDeserialize(message);
  if (response.created) return "created";
  if (response.fragment) return "fragment";
  return response.events.length > 0 ? "events" : "progress";
}

const asIs = (bytes: Bytes): Bytes => bytes;

/** The same methods with messages as they are on the wire. */
function raw(service: object): Record<string, MethodDefinition<Bytes, Bytes>> {
  const methods = Object.entries(service) as [string, MethodDefinition<unknown, unknown>][]; // a loaded service
  const coding = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  return Object.fromEntries(methods.map(([name, method]) => [name, { ...method, ...coding }]));
}

function handlers(service: object, relay: Relay): Record<string, ReturnType<Relay["unary"]>> {
  const methods = Object.entries(service) as [string, MethodDefinition<unknown, unknown>][]; // a loaded service
  const unary = methods.filter(([, method]) => !method.requestStream && !method.responseStream);
  return Object.fromEntries(unary.map(([name, method]) => [name, relay.unary(method.path)]));
}
