import { systemEventLoop } from "../core/event-loop.ts";
import { fetchJson } from "../core/fetch-json.ts";
import { systemClock, systemRandom } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { systemTimers } from "../core/timers.ts";
import { middlewares } from "../middlewares/index.ts";
import { SharedLimiter } from "../proxy/limiter.ts";
import { Proxy } from "../proxy/proxy.ts";
import { openAccessLogSink, type AccessLogSink } from "../telemetry/access-log-sink.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { HostParts } from "./worker-host.ts";
import type { FromWorker, WorkerStart } from "./worker-messages.ts";

/** Builds what a worker consists of, whether it is a thread or lives in the control thread. */
export function workerParts(
  start: WorkerStart,
  log: Log,
  metrics: Metrics,
  post: (message: FromWorker) => void,
): HostParts<Awaited<ReturnType<Proxy["prepare"]>>> {
  const accessLog = openSink(start, log, metrics);
  const proxy = new Proxy({
    settings: start.settings,
    workers: start.workers,
    workerId: start.workerId,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log,
    metrics,
    limiter: new SharedLimiter(start.limiterMemory, systemClock),
    connectionCount: new Int32Array(start.connectionMemory),
    accessLog,
    middlewares,
    fetchJson,
    queue: { post, ...(start.queueKey === undefined ? {} : { key: start.queueKey }) },
    onUpstream: (event) => post({ type: "upstream", event }),
    loop: systemEventLoop(),
  });
  return { proxy, accessLog };
}

/** Throws where the file cannot be opened: at start the operator is there to see it. */
function openSink(start: WorkerStart, log: Log, metrics: Metrics): AccessLogSink {
  const dropped = metrics.counter("access_log_dropped_total");
  return openAccessLogSink({
    path: start.settings.accessLog.path,
    timers: systemTimers,
    onDropped: (lines) => dropped.add(lines),
    onError: (error) => log.error({ err: error }, "the access log cannot be written"),
  });
}
