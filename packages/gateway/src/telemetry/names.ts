/** What a metric is: how it is shown, how the values of several workers become one, and its labels. */
export interface MetricFacts {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of the buckets, ascending, without +Inf. Histograms only. */
  readonly bounds?: readonly number[];
  /** One series for each worker, told apart by a `worker` label, instead of their sum. Gauges only. */
  readonly perWorker?: true;
}

/** Seconds; from a cached answer nearby to the longest exchange anyone waits for. */
const durationBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Seconds; the gateway's own share is tens of microseconds when it is well and milliseconds when a loop is blocked. */
const overheadBounds = [0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
const applyBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Every metric this version records, without its prefix. `docs/metrics.md` explains each; a test compares the two. */
export const metrics = {
  requests_total: {
    type: "counter",
    help: "Exchanges that ended, by route, service, method and status sent to the client.",
    labels: ["route", "service", "method", "status"],
  },
  request_duration_seconds: {
    type: "histogram",
    help: "Time from the end of the request head to the last byte of the answer.",
    labels: ["route", "service"],
    bounds: durationBounds,
  },
  gateway_overhead_seconds: {
    type: "histogram",
    help: "The gateway's own share of the time to the answer's head: everything but waiting for the instance.",
    labels: [],
    bounds: overheadBounds,
  },
  upstream_requests_total: {
    type: "counter",
    help: "Attempts at instances, by how they ended.",
    labels: ["service", "instance", "outcome"],
  },
  upstream_duration_seconds: {
    type: "histogram",
    help: "Time from sending an attempt to the head of the instance's answer.",
    labels: ["service"],
    bounds: durationBounds,
  },
  upstream_connections: {
    type: "gauge",
    help: "Open connections to instances.",
    labels: ["service", "state"],
  },
  instance_up: {
    type: "gauge",
    help: "1 while an instance takes requests, else 0.",
    labels: ["service", "instance"],
  },
  instance_cpu_usage: {
    type: "gauge",
    help: "Share of its processor time that an instance reports, 0 to 1.",
    labels: ["service", "instance"],
  },
  instance_memory_usage: {
    type: "gauge",
    help: "Share of its memory that an instance reports, 0 to 1.",
    labels: ["service", "instance"],
  },
  instance_request_latency_seconds: {
    type: "gauge",
    help: "Duration of requests that an instance reports.",
    labels: ["service", "instance"],
  },
  circuit_state: {
    type: "gauge",
    help: "State of a circuit breaker: 0 closed, 1 half-open, 2 open. Without an instance that of the whole service.",
    labels: ["service", "instance"],
  },
  concurrency_limit: {
    type: "gauge",
    help: "Most requests to a service at a time, as it is set or was found.",
    labels: ["service"],
  },
  concurrency_in_flight: {
    type: "gauge",
    help: "Requests to a service that has a limit that are under way.",
    labels: ["service"],
  },
  retries_total: {
    type: "counter",
    help: "Attempts after the first, by why the one before failed; hedge: it was slow.",
    labels: ["service", "reason"],
  },
  rate_limited_total: {
    type: "counter",
    help: "Requests refused by a rate limit.",
    labels: ["route"],
  },
  shed_total: {
    type: "counter",
    help: "Requests refused at the door because the worker had more to do than it could, by the route's importance.",
    labels: ["importance"],
  },
  queue_messages: {
    type: "gauge",
    help: "Messages of routes with delivery: async, by state: waiting, delivering, dead.",
    labels: ["state"],
  },
  queue_bytes: {
    type: "gauge",
    help: "What messages take that wait or are being delivered.",
    labels: [],
  },
  queue_oldest_seconds: {
    type: "gauge",
    help: "Time since the oldest message came that is not delivered; 0 where there is none.",
    labels: [],
  },
  queue_deliveries_total: {
    type: "counter",
    help: "What became of messages: delivered, retried, deferred, refused, expired, unreadable.",
    labels: ["service", "outcome"],
  },
  queue_dead_letters_dropped: {
    type: "gauge",
    help: "Dead letters that were dropped for newer ones since the queue was opened.",
    labels: [],
  },
  connections: {
    type: "gauge",
    help: "Open client connections.",
    labels: ["state"],
  },
  event_loop_utilization: {
    type: "gauge",
    help: "Share of the last interval in which the thread's event loop was busy, 0 to 1.",
    labels: [],
    perWorker: true,
  },
  access_log_dropped_total: {
    type: "counter",
    help: "Access log lines dropped because the log's queue was full.",
    labels: [],
  },
  worker_restarts_total: {
    type: "counter",
    help: "Workers replaced because they ended or stopped responding.",
    labels: [],
  },
  config_revision: {
    type: "gauge",
    help: "Revision of the configuration that is live on all workers.",
    labels: [],
  },
  config_apply_seconds: {
    type: "histogram",
    help: "Time from seeing a change of the configuration to having it live on all workers.",
    labels: [],
    bounds: applyBounds,
  },
  config_rejected: {
    type: "gauge",
    help: "Problems that keep a resource of the newest configuration from being used.",
    labels: ["kind", "name"],
  },
  config_source: {
    type: "gauge",
    help: "1 for where the live configuration comes from: live is what file or store say now, cache the last good state.",
    labels: ["source"],
  },
  config_age_seconds: {
    type: "gauge",
    help: "Time since the live configuration took effect; of one from the disk, since it was saved there.",
    labels: [],
  },
  config_drift_total: {
    type: "counter",
    help: "Keys of the store that differed from the copy although the watch had told everything; they were healed.",
    labels: [],
  },
  discovery_failing: {
    type: "gauge",
    help: "1 while the source of a service's instances cannot be read, and the last known ones are used.",
    labels: ["service", "source"],
  },
  store_connected: {
    type: "gauge",
    help: "1 while the store answers and tells changes, else 0.",
    labels: [],
  },
  metrics_series: {
    type: "gauge",
    help: "Series on the metrics page.",
    labels: [],
  },
  build_info: {
    type: "gauge",
    help: "Always 1; the labels tell the version.",
    labels: ["version", "node"],
  },
  process_cpu_seconds_total: {
    type: "counter",
    help: "User and system CPU time of the process.",
    labels: [],
  },
  process_resident_memory_bytes: {
    type: "gauge",
    help: "Resident memory of the process.",
    labels: [],
  },
  process_start_time_seconds: {
    type: "gauge",
    help: "Start of the process, in seconds since 1970.",
    labels: [],
  },
} as const satisfies Record<string, MetricFacts>;

export type MetricName = keyof typeof metrics;

const prefix = "headgate_";

/** The name on the metrics page. `process_*` are the names every Prometheus client uses and carry no prefix. */
export function exposedName(name: string): string {
  return name.startsWith("process_") ? name : prefix + name;
}

/**
 * Facts of a metric by its name. A name outside the table is a counter of a middleware's own, whose labels are those
 * it is first used with.
 */
export function factsOf(name: string): MetricFacts | undefined {
  return Object.hasOwn(metrics, name)
    ? // The check above is what makes the name a key.
      metrics[name as MetricName]
    : undefined;
}
