import type { Metrics } from "./metrics.ts";
import type { MetricsPage } from "./metrics-page.ts";

/** What the operating system knows of this process. */
export interface ProcessFacts {
  /** `v24.21.0`. */
  readonly node: string;
  readonly pid: number;
  /** Seconds since 1970. */
  readonly startedSeconds: number;
  /** User and system time of all threads, in seconds. */
  readonly cpuSeconds: () => number;
  readonly residentBytes: () => number;
}

/** Puts the usual `process_*` metrics on the page. */
export function collectProcess(page: MetricsPage, metrics: Metrics, facts: ProcessFacts): void {
  metrics.gauge("process_start_time_seconds").set(facts.startedSeconds);
  const resident = metrics.gauge("process_resident_memory_bytes");
  const cpu = metrics.counter("process_cpu_seconds_total");
  let counted = 0;
  page.onCollect(() => {
    resident.set(facts.residentBytes());
    const now = facts.cpuSeconds();
    cpu.add(now - counted);
    counted = now;
  });
}
