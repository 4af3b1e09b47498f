import type { Clock, Random } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { keyOfBytes } from "../keys.ts";
import type * as s from "../store.ts";
import { streamOnce } from "./call.ts";
import { Caller, type User } from "./caller.ts";
import { Endpoint } from "./endpoint.ts";
import type { EtcdTls } from "./tls.ts";
import { loadRpc, type Rpc } from "./rpc.ts";
import { numberOf, onlyReads, rangeRequest, rangeResult, txnRequest, txnResult } from "./translate.ts";
import { EtcdWatch, type EtcdWatchOptions } from "./watch.ts";

export interface EtcdOptions {
  /** `http://host:port`, `https://host:port`; the members of one cluster. */
  readonly endpoints: readonly string[];
  /** The store's address for status and messages, without the password. */
  readonly url: string;
  readonly user?: User;
  /** For `https://` endpoints. */
  readonly tls?: EtcdTls;
  /** How long an answer may take. Default 5 s. */
  readonly callTimeoutMs?: number;
  /** How often a watch asks for a sign of life, and how long that may take. Default 5 s, 3 s. */
  readonly progressIntervalMs?: number;
  readonly progressTimeoutMs?: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/**
 * A store that is an etcd, v3.4 or later. Connects when it is first used; that etcd is away is not an error here but of
 * the calls. Throws when the endpoints or the certificates are no such.
 */
export function openEtcd(options: EtcdOptions): s.Store {
  if (options.endpoints.length === 0) throw new Error("etcd needs at least one endpoint");
  return new EtcdStore(options);
}

class EtcdStore implements s.Store {
  readonly facts: s.StoreFacts;
  readonly #rpc: Rpc;
  readonly #caller: Caller;
  readonly #watchOptions: EtcdWatchOptions;
  readonly #watches = new Set<EtcdWatch>();
  #closed = false;

  constructor(options: EtcdOptions) {
    const { clock, timers, random, log, callTimeoutMs = 5_000 } = options;
    const endpoints = options.endpoints.map((url) => new Endpoint(url, options.tls));
    this.facts = { kind: "etcd", url: options.url };
    this.#rpc = loadRpc();
    this.#caller = new Caller({ endpoints, rpc: this.#rpc, user: options.user, callTimeoutMs, clock, timers, log });
    this.#watchOptions = {
      ...{ caller: this.#caller, rpc: this.#rpc, clock, timers, random },
      progressIntervalMs: options.progressIntervalMs ?? 5_000,
      progressTimeoutMs: options.progressTimeoutMs ?? 3_000,
    };
  }

  async range(request: s.RangeRequest): Promise<s.RangeResult> {
    return rangeResult(await this.#caller.call(this.#rpc.KV.Range, rangeRequest(request), "read"));
  }

  async txn(txn: s.Txn): Promise<s.TxnResult> {
    const kind = onlyReads(txn) ? "read" : "write";
    return txnResult(await this.#caller.call(this.#rpc.KV.Txn, txnRequest(txn), kind));
  }

  watch(request: s.WatchRequest, listener: s.WatchListener): s.Watch {
    if (this.#closed) return { close: () => undefined };
    const watch = new EtcdWatch(this.#watchOptions, request, listener, (ended) => this.#watches.delete(ended));
    this.#watches.add(watch);
    return watch;
  }

  async grant(ttlSeconds: number, id = "0"): Promise<s.Lease> {
    const request = { TTL: String(ttlSeconds), ID: id };
    const granted = await this.#caller.call(this.#rpc.Lease.LeaseGrant, request, "write");
    return { id: granted.ID, ttlSeconds: numberOf(granted.TTL) };
  }

  async keepAlive(id: string): Promise<number> {
    const kept = await this.#caller.call(this.#rpc.Lease.LeaseKeepAlive, { ID: id }, "read", streamOnce);
    return Math.max(0, numberOf(kept.TTL));
  }

  async revoke(id: string): Promise<void> {
    await this.#caller.call(this.#rpc.Lease.LeaseRevoke, { ID: id }, "write");
  }

  async lease(id: string): Promise<s.LeaseState> {
    const state = await this.#caller.call(this.#rpc.Lease.LeaseTimeToLive, { ID: id, keys: true }, "read");
    return {
      ttlSeconds: numberOf(state.TTL),
      grantedSeconds: numberOf(state.grantedTTL),
      keys: state.keys.map(keyOfBytes),
    };
  }

  async compact(revision: number): Promise<void> {
    await this.#caller.call(this.#rpc.KV.Compact, { revision: String(revision) }, "write");
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    this.#caller.close();
    return Promise.resolve();
  }
}
