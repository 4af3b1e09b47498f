import type { ErrorCode } from "../core/errors.ts";
import { errors } from "../core/errors.ts";
import type { CounterHandle, HistogramHandle, Metrics } from "../telemetry/metrics.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";

/** The series of one route. */
export interface RouteSeries {
  /** By service, method and status. */
  readonly requests: Map<string, CounterHandle>;
  /** By service. */
  readonly durations: Map<string, HistogramHandle>;
}

function newSeries(): RouteSeries {
  return { requests: new Map(), durations: new Map() };
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
    const { routeName, serviceName, request } = exchange;
    const { status } = exchange.response;
    const key = `${serviceName} ${request.method} ${status}`;
    let requests = series.requests.get(key);
    if (requests === undefined) {
      const labels = { route: routeName, service: serviceName, method: request.method, status: String(status) };
      requests = this.#metrics.counter("requests_total", labels);
      series.requests.set(key, requests);
    }
    requests.add(1);
    let duration = series.durations.get(serviceName);
    if (duration === undefined) {
      duration = this.#metrics.histogram("request_duration_seconds", { route: routeName, service: serviceName });
      series.durations.set(serviceName, duration);
    }
    const totalMs = nowMs - exchange.startedMs;
    duration.observe(totalMs / 1000);
    // Our own share of the time to the head: waiting for the instance and streaming the body are not ours.
    if (exchange.upstreamHeadMs > 0) {
      const waitedMs = exchange.upstreamHeadMs - exchange.upstreamStartMs;
      const streamedMs = nowMs - exchange.upstreamHeadMs;
      this.#overhead.observe(Math.max(0, totalMs - waitedMs - streamedMs) / 1000);
    } else if (exchange.attempts === 0) this.#overhead.observe(totalMs / 1000);
  }

  /** Counts a request that was refused before it became an exchange. */
  countRefused(code: ErrorCode): void {
    const labels = { route: "", service: "", method: "", status: String(errors[code].status) };
    this.#metrics.counter("requests_total", labels).add(1);
  }
}
