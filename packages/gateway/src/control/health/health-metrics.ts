import type { Clock } from "../../core/clock.ts";
import { readConcurrency } from "../../proxy/upstream/concurrency/limiter.ts";
import type { MetricsPage, Sample } from "../../telemetry/metrics-page.ts";
import type { MetricName } from "../../telemetry/names.ts";
import type { Circuit } from "./circuit.ts";
import { takesRequests, type CircuitFacts, type CircuitName } from "./instance-state.ts";
import { hasLoad, type ReportedLoad } from "./report.ts";
import type { ViewParts } from "./views.ts";
import type { WatchedService } from "./watched.ts";

const circuitValues: Readonly<Record<CircuitName, number>> = { closed: 0, "half-open": 1, open: 2 };

/** What a report says, as metrics in base units. */
const reported: readonly (readonly [MetricName, (load: ReportedLoad) => number | undefined])[] = [
  ["instance_cpu_usage", ({ cpuUsage }) => cpuUsage],
  ["instance_memory_usage", ({ memoryUsage }) => memoryUsage],
  [
    "instance_request_latency_seconds",
    ({ requestLatencyMs }) => (requestLatencyMs === undefined ? undefined : requestLatencyMs / 1_000),
  ],
];

/** Puts instances and breakers on the page: read from memory and reports when the page is made, so recorded nowhere. */
export function showHealth(page: MetricsPage, services: ReadonlyMap<string, WatchedService>, parts: ViewParts): void {
  const { clock } = parts;
  page.onRead("instance_up", () => upSamples(services));
  for (const [name, valueOf] of reported) page.onRead(name, () => reportSamples(services, valueOf, clock));
  page.onRead("circuit_state", () => circuitSamples(services, parts));
  page.onRead("concurrency_limit", () => concurrencySamples(services, "limit"));
  page.onRead("concurrency_in_flight", () => concurrencySamples(services, "inFlight"));
}

function* upSamples(services: ReadonlyMap<string, WatchedService>): Generator<Sample, void, undefined> {
  for (const { name, shown } of services.values()) {
    for (const [address, { state }] of shown) {
      yield { labels: ["service", name, "instance", address], value: takesRequests(state) ? 1 : 0 };
    }
  }
}

function* reportSamples(
  services: ReadonlyMap<string, WatchedService>,
  valueOf: (load: ReportedLoad) => number | undefined,
  clock: Clock,
): Generator<Sample, void, undefined> {
  for (const { name, used } of services.values()) {
    for (const [address, { report }] of used) {
      if (report === undefined || !hasLoad(report, clock.now())) continue;
      const value = valueOf(report.load);
      if (value !== undefined) yield { labels: ["service", name, "instance", address], value };
    }
  }
}

/** Of services that have breakers, and of those that an operator holds. */
function* circuitSamples(
  services: ReadonlyMap<string, WatchedService>,
  parts: ViewParts,
): Generator<Sample, void, undefined> {
  for (const { name, resource, views, used } of services.values()) {
    const isConfigured = resource.circuitBreaker !== undefined;
    const sampleOf = (address: string, circuit: Circuit | undefined): readonly Sample[] => {
      const { state, forced }: CircuitFacts = circuit?.facts(isConfigured) ?? { state: "closed" };
      if (!isConfigured && forced === undefined) return [];
      return [{ labels: ["service", name, "instance", address], value: circuitValues[state] }];
    };
    yield* sampleOf("", views.circuit(parts));
    for (const [address, one] of used) yield* sampleOf(address, one.views.circuit(parts));
  }
}

function* concurrencySamples(
  services: ReadonlyMap<string, WatchedService>,
  what: "limit" | "inFlight",
): Generator<Sample, void, undefined> {
  for (const { name, resource, memory } of services.values()) {
    const reading = readConcurrency(resource.concurrency, memory);
    if (reading !== undefined) yield { labels: ["service", name], value: reading[what] };
  }
}
