import type { RetryPolicy, ServiceResource, ServiceTimeouts } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Wheel } from "../../core/wheel.ts";
import type { HistogramHandle, Metrics } from "../../telemetry/metrics.ts";
import type { Exchange } from "../exchange.ts";
import type { Balancer } from "./balancer/candidate.ts";
import { createBalancer } from "./balancer/balancer.ts";
import { Booking } from "./booking.ts";
import type { KeyOf } from "./key.ts";
import { keyReader } from "./key.ts";
import type { Instance } from "./instance.ts";
import { Member } from "./member.ts";
import type { ServiceLoad } from "./service-load.ts";

/** What instances share with the thread they live in. */
export interface UpstreamContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: Wheel;
  readonly metrics: Metrics;
  /** Pools are split between the workers: `pool.max` counts for the whole gateway. */
  readonly workers: number;
  /** From 1: which cells of shared memory are this thread's. */
  readonly workerId: number;
  /** Where this gateway stands. */
  readonly zone: string | undefined;
}

/** What of a service outlives its snapshots in one thread; views of memory that all threads share. */
export interface ServiceState {
  readonly memory: SharedArrayBuffer;
  readonly load: ServiceLoad;
}

/** What an attempt is to its exchange. `renewed`: in place of one that was never seen by anyone; it costs no budget. */
export type Kind = "first" | "renewed" | "retry" | "hedge";
/** What comes of asking for a place. */
export type Admitted = Booking | GatewayError | undefined;

/** A service as one snapshot has it: policies of the snapshot over instances that live on. */
export class Service {
  readonly name: string;
  readonly timeouts: ServiceTimeouts;
  readonly retry: RetryPolicy;
  readonly hedging: ServiceResource["hedging"];
  /** Limit of one attempt from the request's last byte to the answer's head. */
  readonly headTimeoutMs: number;
  readonly load: ServiceLoad;
  readonly duration: HistogramHandle;
  readonly #retryStatuses: readonly number[];
  readonly #balancer: Balancer<Member>;
  readonly #keyOf: KeyOf | undefined;
  /** Reused: a pick keeps nothing of it. */
  readonly #context: { nowMs: number; excluded: ReadonlySet<Member> | undefined; key: string | undefined };

  constructor(
    name: string,
    resource: ServiceResource,
    instances: ReadonlyMap<string, Instance>,
    state: ServiceState,
    context: UpstreamContext,
  ) {
    const { retry, timeouts, balance, hedging } = resource;
    this.name = name;
    this.timeouts = timeouts;
    this.retry = retry;
    this.hedging = hedging;
    this.headTimeoutMs = Math.min(timeouts.firstByteMs, retry.perTryMs ?? Infinity);
    this.#retryStatuses = retry.on.map(Number).filter((status) => !Number.isNaN(status));
    this.load = state.load;
    this.duration = context.metrics.histogram("upstream_duration_seconds", { service: name });
    const members = resource.instances.flatMap((item, i) => {
      const instance = instances.get(item.address);
      return instance === undefined ? [] : [new Member(instance, i, item, resource.slowStartMs ?? 0)];
    });
    this.#balancer = createBalancer(balance, members, {
      random: context.random,
      ...(context.zone === undefined ? {} : { zone: context.zone }),
      preferZone: resource.preferZone ?? true,
      panicThreshold: resource.panicThreshold ?? 0,
    });
    this.#keyOf = keyReader(balance);
    this.#context = { nowMs: 0, excluded: undefined, key: undefined };
  }

  retriesStatus(status: number): boolean {
    return this.#retryStatuses.length > 0 && this.#retryStatuses.includes(status);
  }

  /**
   * A place for an attempt at an instance that was not tried, or, but for a hedge, at one that was if there is no other:
   * the failure may have been the connection's. Else why there is none; undefined where the budget for retries is spent.
   */
  admit(exchange: Exchange, tried: ReadonlySet<Member> | undefined, kind: Kind, nowMs: number): Admitted {
    let member = this.#pick(exchange, tried, nowMs);
    if (member === undefined && tried !== undefined && kind !== "hedge")
      member = this.#pick(exchange, undefined, nowMs);
    if (member === undefined) return new GatewayError("HG_NO_INSTANCE");
    const counts = kind === "retry" || kind === "hedge";
    if (counts && !this.load.tryRetry(this.retry.budgetRatio, nowMs)) return undefined;
    return new Booking(this, member, counts, nowMs);
  }

  /** Marks the answer so that the client comes back to the same instance, where the service wants that. */
  mark(exchange: Exchange, member: Member): void {
    if (this.#balancer.cookieFor === undefined) return;
    const cookie = this.#balancer.cookieFor(member, this.#keyOf?.(exchange));
    if (cookie !== undefined) exchange.response.headers.append("set-cookie", cookie);
  }

  #pick(exchange: Exchange, excluded: ReadonlySet<Member> | undefined, nowMs: number): Member | undefined {
    const context = this.#context;
    context.nowMs = nowMs;
    context.excluded = excluded;
    context.key = this.#keyOf?.(exchange);
    return this.#balancer.pick(context);
  }
}
