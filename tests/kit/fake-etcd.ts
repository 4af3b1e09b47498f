import {
  Metadata,
  Server,
  ServerCredentials,
  status as codes,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import type * as m from "../../packages/gateway/src/control/store/etcd/messages.ts";
import type { Sent } from "../../packages/gateway/src/control/store/etcd/messages.ts";
import { loadRpc } from "../../packages/gateway/src/control/store/etcd/rpc.ts";
import type { Scope } from "./scope.ts";
import { Bell } from "./wait.ts";

/** A refusal, as etcd sends them. */
export interface FakeRefusal {
  readonly code: number;
  readonly details: string;
}

/** A watch stream that a client opened; a test plays the server's part. */
export interface FakeWatch {
  readonly create: m.WatchCreateRequest;
  readonly token: string | undefined;
  readonly requiresLeader: boolean;
  /** Progress requests that came. */
  progressAsked: number;
  /** Whether the client has ended or cancelled the stream. */
  gone: boolean;
  /** Sends it with the header of now, unless it has one of its own. */
  send(response: Sent<m.WatchResponse>): void;
  created(): void;
  /** Sends events, each `[key, value, revision]`, or `[key, undefined, revision]` for a deletion. */
  events(events: readonly FakeEvent[], more?: Sent<m.WatchResponse>): void;
  /** Ends the stream with an error. */
  fail(code: number, details: string): void;
  end(): void;
}

export type FakeEvent = readonly [key: string, value: string | undefined, revision: number];

/** An etcd that does what a test says, over a real connection: what a real one does only in bad moments. */
export interface FakeEtcd {
  readonly endpoint: string;
  readonly port: number;
  clusterId: string;
  revision: number;
  version: string;
  /** Whether progress requests are answered, with `watch_id` -1 and the revision of now. Default: yes. */
  answersProgress: boolean;
  /** Whether it answers calls at all. Default: yes. */
  answers: boolean;
  /** What calls are refused with: by the method's name. */
  readonly refusals: Map<string, FakeRefusal>;
  /** The token that calls must show, once a test has set one; Authenticate gives it. */
  token: string | undefined;
  /** Names of the calls that came, with the token they showed. */
  readonly calls: { readonly name: string; readonly token: string | undefined }[];
  readonly watches: FakeWatch[];
  /** The watch stream number `index` (from 0), when it has come. */
  watch(index: number): Promise<FakeWatch>;
  /** Resets nothing, answers nothing new: ends at once, with its connections. */
  stop(): void;
}

/** Starts one on a free port, or on the port given. */
export async function startFakeEtcd(scope: Scope, port = 0): Promise<FakeEtcd> {
  const server = new Server();
  const fake = new Fake(server);
  const rpc = loadRpc();
  server.addService(rpc.KV, {
    Range: fake.unary("Range", (): Sent<m.RangeResponse> => ({})),
    Put: fake.unary("Put", (): Sent<m.PutResponse> => ({})),
    Txn: fake.unary("Txn", (): Sent<m.TxnResponse> => ({ succeeded: true })),
  });
  server.addService(rpc.Maintenance, {
    Status: fake.unary("Status", (): Sent<m.StatusResponse> => ({ version: fake.version })),
  });
  server.addService(rpc.Auth, {
    Authenticate: fake.unary("Authenticate", (): Sent<m.AuthenticateResponse> => ({ token: fake.token ?? "" })),
  });
  server.addService(rpc.Watch, { Watch: (stream: WatchStream) => fake.open(stream) });
  scope.after(() => fake.stop());
  await fake.listen(port);
  return fake;
}

type WatchStream = ServerDuplexStream<m.WatchRequestMessage, Sent<m.WatchResponse>>;

class Fake implements FakeEtcd {
  port = 0;
  clusterId = "14841639068965178418"; // beyond 2^63
  revision = 1;
  version = "3.5.16";
  answersProgress = true;
  answers = true;
  token: string | undefined;
  readonly refusals = new Map<string, FakeRefusal>();
  readonly calls: { readonly name: string; readonly token: string | undefined }[] = [];
  readonly watches: FakeWatch[] = [];
  readonly #server: Server;
  readonly #bell = new Bell();

  constructor(server: Server) {
    this.#server = server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get header(): Sent<m.ResponseHeader> {
    return { cluster_id: this.clusterId, member_id: "1", revision: String(this.revision), raft_term: "2" };
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
        if (error !== null) return reject(error);
        this.port = bound;
        resolve();
      });
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  watch(index: number): Promise<FakeWatch> {
    return this.#bell.until(() => this.watches[index], `watch stream ${index} to come`);
  }

  unary<Request, Response extends object>(name: string, answer: () => Response) {
    return (call: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>): void => {
      const token = tokenOf(call.metadata);
      this.calls.push({ name, token });
      if (!this.answers) return;
      const refusal = this.refusals.get(name) ?? this.#refusalOf(name, token);
      if (refusal !== undefined) return reply({ ...refusal, metadata: new Metadata() });
      reply(null, { header: this.header, ...answer() });
    };
  }

  open(stream: WatchStream): void {
    const token = tokenOf(stream.metadata);
    stream.on("error", () => undefined);
    stream.on("data", (request: m.WatchRequestMessage) => {
      const known = this.watches.find((watch) => watch instanceof Stream && watch.stream === stream);
      if (request.create_request) {
        this.watches.push(new Stream(stream, request.create_request, token, () => this.header));
      }
      if (request.progress_request && known) {
        known.progressAsked++;
        if (this.answersProgress) known.send({ watch_id: "-1" });
      }
      this.#bell.ring();
    });
  }

  #refusalOf(name: string, token: string | undefined): FakeRefusal | undefined {
    if (this.token === undefined || name === "Authenticate" || name === "Status" || token === this.token)
      return undefined;
    if (token === undefined) return { code: codes.INVALID_ARGUMENT, details: "etcdserver: user name is empty" };
    return { code: codes.UNAUTHENTICATED, details: "etcdserver: invalid auth token" };
  }
}

class Stream implements FakeWatch {
  readonly stream: WatchStream;
  readonly create: m.WatchCreateRequest;
  readonly token: string | undefined;
  progressAsked = 0;
  gone = false;
  readonly #header: () => Sent<m.ResponseHeader>;

  constructor(
    stream: WatchStream,
    create: m.WatchCreateRequest,
    token: string | undefined,
    header: () => Sent<m.ResponseHeader>,
  ) {
    this.stream = stream;
    this.create = create;
    this.token = token;
    this.#header = header;
    stream.on("cancelled", () => (this.gone = true));
    stream.on("end", () => (this.gone = true));
  }

  get requiresLeader(): boolean {
    return this.stream.metadata.get("hasleader")[0] === "true";
  }

  send(response: Sent<m.WatchResponse>): void {
    this.stream.write({ header: this.#header(), ...response });
  }

  created(): void {
    this.send({ created: true });
  }

  events(events: readonly FakeEvent[], more: Sent<m.WatchResponse> = {}): void {
    const messages = events.map(([key, value, revision]): Sent<m.EventMessage> => {
      const kv = { key: Buffer.from(key), mod_revision: String(revision) };
      if (value === undefined) return { type: "DELETE", kv };
      return { type: "PUT", kv: { ...kv, create_revision: kv.mod_revision, version: "1", value: Buffer.from(value) } };
    });
    this.send({ events: messages, ...more });
  }

  fail(code: number, details: string): void {
    this.stream.emit("error", { code, details });
  }

  end(): void {
    this.stream.end();
  }
}

function tokenOf(metadata: Metadata): string | undefined {
  return metadata.get("token")[0]?.toString();
}
