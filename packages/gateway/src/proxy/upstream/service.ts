import type { RetryPolicy, ServiceResource, ServiceTimeouts } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Wheel } from "../../core/wheel.ts";
import type { HistogramHandle, Metrics } from "../../telemetry/metrics.ts";
import { RoundRobin } from "./balancer/round-robin.ts";
import { Instance } from "./instance.ts";
import type { ServiceMemory } from "./memory.ts";

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
}

/** Load of one service in this thread; kept over changes of the service's settings. */
export interface ServiceLoad {
  active: number;
  retries: number;
}

/** A service as one snapshot has it: policies of the snapshot over instances that live on. */
export class Service {
  readonly name: string;
  readonly timeouts: ServiceTimeouts;
  readonly retry: RetryPolicy;
  /** Limit of one attempt from the request's last byte to the answer's head. */
  readonly headTimeoutMs: number;
  readonly load: ServiceLoad;
  readonly #retryStatuses: readonly number[];
  readonly duration: HistogramHandle;
  readonly #balancer: RoundRobin<Instance>;

  constructor(
    name: string,
    resource: ServiceResource,
    instances: readonly Instance[],
    load: ServiceLoad,
    context: UpstreamContext,
  ) {
    this.name = name;
    this.timeouts = resource.timeouts;
    this.retry = resource.retry;
    this.headTimeoutMs = Math.min(resource.timeouts.firstByteMs, resource.retry.perTryMs ?? Infinity);
    this.#retryStatuses = resource.retry.on.map(Number).filter((status) => !Number.isNaN(status));
    this.load = load;
    this.duration = context.metrics.histogram("upstream_duration_seconds", { service: name });
    this.#balancer = new RoundRobin(instances, context.random);
  }

  retriesStatus(status: number): boolean {
    return this.#retryStatuses.length > 0 && this.#retryStatuses.includes(status);
  }

  pick(excluded: ReadonlySet<Instance> | undefined): Instance | undefined {
    // With every instance tried, a tried one is better than none: the failure may have been the connection's.
    return this.#balancer.pick(excluded) ?? (excluded === undefined ? undefined : this.#balancer.pick(undefined));
  }
}

/**
 * The instances of all services, by identity. A snapshot takes what it names; what no snapshot names any more closes
 * its idle connections and ends with its last request.
 */
export class Instances {
  readonly #byService = new Map<string, Map<string, Instance>>();
  readonly #loads = new Map<string, ServiceLoad>();
  readonly #context: UpstreamContext;

  constructor(context: UpstreamContext) {
    this.#context = context;
  }

  /** Builds the service of a new snapshot over the instances that are already known. Has no effect on live ones. */
  build(name: string, resource: ServiceResource, _memory?: ServiceMemory): { service: Service; commit: () => void } {
    const known = this.#byService.get(name);
    const { clock, wheel, metrics, workers } = this.#context;
    const limits = {
      max: Math.max(1, Math.ceil(resource.pool.max / workers)),
      idleMs: resource.pool.idleMs,
      connectMs: resource.timeouts.connectMs,
    };
    const next = new Map<string, Instance>();
    for (const item of resource.instances) {
      next.set(item.address, known?.get(item.address) ?? new Instance(name, item, limits, clock, wheel, metrics));
    }
    const load = this.#loads.get(name) ?? { active: 0, retries: 0 };
    // Weights are read from the resource, not from the live instance: this snapshot may never be published.
    const weighted = resource.instances.map((item) => next.get(item.address)).filter((item) => item !== undefined);
    const service = new Service(name, resource, weighted, load, this.#context);
    const commit = (): void => {
      for (const item of resource.instances) {
        const instance = next.get(item.address);
        if (instance === undefined) continue;
        instance.weight = item.weight;
        instance.pool.limits = limits;
        instance.pool.reopen();
      }
      for (const [address, instance] of this.#byService.get(name) ?? []) if (!next.has(address)) instance.pool.close();
      this.#byService.set(name, next);
      this.#loads.set(name, load);
    };
    return { service, commit };
  }

  /** The service is gone from the configuration. */
  drop(name: string): void {
    for (const instance of this.#byService.get(name)?.values() ?? []) instance.pool.close();
    this.#byService.delete(name);
    this.#loads.delete(name);
  }

  /** Closes every idle connection; used when the thread ends. */
  close(): void {
    for (const name of [...this.#byService.keys()]) this.drop(name);
  }
}
