import type { CircuitBreakerSettings, RetryPolicy, ServiceResource, ServiceTimeouts } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Wheel } from "../../core/wheel.ts";
import type { HistogramHandle, Metrics } from "../../telemetry/metrics.ts";
import type { Exchange } from "../exchange.ts";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import type { Balancer } from "./balancer/candidate.ts";
import { createBalancer } from "./balancer/balancer.ts";
import type { Kind } from "./booking.ts";
import { Booking } from "./booking.ts";
import type { Breaker, BreakerChange } from "./breaker/breaker.ts";
import { changeOfPermit, withoutConsecutive } from "./breaker/breaker.ts";
import { ConcurrencyLimiter } from "./concurrency/limiter.ts";
import type { UpstreamEvent } from "./events.ts";
import type { KeyOf } from "./key.ts";
import { keyReader } from "./key.ts";
import type { Instance } from "./instance.ts";
import { Member } from "./member.ts";
import type { OutlierChange } from "./outlier/outlier-detector.ts";
import { OutlierDetector } from "./outlier/outlier-detector.ts";
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
  /** Hears of every change of a breaker and every ejection that this thread made. */
  onEvent(event: UpstreamEvent): void;
}

/** What of a service outlives its snapshots in one thread; views of memory that all threads share. */
export interface ServiceState {
  readonly memory: SharedArrayBuffer;
  readonly load: ServiceLoad;
  readonly breaker: Breaker;
}

/** What comes of asking for a place: undefined where the budget for retries, or the limit on concurrency, forbids it. */
export type Admitted = Booking | GatewayError | undefined;

/** How often another instance is picked where one turns out to be taken by the trial of somebody else. */
const picksMax = 5;
/** Longer than an attempt waits for a head goes no trial, and at least so long until it is taken for lost. */
const trialMarginMs = 10_000;

/** A service as one snapshot has it: policies of the snapshot over instances that live on. */
export class Service {
  readonly name: string;
  readonly timeouts: ServiceTimeouts;
  readonly retry: RetryPolicy;
  readonly hedging: ServiceResource["hedging"];
  /** Limit of one attempt from the request's last byte to the answer's head. */
  readonly headTimeoutMs: number;
  readonly load: ServiceLoad;
  readonly limiter: ConcurrencyLimiter | undefined;
  readonly duration: HistogramHandle;
  readonly #retryStatuses: readonly number[];
  readonly #members: readonly Member[];
  readonly #balancer: Balancer<Member>;
  readonly #keyOf: KeyOf | undefined;
  readonly #breaker: Breaker;
  /** Of the instances' breakers and of the service's; undefined: there are none but what an operator holds open. */
  readonly #breaking: CircuitBreakerSettings | undefined;
  readonly #breakingAll: CircuitBreakerSettings | undefined;
  readonly #detector: OutlierDetector | undefined;
  readonly #trialMs: number;
  readonly #onEvent: UpstreamContext["onEvent"];
  /** Reused: a pick keeps nothing of it. */
  readonly #context: { nowMs: number; excluded: ReadonlySet<Member> | undefined; key: string | undefined };

