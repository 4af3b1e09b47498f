import os from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Time } from "./core/time.ts";
import type { Meter } from "./meter.ts";

/** How an instance does. */
export interface Metrics {
  /** Share of the cores that this process may use, 0 to 1. */
  readonly cpuUsage: number;
  /** Resident memory over what the process may use (its container's limit, else the machine's memory), 0 to 1. */
  readonly memoryUsage: number;
  /** Smoothed duration of requests; absent until a hook has measured one. */
  readonly requestLatencyMs?: number;
  /** How late timers ran, 99th percentile since the last look. */
  readonly eventLoopDelayMs: number;
}

/** The value of `/health/<service>/<host:port>`. */
export interface HealthReport {
  readonly serviceId: string;
  readonly instanceId: string;
  readonly status: "UP" | "DRAINING";
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

/** A report that says nothing new is sent this often, so that an old one can be told from a silent instance. */
const silenceMaxMs = 30_000;
const changeRatio = 0.05;
/** Below these a change is noise, however large it is in proportion. */
const ratioNoise = 0.01;
const delayNoiseMs = 1;

/** Whether `next` says something that `last` did not: a value moved by more than 5 %, or half a minute went by. */
export function isWorthSending(last: HealthReport | undefined, next: HealthReport): boolean {
  if (last === undefined || last.status !== next.status) return true;
  if (next.timestamp - last.timestamp >= silenceMaxMs) return true;
  const moved = (was = 0, is = 0, noise: number): boolean =>
    Math.abs(is - was) > Math.max(noise, changeRatio * Math.max(was, is));
  const [was, is] = [last.metrics, next.metrics];
  return (
    moved(was.cpuUsage, is.cpuUsage, ratioNoise) ||
    moved(was.memoryUsage, is.memoryUsage, ratioNoise) ||
    moved(was.requestLatencyMs, is.requestLatencyMs, delayNoiseMs) ||
    moved(was.eventLoopDelayMs, is.eventLoopDelayMs, delayNoiseMs)
  );
}

/** Weight of the newest interval. Two intervals, ten seconds, carry three quarters. */
const latencyWeight = 0.5;

/** Exponentially weighted moving average; keeps the last value over an interval without requests. */
export function smooth(previous: number | undefined, meanMs: number | undefined): number | undefined {
  if (previous === undefined || meanMs === undefined) return meanMs ?? previous;
  return previous + latencyWeight * (meanMs - previous);
}

export interface HealthOptions {
  readonly service: string;
  readonly address: string;
  readonly intervalMs: number;
  readonly meter: Meter;
  readonly time: Time;
  readonly status: () => HealthReport["status"];
  /** Takes a report worth sending, as JSON. */
  readonly send: (report: string) => void;
}

/** Looks at this process every `intervalMs`. Returns how to stop. */
export function startHealth(options: HealthOptions): () => void {
  const { service, address, intervalMs, meter, time, status, send } = options;
  const sample = sampler(meter, time);
  let last: HealthReport | undefined;
  const look = (): void => {
    const metrics = sample.take();
    const next = { serviceId: service, instanceId: address, status: status(), metrics, timestamp: time.wall() };
    if (!isWorthSending(last, next)) return;
    last = next;
    send(JSON.stringify(next));
  };
  const stop = time.every(intervalMs, look);
  return () => {
    stop();
    sample.stop();
  };
}

/** The monitor's own timer: it records how long each round took, with the round itself in it. */
const delayResolutionMs = 20;

function sampler(meter: Meter, time: Time): { take(): Metrics; stop(): void } {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  const cores = os.availableParallelism();
  const memoryBytesMax = availableMemoryBytes();
  let cpu = process.cpuUsage();
  let takenAtMs = time.now();
  let latencyMs: number | undefined;
  return {
    take() {
      const now = time.now();
      const { user, system } = process.cpuUsage(cpu);
      const elapsedMs = Math.max(1, now - takenAtMs);
      cpu = process.cpuUsage();
      takenAtMs = now;
      latencyMs = smooth(latencyMs, meter.takeMeanMs());
      const eventLoopDelayMs = Math.max(0, delay.percentile(99) / 1e6 - delayResolutionMs);
      delay.reset();
      return {
        cpuUsage: rounded(Math.min(1, (user + system) / 1000 / elapsedMs / cores), 4),
        memoryUsage: rounded(Math.min(1, process.memoryUsage.rss() / memoryBytesMax), 4),
        ...(latencyMs === undefined ? {} : { requestLatencyMs: rounded(latencyMs, 2) }),
        eventLoopDelayMs: rounded(eventLoopDelayMs, 2),
      };
    },
    stop: () => void delay.disable(),
  };
}

/** Without a limit the constraint is 0, unknown, or more than any machine has. */
function availableMemoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, os.totalmem()) : os.totalmem();
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
