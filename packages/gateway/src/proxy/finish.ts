import type { ErrorCode } from "../core/errors.ts";
import { errors } from "../core/errors.ts";
import type { CounterHandle, HistogramHandle, Metrics } from "../telemetry/metrics.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";

/** What one kind of exchange of a route is counted in. */
interface Series {
  readonly service: string;
  readonly method: string;
  readonly status: number;
  readonly requests: CounterHandle;
  readonly duration: HistogramHandle;
  next: Series | undefined;
}

/** Who holds the series: a route, or nobody's requests. */
interface SeriesOwner {
  series: RouteSeries;
}

/**
 * The series of one route: few, so a look through a chain beats making and hashing a key for a map. Linked and not a
 * list, because the first is nearly always the one, and a list is two more places in memory.
 */
export type RouteSeries = Series | undefined;

/** Counts an exchange that is over. Label sets are bounded: configured names, known methods, statuses. */
export class Finisher {
  readonly #metrics: Metrics;
  readonly #overhead: HistogramHandle;
  readonly #unmatched: SeriesOwner = { series: undefined };

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.#overhead = metrics.histogram("gateway_overhead_seconds");
  }

  /** `nowMs`: monotonic. */
  count(exchange: Exchange, route: Route | undefined, nowMs: number): void {
    exchange.finishedMs = nowMs;
    const { requests, duration } = this.#find(route ?? this.#unmatched, exchange);
    const totalMs = nowMs - exchange.startedMs;
    requests.add(1);
    duration.observe(totalMs / 1000);
    // Our own share of the time to the head: waiting for the instance and streaming the body are not ours.
    if (exchange.upstreamHeadMs > 0) {
      const waitedMs = exchange.upstreamHeadMs - exchange.upstreamStartMs;
      const streamedMs = nowMs - exchange.upstreamHeadMs;
      this.#overhead.observe(Math.max(0, totalMs - waitedMs - streamedMs) / 1000);
    } else if (exchange.attempts === 0) this.#overhead.observe(totalMs / 1000);
  }

  #find(
    owner: SeriesOwner,
    { routeName: route, serviceName: service, request, response: { status } }: Exchange,
  ): Series {
    const { method } = request;
    let last: Series | undefined;
    for (let series: RouteSeries = owner.series; series !== undefined; series = series.next) {
      last = series;
      if (series.status === status && series.method === method && series.service === service) return series;
    }
    const series: Series = {
      service,
      method,
      status,
      requests: this.#metrics.counter("requests_total", { route, service, method, status: String(status) }),
      duration: this.#metrics.histogram("request_duration_seconds", { route, service }),
      next: undefined,
    };
    if (last === undefined) owner.series = series;
    else last.next = series;
    return series;
  }

  /** Counts a request that was refused before it became an exchange. */
  countRefused(code: ErrorCode): void {
    const labels = { route: "", service: "", method: "", status: String(errors[code].status) };
    this.#metrics.counter("requests_total", labels).add(1);
  }
}
