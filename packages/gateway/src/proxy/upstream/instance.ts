import type { GatewayError } from "../../core/errors.ts";
import type { CounterHandle, Metrics } from "../../telemetry/metrics.ts";
import { InstanceLoad } from "./balancer/instance-load.ts";
import { Breaker } from "./breaker/breaker.ts";
import { InstanceHealth } from "./health/instance-health.ts";
import { instanceLayout } from "./memory.ts";
import { OutlierState } from "./outlier/outlier-state.ts";
import type { PoolLimits } from "./pool.ts";
import { Pool } from "./pool.ts";
import type { UpstreamContext } from "./service.ts";

/** How an attempt ended, as the metrics name it. */
export type Outcome =
  "success" | "error_status" | "connect" | "reset" | "timeout" | "protocol" | "aborted" | "overloaded";

/**
 * One instance of a service as one thread sees it. Keyed by service and address: it outlives every snapshot that names
 * it, and with it its connections and the views of what all threads know of it.
 */
export class Instance {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly pool: Pool;
  /** What all threads share of it. */
  readonly memory: SharedArrayBuffer;
  readonly load: InstanceLoad;
  readonly health: InstanceHealth;
  readonly breaker: Breaker;
  readonly outlier: OutlierState;
  readonly #metrics: Metrics;
  readonly #service: string;
  readonly #outcomes = new Map<Outcome, CounterHandle>();

  constructor(
    service: string,
    address: string,
    memory: SharedArrayBuffer,
    limits: PoolLimits,
    { clock, random, wheel, metrics, workerId, workers }: UpstreamContext,
  ) {
    const { host, port } = splitAddress(address);
    this.address = address;
    this.host = host;
    this.port = port;
    this.memory = memory;
    this.load = new InstanceLoad(memory, workerId, workers);
    this.health = new InstanceHealth(memory);
    this.breaker = new Breaker(memory, instanceLayout.breaker, random);
    this.outlier = new OutlierState(memory, instanceLayout.outlier);
    this.#metrics = metrics;
    this.#service = service;
    const connections = (state: string) => metrics.gauge("upstream_connections", { service, state });
    this.pool = new Pool(this, limits, clock, wheel, connections("idle"), connections("active"));
  }

  /** Counts the end of an attempt. */
  count(outcome: Outcome): void {
    let counter = this.#outcomes.get(outcome);
    if (counter === undefined) {
      const labels = { service: this.#service, instance: this.address, outcome };
      counter = this.#metrics.counter("upstream_requests_total", labels);
      this.#outcomes.set(outcome, counter);
    }
    counter.add(1);
  }
}

/** The outcome of an attempt that failed. */
export function outcomeOf(error: GatewayError): Outcome {
  switch (error.code) {
    case "HG_UPSTREAM_CONNECT":
      return "connect";
    case "HG_UPSTREAM_RESET":
      return "reset";
    case "HG_UPSTREAM_TIMEOUT":
      return "timeout";
    case "HG_UPSTREAM_PROTOCOL":
      return "protocol";
    case "HG_OVERLOADED":
      return "overloaded";
    default:
      return "aborted";
  }
}

/** Splits `host:port`; brackets of an IPv6 host are removed. */
export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon);
  return {
    host: host.startsWith("[") ? host.slice(1, -1) : host,
    port: Number(address.slice(colon + 1)),
  };
}
