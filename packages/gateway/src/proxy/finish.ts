import type { ErrorCode } from "../core/errors.ts";
import { errors } from "../core/errors.ts";
import type { CounterHandle, HistogramHandle, Metrics } from "../telemetry/metrics.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";

/** The series of one route: few, so a look through a list beats making and hashing a key for a map. */
export interface RouteSeries {
  readonly requests: {
    readonly service: string;
    readonly method: string;
    readonly status: number;
    readonly counter: CounterHandle;
  }[];
  readonly durations: { readonly service: string; readonly histogram: HistogramHandle }[];
}

function newSeries(): RouteSeries {
  return { requests: [], durations: [] };
}

/** Counts an exchange that is over. Label sets are bounded: configured names, known methods, statuses. */
export class Finisher {
  readonly #metrics: Metrics;
  readonly #overhead: HistogramHandle;
  readonly #unmatched = newSeries();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#overhead = metrics.histogram("gateway_overhead_seconds");
  }

  /** `nowMs`: monotonic. */
  count(exchange: Exchange, route: Route | undefined, nowMs: number): void {
    exchange.finishedMs = nowMs;
    const series = route === undefined ? this.#unmatched : (route.series ??= newSeries());
    this.#requests(series, exchange).add(1);
    const totalMs = nowMs - exchange.startedMs;
    this.#duration(series, exchange).observe(totalMs / 1000);
    // Our own share of the time to the head: waiting for the instance and streaming the body are not ours.
    if (exchange.upstreamHeadMs > 0) {
      const waitedMs = exchange.upstreamHeadMs - exchange.upstreamStartMs;
      const streamedMs = nowMs - exchange.upstreamHeadMs;
      this.#overhead.observe(Math.max(0, totalMs - waitedMs - streamedMs) / 1000);
    } else if (exchange.attempts === 0) this.#overhead.observe(totalMs / 1000);
  }

  #requests(
    series: RouteSeries,
    { routeName, serviceName: service, request: { method }, response: { status } }: Exchange,
  ): CounterHandle {
    for (const entry of series.requests) {
      if (entry.status === status && entry.method === method && entry.service === service) return entry.counter;
    }
    const counter = this.#metrics.counter("requests_total", {
      route: routeName,
      service,
      method,
      status: String(status),
    });
    series.requests.push({ service, method, status, counter });
    return counter;
  }

  #duration(series: RouteSeries, { routeName, serviceName: service }: Exchange): HistogramHandle {
    for (const entry of series.durations) if (entry.service === service) return entry.histogram;
    const histogram = this.#metrics.histogram("request_duration_seconds", { route: routeName, service });
    series.durations.push({ service, histogram });
    return histogram;
  }

  /** Counts a request that was refused before it became an exchange. */
  countRefused(code: ErrorCode): void {
    const labels = { route: "", service: "", method: "", status: String(errors[code].status) };
    this.#metrics.counter("requests_total", labels).add(1);
  }
}
