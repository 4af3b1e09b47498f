import { parseMetrics, type Sample } from "./prometheus.ts";

/** What a metrics page says of traffic at one time. */
export interface Reading {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  /** Requests since the start by route; the empty name is that of requests that no route took. */
  readonly routes: ReadonlyMap<string, RouteCounts>;
  readonly connections: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Of each worker, 0 to 1. */
  readonly utilization: readonly number[];
}

interface RouteCounts {
  requests: number;
  clientErrors: number;
  serverErrors: number;
  /** Requests that took at most so many seconds. */
  readonly buckets: Map<number, number>;
}

/** What happened between two readings. */
export interface Rates {
  readonly all: RouteRates;
  /** The busiest first; those without a request are left out. */
  readonly routes: readonly RouteRates[];
  readonly connections: number;
  /** Of one core, 0 to 1 and above. */
  readonly cpu: number;
  readonly residentBytes: number;
  readonly utilization: readonly number[];
}

export interface RouteRates {
  readonly route: string;
  readonly requestsPerSecond: number;
  /** Answers with 4xx and with 5xx. */
  readonly clientErrorsPerSecond: number;
  readonly serverErrorsPerSecond: number;
  /** Undefined where nothing was measured. */
  readonly p50Seconds: number | undefined;
  readonly p99Seconds: number | undefined;
}

const names = new Set([
  "headgate_requests_total",
  "headgate_request_duration_seconds_bucket",
  "headgate_connections",
  "headgate_event_loop_utilization",
  "process_cpu_seconds_total",
  "process_resident_memory_bytes",
]);

export function readTraffic(page: string, atMs: number): Reading {
  const metrics = parseMetrics(page, names);
  const of = (name: string): readonly Sample[] => metrics.get(name) ?? [];
  const sum = (name: string): number => of(name).reduce((total, { value }) => total + value, 0);
  const routes = new Map<string, RouteCounts>();
  const countsOf = ({ labels }: Sample): RouteCounts => {
    const route = labels["route"] ?? "";
    let counts = routes.get(route);
    if (counts === undefined) routes.set(route, (counts = noRequests()));
    return counts;
  };
  for (const sample of of("headgate_requests_total")) {
    const counts = countsOf(sample);
    const status = sample.labels["status"] ?? "";
    counts.requests += sample.value;
    if (status.startsWith("4")) counts.clientErrors += sample.value;
    if (status.startsWith("5")) counts.serverErrors += sample.value;
  }
  for (const sample of of("headgate_request_duration_seconds_bucket")) {
    const { buckets } = countsOf(sample);
    const bound = sample.labels["le"] === "+Inf" ? Infinity : Number(sample.labels["le"]);
    buckets.set(bound, (buckets.get(bound) ?? 0) + sample.value);
  }
  return {
    atMs,
    routes,
    connections: sum("headgate_connections"),
    cpuSeconds: sum("process_cpu_seconds_total"),
    residentBytes: sum("process_resident_memory_bytes"),
    utilization: of("headgate_event_loop_utilization").map(({ value }) => value),
  };
}

/** What happened between two readings of one gateway. Pure. */
export function ratesBetween(before: Reading, after: Reading): Rates {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1_000);
  // A gateway that was started again counts from nothing.
  const restarted = after.cpuSeconds < before.cpuSeconds;
  const all = noRequests();
  const routes: RouteRates[] = [];
  for (const [route, counts] of after.routes) {
    const made = restarted ? counts : difference(counts, before.routes.get(route) ?? noRequests());
    add(all, made);
    if (made.requests > 0) routes.push(ratesOf(route, made, seconds));
  }
  return {
    all: ratesOf("", all, seconds),
    routes: routes.sort((a, b) => b.requestsPerSecond - a.requestsPerSecond || (a.route < b.route ? -1 : 1)),
    connections: after.connections,
    cpu: (after.cpuSeconds - (restarted ? 0 : before.cpuSeconds)) / seconds,
    residentBytes: after.residentBytes,
    utilization: after.utilization,
  };
}

function ratesOf(
  route: string,
  { requests, clientErrors, serverErrors, buckets }: RouteCounts,
  seconds: number,
): RouteRates {
  return {
    route,
    requestsPerSecond: requests / seconds,
    clientErrorsPerSecond: clientErrors / seconds,
    serverErrorsPerSecond: serverErrors / seconds,
    p50Seconds: quantile(buckets, 0.5),
    p99Seconds: quantile(buckets, 0.99),
  };
}

function noRequests(): RouteCounts {
  return { requests: 0, clientErrors: 0, serverErrors: 0, buckets: new Map() };
}

function difference(after: RouteCounts, before: RouteCounts): RouteCounts {
  return {
    requests: after.requests - before.requests,
    clientErrors: after.clientErrors - before.clientErrors,
    serverErrors: after.serverErrors - before.serverErrors,
    buckets: new Map([...after.buckets].map(([bound, count]) => [bound, count - (before.buckets.get(bound) ?? 0)])),
  };
}

function add(sum: RouteCounts, counts: RouteCounts): void {
  sum.requests += counts.requests;
  sum.clientErrors += counts.clientErrors;
  sum.serverErrors += counts.serverErrors;
  for (const [bound, count] of counts.buckets) sum.buckets.set(bound, (sum.buckets.get(bound) ?? 0) + count);
}

/** As Prometheus' histogram_quantile: linear within a bucket; beyond the last bound, that bound. */
function quantile(buckets: ReadonlyMap<number, number>, share: number): number | undefined {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  const rank = share * total;
  let lower = 0;
  let below = 0;
  for (const [bound, count] of sorted) {
    if (count >= rank && count > below) {
      return bound === Infinity ? lower : lower + (bound - lower) * ((rank - below) / (count - below));
    }
    if (bound !== Infinity) lower = bound;
    below = Math.max(below, count);
  }
  return lower;
}
