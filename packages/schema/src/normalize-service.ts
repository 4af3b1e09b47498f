import type { z } from "zod";
import type { serviceSchema } from "./document.ts";
import { toChainEntry } from "./normalize.ts";
import { toDiscover } from "./normalize-discover.ts";
import type {
  BalanceSettings,
  CircuitBreakerSettings,
  ConcurrencySettings,
  HashKey,
  HealthCheckSettings,
  OutlierDetectionSettings,
  ServiceResource,
} from "./resources.ts";

type Written = z.output<typeof serviceSchema>;

/** How much longer than `open` a breaker stays open at most, where the document does not say. */
const openMaxFactor = 4;
/** Bounds of a limit that is found by itself, where the document does not say (failsafe-go's defaults). */
const adaptiveDefaults = { min: 1, max: 1_000, initial: 20 };

export function toService(written: Written): ServiceResource {
  const { timeouts, retry, pool, discover, slowStart, hedging, circuitBreaker, outlierDetection } = written;
  const { healthCheck, concurrency, preferZone, panicThreshold } = written;
  return {
    instances: written.instances.map(({ address, weight, zone }) => ({
      address: address.toLowerCase(),
      weight,
      ...(zone === undefined ? {} : { zone }),
    })),
    ...(discover === undefined ? {} : { discover: toDiscover(discover) }),
    protocol: written.protocol,
    balance: toBalance(written.balance),
    ...(preferZone ? {} : { preferZone }),
    ...(slowStart === 0 ? {} : { slowStartMs: slowStart }),
    ...(panicThreshold === 0 ? {} : { panicThreshold }),
    timeouts: { connectMs: timeouts.connect, firstByteMs: timeouts.firstByte, idleMs: timeouts.idle },
    retry: {
      attempts: retry.attempts,
      on: [...new Set(retry.on.map(toRetryOn))],
      budgetRatio: retry.budget,
      backoffMs: retry.backoff,
      ...(retry.perTry === undefined ? {} : { perTryMs: retry.perTry }),
    },
    ...(hedging === undefined ? {} : { hedging: { afterMs: hedging.after, max: hedging.max } }),
    ...(circuitBreaker === undefined ? {} : { circuitBreaker: toCircuitBreaker(circuitBreaker) }),
    ...(outlierDetection === false ? {} : { outlierDetection: toOutlierDetection(outlierDetection) }),
    ...(healthCheck === undefined ? {} : { healthCheck: toHealthCheck(healthCheck) }),
    ...(concurrency === undefined ? {} : { concurrency: toConcurrency(concurrency) }),
    pool: { max: pool.max, idleMs: pool.idle },
    use: written.use.map(toChainEntry),
  };
}

function toRetryOn(written: string | number): ServiceResource["retry"]["on"][number] {
  if (written === "connect" || written === "reset" || written === "timeout") return written;
  return `${Number(written)}`;
}

function toBalance(written: Written["balance"]): BalanceSettings {
  if (typeof written === "string") return { policy: written };
  const { hash, sticky } = written;
  if (hash !== undefined) {
    const { loadFactor } = hash;
    return { policy: "hash", key: toHashKey(hash), ...(loadFactor === undefined ? {} : { loadFactor }) };
  }
  const { cookie = "hg", ttl, path = "/", secure = false } = sticky ?? {};
  return { policy: "sticky", cookie, ...(ttl === undefined ? {} : { ttlMs: ttl }), path, secure };
}

type WrittenHash = NonNullable<Exclude<Written["balance"], string>["hash"]>;

/** `checkService` has seen that there is exactly one. */
function toHashKey({ header, cookie, query, param }: WrittenHash): HashKey {
  if (header !== undefined) return { from: "header", name: header.toLowerCase() };
  if (cookie !== undefined) return { from: "cookie", name: cookie };
  if (query !== undefined) return { from: "query", name: query };
  if (param !== undefined) return { from: "param", name: param };
  return { from: "client" };
}

function toCircuitBreaker(written: NonNullable<Written["circuitBreaker"]>): CircuitBreakerSettings {
  const { failureRatio, window, minRequests, consecutive, open, openMax, slowCall, slowRatio } = written;
  return {
    failureRatio,
    windowMs: window,
    minRequests,
    consecutive,
    openMs: open,
    openMaxMs: Math.max(open, openMax ?? open * openMaxFactor),
    ...(slowCall === undefined ? {} : { slowCallMs: slowCall }),
    slowRatio,
    halfOpenRequests: written.halfOpenRequests,
  };
}

function toOutlierDetection(written: Exclude<Written["outlierDetection"], false>): OutlierDetectionSettings {
  const { maxEjected, base, max, consecutive, interval } = written;
  return { maxEjectedRatio: maxEjected, baseMs: base, maxMs: Math.max(base, max), consecutive, intervalMs: interval };
}

function toHealthCheck(written: NonNullable<Written["healthCheck"]>): HealthCheckSettings {
  const { path, tcp, method, host, headers, status, body, port, interval, timeout, healthy, unhealthy } = written;
  return {
    type: tcp === true ? "tcp" : "http",
    path: path ?? "/",
    method,
    ...(host === undefined ? {} : { host }),
    headers,
    statuses: (Array.isArray(status) ? status : [status]).map(toStatuses),
    ...(body === undefined ? {} : { body }),
    ...(port === undefined ? {} : { port }),
    intervalMs: interval,
    timeoutMs: timeout,
    healthy,
    unhealthy,
  };
}

/** `200`, `"2xx"` or `"200-399"`. */
function toStatuses(written: number | string): { from: number; to: number } {
  if (typeof written === "number") return { from: written, to: written };
  if (written.endsWith("xx")) return { from: Number(written[0]) * 100, to: Number(written[0]) * 100 + 99 };
  const [from = written, to = from] = written.split("-");
  return { from: Number(from), to: Number(to) };
}

function toConcurrency(written: NonNullable<Written["concurrency"]>): ConcurrencySettings {
  if (typeof written === "number") return { type: "fixed", limit: written };
  const { limit, min = adaptiveDefaults.min, max = adaptiveDefaults.max, initial = adaptiveDefaults.initial } = written;
  if (limit !== undefined) return { type: "fixed", limit };
  return {
    type: "adaptive",
    min,
    max: Math.max(min, max),
    initial: Math.min(Math.max(initial, min), Math.max(min, max)),
  };
}