  /** `concurrency`: the memory of the limit on concurrency; used where the service has one. */
  constructor(
    name: string,
    resource: ServiceResource,
    instances: ReadonlyMap<string, Instance>,
    state: ServiceState,
    concurrency: SharedArrayBuffer | undefined,
    context: UpstreamContext,
  ) {
    const { retry, timeouts, balance, hedging, circuitBreaker, outlierDetection } = resource;
    this.name = name;
    this.timeouts = timeouts;
    this.retry = retry;
    this.hedging = hedging;
    this.headTimeoutMs = Math.min(timeouts.firstByteMs, retry.perTryMs ?? Infinity);
    this.#retryStatuses = retry.on.map(Number).filter((status) => !Number.isNaN(status));
    this.load = state.load;
    this.limiter =
      resource.concurrency === undefined || concurrency === undefined
        ? undefined
        : new ConcurrencyLimiter(resource.concurrency, concurrency, state.load);
    this.duration = context.metrics.histogram("upstream_duration_seconds", { service: name });
    const { slowStartMs = 0 } = resource;
    const ejects = outlierDetection !== undefined;
    this.#members = resource.instances.flatMap((item, index) => {
      const instance = instances.get(item.address);
      return instance === undefined ? [] : [new Member(instance, index, item, slowStartMs, ejects)];
    });
    this.#balancer = createBalancer(balance, this.#members, {
      random: context.random,
      ...(context.zone === undefined ? {} : { zone: context.zone }),
      preferZone: resource.preferZone ?? true,
      panicThreshold: resource.panicThreshold ?? 0,
      stickyKey: name,
    });
    this.#keyOf = keyReader(balance);
    this.#breaker = state.breaker;
    this.#breaking = circuitBreaker;
    this.#breakingAll = circuitBreaker && withoutConsecutive(circuitBreaker);
    this.#detector = outlierDetection && new OutlierDetector(outlierDetection, this.#members, state.memory);
    this.#trialMs = timeouts.connectMs + this.headTimeoutMs + trialMarginMs;
    this.#onEvent = context.onEvent;
    this.#context = { nowMs: 0, excluded: undefined, key: undefined };
  }

  retriesStatus(status: number): boolean {
    return this.#retryStatuses.length > 0 && this.#retryStatuses.includes(status);
  }

  /**
   * A place for an attempt at an instance that was not tried, or, but for a hedge, at one that was if there is no other:
   * the failure may have been the connection's. Else why there is none: HG_CIRCUIT_OPEN or HG_NO_INSTANCE. `uploads`: a
   * body is still coming from the client.
   */
  admit(
    exchange: Exchange,
    tried: ReadonlySet<Member> | undefined,
    kind: Kind,
    uploads: boolean,
    nowMs: number,
  ): Admitted {
    const settings = this.#breakingAll;
    if (settings === undefined) {
      // Without settings none opens by itself; an operator may still hold it open.
      if (this.#breaker.refuses(nowMs)) return circuitOpen(this.#breaker.opensForMs(nowMs));
      return this.#admit(exchange, tried, kind, uploads, nowMs);
    }
    const permit = this.#breaker.acquire(settings, nowMs, this.#trialMs);
    if (permit === 0) return circuitOpen(this.#breaker.opensForMs(nowMs));
    this.#tellOfBreaker(undefined, changeOfPermit(permit), nowMs);
    const admitted = this.#admit(exchange, tried, kind, uploads, nowMs);
    if (admitted instanceof Booking) admitted.servicePermit = permit;
    else this.#breaker.record(permit, "ignored", 0, settings, nowMs);
    return admitted;
  }

  /** How an attempt went, once: for breakers and detection. `tookMs`: to its head, or to its end without one. */
  told(booking: Booking, outcome: AttemptOutcome, tookMs: number, nowMs: number): void {
    const { member, servicePermit, instancePermit, outlierPermit } = booking;
    if (this.#detector !== undefined) {
      const changes = this.#detector.record(member.index, outcome, nowMs, outlierPermit);
      if (changes !== undefined) for (const change of changes) this.#tellOfEjection(change, nowMs);
    }
    if (this.#breaking !== undefined && instancePermit > 0) {
      const change = member.instance.breaker.record(instancePermit, outcome, tookMs, this.#breaking, nowMs);
      this.#tellOfBreaker(member, change, nowMs);
    }
    if (this.#breakingAll !== undefined && servicePermit > 0) {
      const change = this.#breaker.record(servicePermit, outcome, tookMs, this.#breakingAll, nowMs);
      this.#tellOfBreaker(undefined, change, nowMs);
    }
  }

  /** Marks the answer so that the client comes back to the same instance, where the service wants that. */
  mark(exchange: Exchange, member: Member): void {
    if (this.#balancer.cookieFor === undefined) return;
    const cookie = this.#balancer.cookieFor(member, this.#keyOf?.(exchange));
    if (cookie !== undefined) exchange.response.headers.append("set-cookie", cookie);
  }

  #admit(
    exchange: Exchange,
    tried: ReadonlySet<Member> | undefined,
    kind: Kind,
    uploads: boolean,
    nowMs: number,
  ): Admitted {
    let excluded = tried;
    let refused: Set<Member> | undefined;
    for (let picks = 0; picks < picksMax; picks++) {
      let member = this.#pick(exchange, excluded, nowMs);
      if (member === undefined && tried !== undefined && kind !== "hedge") {
        member = this.#pick(exchange, (excluded = refused), nowMs);
      }
      if (member === undefined) break;
      const booking = this.#book(member, kind, uploads, nowMs);
      if (booking !== refusedByInstance) return booking;
      (refused ??= new Set()).add(member);
      excluded = excluded === undefined ? refused : new Set([...excluded, ...refused]);
    }
    return this.#unavailable(nowMs);
  }

  /** Takes what the instance asks for, and what attempts beyond the first cost. */
  #book(member: Member, kind: Kind, uploads: boolean, nowMs: number): Booking | undefined | typeof refusedByInstance {
    const { breaker } = member.instance;
    const settings = this.#breaking;
    const permit = settings === undefined ? 0 : breaker.acquire(settings, nowMs, this.#trialMs);
    if (settings !== undefined && permit === 0) return refusedByInstance;
    this.#tellOfBreaker(member, changeOfPermit(permit), nowMs);
    const outlierPermit = this.#detector === undefined ? 0 : member.outlier.acquire(nowMs, this.#trialMs);
    const out = outlierPermit === 0 && this.#detector !== undefined && !this.#balancer.panicked;
    if (out || !this.#mayAdd(kind, nowMs)) {
      if (settings !== undefined) breaker.record(permit, "ignored", 0, settings, nowMs);
      if (outlierPermit > 0) this.#detector?.record(member.index, "ignored", nowMs, outlierPermit);
      return out ? refusedByInstance : undefined;
    }
    const booking = new Booking(this, member, kind, uploads, nowMs);
    booking.instancePermit = permit;
    booking.outlierPermit = outlierPermit;
    return booking;
  }

  /** Whether the budget for retries allows an attempt of that kind; a hedge also needs a slot, its exchange having one. */
  #mayAdd(kind: Kind, nowMs: number): boolean {
    if (kind === "first" || kind === "renewed") return true;
    if (kind === "hedge" && this.limiter?.acquire(nowMs, "low") === false) return false;
    if (this.load.tryRetry(this.retry.budgetRatio, nowMs)) return true;
    if (kind === "hedge") this.limiter?.release("ignored", 0, nowMs);
    return false;
  }

  #pick(exchange: Exchange, excluded: ReadonlySet<Member> | undefined, nowMs: number): Member | undefined {
    const context = this.#context;
    context.nowMs = nowMs;
    context.excluded = excluded;
    context.key = this.#keyOf?.(exchange);
    return this.#balancer.pick(context);
  }

  /** Why no instance can be had: all breakers are open, or there is none. */
  #unavailable(nowMs: number): GatewayError {
    const members = this.#members.filter(({ weight }) => weight > 0);
    if (members.length === 0 || !members.every((member) => member.barred(nowMs))) {
      return new GatewayError("HG_NO_INSTANCE");
    }
    return circuitOpen(Math.min(...members.map(({ instance }) => instance.breaker.opensForMs(nowMs))));
  }

  #tellOfBreaker(member: Member | undefined, change: BreakerChange | undefined, atMs: number): void {
    if (change === undefined) return;
    const { from, to, detail } = change;
    const instance = member === undefined ? {} : { instance: member.address };
    this.#onEvent({ kind: "breaker", service: this.name, ...instance, from, to, reason: detail, atMs });
  }

  #tellOfEjection({ index, from, to, detail }: OutlierChange, atMs: number): void {
    const instance = this.#members[index]?.address;
    if (instance === undefined) return;
    this.#onEvent({ kind: "ejection", service: this.name, instance, from, to, reason: detail, atMs });
  }
}

/** The instance is not available after all. */
const refusedByInstance = Symbol("refused by the instance");

/** By seconds until trials; few differ, and a refusal should cost next to nothing. */
const refusals = new Map<number, GatewayError>();
const refusalsMax = 1_000;

/** The answer of an open breaker; without Retry-After where nobody knows until when it is held open. */
function circuitOpen(opensForMs: number): GatewayError {
  const seconds = Math.max(1, Math.ceil(opensForMs / 1_000));
  let refusal = refusals.get(seconds);
  if (refusal === undefined) {
    const detail = "Its circuit breaker is open.";
    const headers = seconds === Infinity ? {} : { "retry-after": String(seconds) };
    refusal = new GatewayError("HG_CIRCUIT_OPEN", { detail, headers });
    if (refusals.size < refusalsMax) refusals.set(seconds, refusal);
  }
  return refusal;
}
