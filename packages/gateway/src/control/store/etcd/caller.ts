import type { Client } from "@grpc/grpc-js";
import type { Clock } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { StoreError } from "../store.ts";
import { refusedPauseMs } from "./backoff.ts";
import { CallError, callOnce, type CallOptions } from "./call.ts";
import type { Endpoint } from "./endpoint.ts";
import { judge, storeError } from "./errors.ts";
import type { Sent } from "./messages.ts";
import type { Method, Rpc } from "./rpc.ts";

export interface User {
  readonly name: string;
  readonly password: string;
}

/** One authentication, for every call that waits for it. `got` once `done`. */
interface Login {
  readonly token: Promise<string | undefined>;
  done: boolean;
  got: string | undefined;
}

export interface CallerOptions {
  readonly endpoints: readonly Endpoint[];
  readonly rpc: Rpc;
  readonly user: User | undefined;
  readonly callTimeoutMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

/** `read`: may be repeated. `write`: repeated only when it was surely not carried out. */
export type CallKind = "read" | "write";

type Once = typeof callOnce;

/** Calls etcd: at the endpoint that served last, with a token, and elsewhere if that fails. */
export class Caller {
  readonly #options: CallerOptions;
  #current = 0;
  #closed = false;
  readonly #active = new Set<() => void>();
  #login: Login | undefined;
  #refused: { readonly error: StoreError; readonly untilMs: number } | undefined;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  get endpoint(): Endpoint {
    const endpoint = this.#options.endpoints[this.#current];
    if (endpoint === undefined) throw new Error("etcd needs at least one endpoint");
    return endpoint;
  }

  /** Leaves an endpoint that failed for the next; drops its connection where that is suspect. */
  leave(endpoint: Endpoint, client: Client | undefined, reconnect: boolean): void {
    if (reconnect) endpoint.drop(client);
    if (endpoint !== this.endpoint) return;
    this.#current = (this.#current + 1) % this.#options.endpoints.length;
    this.#options.log.debug({ left: endpoint.url, next: this.endpoint.url }, "an endpoint of etcd failed");
  }

  /** Rejects with a StoreError. `once`: how the request is carried, `callOnce` or `streamOnce`. */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Sent<Request>,
    kind: CallKind,
    once: Once = callOnce,
  ): Promise<Response> {
    // One more than there are endpoints: a connection that died unnoticed costs a try.
    let triesLeft = this.#options.endpoints.length + 1;
    for (let renewed = false; ;) {
      const token = await this.token();
      const { endpoint } = this;
      const client = endpoint.client();
      try {
        return await this.#once(once, endpoint, method, request, token);
      } catch (error) {
        if (!(error instanceof CallError) || this.#closed) throw asStoreError(error);
        const verdict = judge(error.failure);
        if (verdict.elsewhere) this.leave(endpoint, client, verdict.reconnect);
        if (verdict.token && !renewed && this.#options.user !== undefined) {
          renewed = true;
          this.forgetToken(token);
          continue;
        }
        const again = verdict.elsewhere && (kind === "read" || verdict.nothingDone);
        // An endpoint that is silent is not asked a second time: the caller has waited long enough.
        const silent = verdict.reconnect && this.#options.endpoints.length === 1 && isSilent(error);
        if (!again || silent || --triesLeft <= 0) throw asStoreError(error);
      }
    }
  }

  /** Asks one endpoint, once. Rejects with a CallError. */
  callAt<Request, Response>(
    endpoint: Endpoint,
    method: Method<Request, Response>,
    request: Sent<Request>,
    token: string | undefined,
  ): Promise<Response> {
    return this.#once(callOnce, endpoint, method, request, token);
  }

  /** The token to show, where etcd asks for users. Rejects with a StoreError. */
  async token(): Promise<string | undefined> {
    if (this.#closed) throw new StoreError("unreachable", "The store was closed.");
    if (this.#options.user === undefined) return undefined;
    if (this.#refused !== undefined && this.#options.clock.now() < this.#refused.untilMs) throw this.#refused.error;
    const login = (this.#login ??= this.#start(this.#options.user));
    try {
      return await login.token;
    } catch (error) {
      if (this.#login === login) this.#login = undefined;
      throw error;
    }
  }

  /** The token was refused; the next call gets another, unless it was already replaced. */
  forgetToken(token: string | undefined): void {
    if (this.#login?.done === true && this.#login.got === token) this.#login = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#active) cancel();
    for (const endpoint of this.#options.endpoints) endpoint.drop();
  }

  #start(user: User): Login {
    const login: Login = { token: this.#authenticate(user), done: false, got: undefined };
    // Whoever awaits the token hears of the refusal.
    login.token.then(
      (token) => Object.assign(login, { done: true, got: token }),
      () => undefined,
    );
    return login;
  }

  async #authenticate(user: User): Promise<string | undefined> {
    const { rpc, endpoints, clock } = this.#options;
    for (let triesLeft = endpoints.length; ;) {
      const { endpoint } = this;
      const client = endpoint.client();
      try {
        return (await this.#once(callOnce, endpoint, rpc.Auth.Authenticate, user, undefined)).token;
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        // Users were configured here before they are in etcd; it will say when it wants a token.
        if (error.failure.details.includes("authentication is not enabled")) return undefined;
        const verdict = judge(error.failure);
        if (verdict.elsewhere) this.leave(endpoint, client, verdict.reconnect);
        if (verdict.elsewhere && --triesLeft > 0) continue;
        const refusal = storeError(error.failure);
        // etcd spends some 100 ms of a core on each password.
        if (!verdict.elsewhere) this.#refused = { error: refusal, untilMs: clock.now() + refusedPauseMs };
        throw refusal;
      }
    }
  }

  async #once<Request, Response>(
    once: Once,
    endpoint: Endpoint,
    method: Method<Request, Response>,
    request: Sent<Request>,
    token: string | undefined,
  ): Promise<Response> {
    let cancel: (() => void) | undefined;
    const options: CallOptions = {
      token,
      timeoutMs: this.#options.callTimeoutMs,
      timers: this.#options.timers,
      onStart: (how) => this.#active.add((cancel = how)),
    };
    try {
      return await once(endpoint, method, request, options);
    } finally {
      if (cancel !== undefined) this.#active.delete(cancel);
    }
  }
}

function isSilent(error: CallError): boolean {
  return error.failure.details.startsWith("no answer within");
}

function asStoreError(error: unknown): unknown {
  return error instanceof CallError ? storeError(error.failure) : error;
}
