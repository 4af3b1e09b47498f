import type { Client, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import type { Clock, Random } from "../../../core/clock.ts";
import type { Timers } from "../../../core/timers.ts";
import { bytesOfKey } from "../keys.ts";
import { StoreError, type Watch, type WatchListener, type WatchRequest } from "../store.ts";
import { backoffMs, refusedPauseMs } from "./backoff.ts";
import { failureOf, metadataOf } from "./call.ts";
import type { Caller } from "./caller.ts";
import type { Endpoint } from "./endpoint.ts";
import { judge, storeError } from "./errors.ts";
import type { Sent, WatchRequestMessage, WatchResponse } from "./messages.ts";
import type { Rpc } from "./rpc.ts";
import { progressIsInLine, WatchCursor, type WatchStep } from "./watch-cursor.ts";

export interface EtcdWatchOptions {
  readonly caller: Caller;
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** How often the server is asked for a sign of life. */
  readonly progressIntervalMs: number;
  /** How long it may take to give one. */
  readonly progressTimeoutMs: number;
}

/** Set-up may take this long; each failure in a row adds a second, for an etcd that is slow rather than away. */
const setUpMs = 2_000;
const setUpMsMax = 5_000;
/** A connection that lived this long was a good one: the next failure is the first again. */
const stableMs = 2_000;

type Stream = ClientDuplexStream<Sent<WatchRequestMessage>, WatchResponse>;

/** One stream, and the timers that guard it. */
interface Connection {
  readonly endpoint: Endpoint;
  readonly client: Client;
  readonly stream: Stream;
  readonly token: string | undefined;
  readonly timers: (() => void)[];
  createdMs: number | undefined;
  heardMs: number;
  trustsProgress: boolean;
}

/**
 * A watch that outlives its connections, one stream for each: etcd starves the many watches of one stream (etcd#17529).
 * The life of a connection: token, stream, created, events; until an error, the stream's end, or silence. Then the next
 * endpoint, after a pause.
 */
export class EtcdWatch implements Watch {
  readonly #options: EtcdWatchOptions;
  readonly #request: WatchRequest;
  readonly #listener: WatchListener;
  readonly #cursor: WatchCursor;
  readonly #onEnd: (watch: EtcdWatch) => void;
  #ended = false;
  #connection: Connection | undefined;
  #stopPause: (() => void) | undefined;
  #failures = 0;
  /** Whether the last failure was a refusal. */
  #refused = false;
  #told: string | undefined;

  constructor(
    options: EtcdWatchOptions,
    request: WatchRequest,
    listener: WatchListener,
    onEnd: (watch: EtcdWatch) => void,
  ) {
    this.#options = options;
    this.#request = request;
    this.#listener = listener;
    this.#onEnd = onEnd;
    this.#cursor = new WatchCursor(request.from, request.clusterId);
    this.#again(0);
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopPause?.();
    this.#disconnect();
    this.#onEnd(this);
  }

  #again(delayMs: number): void {
    this.#stopPause = this.#options.timers.after(delayMs, () => void this.#connect());
  }

  async #connect(): Promise<void> {
    const { caller, rpc, clock, timers } = this.#options;
    try {
      const token = await caller.token();
      if (this.#ended) return;
      const { endpoint } = caller;
      const client = endpoint.client();
      const metadata = metadataOf(token);
      // A member that lost its leader ends the stream instead of keeping it silent.
      metadata.set("hasleader", "true");
      const { path, requestSerialize, responseDeserialize } = rpc.Watch.Watch;
      const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
      const connection: Connection = {
        ...{ endpoint, client, stream, token },
        ...{ timers: [], createdMs: undefined, heardMs: clock.now(), trustsProgress: false },
      };
      this.#connection = connection;
      this.#cursor.reopen();
      stream.on("data", (response: WatchResponse) => this.#hear(connection, response));
      stream.on("error", (error: ServiceError) => this.#broken(connection, failureOf(endpoint, error).details));
      stream.on("end", () => this.#broken(connection, "etcd ended the stream"));
      const patienceMs = Math.min(setUpMs + this.#failures * 1_000, setUpMsMax);
      const silent = (): void => this.#broken(connection, `no answer within ${patienceMs / 1000} s`);
      connection.timers.push(timers.after(patienceMs, silent));
      stream.write({ create_request: this.#createRequest() });
    } catch (error) {
      this.#failed(asStoreError(error));
    }
  }

  #createRequest(): NonNullable<Sent<WatchRequestMessage>["create_request"]> {
    const { key, end, previous = false } = this.#request;
    return {
      key: bytesOfKey(key),
      ...(end !== undefined && { range_end: bytesOfKey(end) }),
      start_revision: String(this.#cursor.next),
      progress_notify: true,
      prev_kv: previous,
      fragment: true,
    };
  }

  #hear(connection: Connection, response: WatchResponse): void {
    if (connection !== this.#connection) return;
    connection.heardMs = this.#options.clock.now();
    let steps: readonly WatchStep[];
    try {
      steps = this.#cursor.receive(response, connection.trustsProgress);
    } catch (error) {
      return this.#broken(connection, asStoreError(error).message);
    }
    for (const step of steps) {
      // A listener may close the watch while it is told.
      if (connection !== this.#connection) return;
      this.#take(connection, step);
    }
  }

  #take(connection: Connection, step: WatchStep): void {
    switch (step.type) {
      case "revision":
        return this.#listener.onRevision(step.revision, step.events);
      case "progress":
        return this.#listener.onProgress(step.revision);
      case "created":
        if (step.backwards) return void this.#confirmBackwards(connection);
        return this.#created(connection);
      case "lost":
        return this.#lost(step.reason);
      case "cancelled":
        if (!step.refused) return this.#broken(connection, step.reason);
        this.#options.caller.forgetToken(connection.token);
        this.#disconnect();
        return this.#failed(new StoreError("unauthorized", `etcd does not allow this watch: ${step.reason}.`));
    }
  }

  /**
   * A member may lag behind the one that was heard before; a read that goes by way of the leader tells a lagging member
   * from a store that was wiped or restored.
   */
  async #confirmBackwards(connection: Connection): Promise<void> {
    const { caller, rpc } = this.#options;
    connection.stream.pause();
    try {
      const key = bytesOfKey(this.#request.key);
      const { header } = await caller.call(rpc.KV.Range, { key, count_only: true }, "read");
      if (connection !== this.#connection) return;
      const replaced =
        Number(header?.revision) < this.#cursor.next - 1 || header?.cluster_id !== this.#request.clusterId;
      if (replaced) return this.#lost("replaced");
      this.#created(connection);
      connection.stream.resume();
    } catch (error) {
      this.#broken(connection, asStoreError(error).message);
    }
  }

  #created(connection: Connection): void {
    const { clock, timers, progressIntervalMs } = this.#options;
    for (const stop of connection.timers.splice(0)) stop();
    connection.createdMs = clock.now();
    this.#refused = false;
    connection.timers.push(timers.every(progressIntervalMs, () => this.#askForLife(connection)));
    void this.#learnVersion(connection);
    this.#tell(true, `connected to etcd at ${connection.endpoint.url}`);
  }

  /** The watchdog: a stream can die without a word (a stopped server, a cut cable, a middlebox that forgot it). */
  #askForLife(connection: Connection): void {
    const { clock, timers, progressTimeoutMs } = this.#options;
    const askedMs = clock.now();
    connection.stream.write({ progress_request: {} });
    const stop = timers.after(progressTimeoutMs, () => {
      connection.timers.splice(connection.timers.indexOf(stop), 1);
      if (connection.heardMs < askedMs)
        this.#broken(connection, `no sign of life within ${progressTimeoutMs / 1000} s`);
    });
    connection.timers.push(stop);
  }

  async #learnVersion(connection: Connection): Promise<void> {
    const { caller, rpc } = this.#options;
    try {
      const { version } = await caller.callAt(connection.endpoint, rpc.Maintenance.Status, {}, connection.token);
      connection.trustsProgress = progressIsInLine(version);
    } catch {
      // Not trusted then: progress is only told late.
    }
  }

  #broken(connection: Connection, reason: string): void {
    if (connection !== this.#connection) return;
    const { caller, clock } = this.#options;
    const { endpoint, client, createdMs } = connection;
    const error = storeError({ code: unavailable, details: reason, endpoint: endpoint.url });
    if (createdMs !== undefined && clock.now() - createdMs >= stableMs) this.#failures = 0;
    this.#disconnect();
    const verdict = judge({ code: unavailable, details: reason });
    if (verdict.token) caller.forgetToken(connection.token);
    caller.leave(endpoint, client, verdict.reconnect);
    this.#failed(error);
  }

  /** Says so and tries again, later if only a person can help. */
  #failed(error: StoreError): void {
    if (this.#ended) return;
    const { random } = this.#options;
    this.#tell(false, error.message, error.code);
    // A refusal may be due to a token that a restart forgot: after the first it is tried again with another.
    const refused = error.code === "unauthorized";
    const slow = refused && this.#refused;
    this.#refused = refused;
    this.#again(slow ? refusedPauseMs * (0.5 + random() / 2) : backoffMs(this.#failures, random));
    this.#failures++;
  }

  #lost(reason: "compacted" | "replaced"): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onLost(reason);
  }

  #disconnect(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    for (const stop of connection.timers) stop();
    connection.stream.cancel();
  }

  /** Once for every change: of whether events come, and of the kind of the reason why not. */
  #tell(connected: boolean, reason: string, kind = ""): void {
    const now = `${connected} ${kind}`;
    if (now === this.#told) return;
    this.#told = now;
    this.#listener.onConnection(connected, reason);
  }
}

/** gRPC's UNAVAILABLE: what a stream's end amounts to. */
const unavailable = 14;

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError("unreachable", error instanceof Error ? error.message : String(error), { cause: error });
}
