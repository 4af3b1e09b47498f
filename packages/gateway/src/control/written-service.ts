import { formatDuration } from "@headgate/schema";
import type {
  BalanceSettings,
  CircuitBreakerSettings,
  ConcurrencySettings,
  DiscoverSettings,
  HealthCheckSettings,
  OutlierDetectionSettings,
  ServiceResource,
} from "@headgate/schema";

type Written = Record<string, unknown>;

/** A service's policies as a document writes them, all but its chain. What is left out is what a document gets without. */
export function writtenPolicies(service: Omit<ServiceResource, "use">): Written {
  const { balance, slowStartMs, panicThreshold = 0, timeouts, retry, hedging, pool, ...others } = service;
  const { circuitBreaker, outlierDetection, healthCheck, concurrency, discover, ...rest } = others;
  return {
    ...rest,
    ...(discover === undefined ? {} : { discover: writtenDiscover(discover) }),
    balance: writtenBalance(balance),
    panicThreshold,
    ...(slowStartMs === undefined ? {} : { slowStart: formatDuration(slowStartMs) }),
    timeouts: {
      connect: formatDuration(timeouts.connectMs),
      firstByte: formatDuration(timeouts.firstByteMs),
      idle: formatDuration(timeouts.idleMs),
    },
    retry: {
      attempts: retry.attempts,
      on: retry.on,
      budget: retry.budgetRatio,
      backoff: formatDuration(retry.backoffMs),
      ...(retry.perTryMs === undefined ? {} : { perTry: formatDuration(retry.perTryMs) }),
    },
    ...(hedging === undefined ? {} : { hedging: { after: formatDuration(hedging.afterMs), max: hedging.max } }),
    ...(circuitBreaker === undefined ? {} : { circuitBreaker: writtenBreaker(circuitBreaker) }),
    outlierDetection: outlierDetection === undefined ? false : writtenOutliers(outlierDetection),
    ...(healthCheck === undefined ? {} : { healthCheck: writtenCheck(healthCheck) }),
    ...(concurrency === undefined ? {} : { concurrency: writtenConcurrency(concurrency) }),
    pool: { max: pool.max, idle: formatDuration(pool.idleMs) },
  };
}

function writtenDiscover(discover: DiscoverSettings): Written {
  if ("dns" in discover) {
    const { intervalMs, ...rest } = discover.dns;
    return { dns: { ...rest, ...(intervalMs === undefined ? {} : { interval: formatDuration(intervalMs) }) } };
  }
  if (!("consul" in discover)) return discover;
  const { tags, ...rest } = discover.consul;
  return { consul: { ...rest, ...(tags.length === 0 ? {} : { tag: tags }) } };
}

function writtenBalance(balance: BalanceSettings): unknown {
  switch (balance.policy) {
    case "hash": {
      const { key, loadFactor } = balance;
      const place = key.from === "client" ? { client: true } : { [key.from]: key.name };
      return { hash: { ...place, ...(loadFactor === undefined ? {} : { loadFactor }) } };
    }
    case "sticky": {
      const { cookie, ttlMs, path, secure } = balance;
      return { sticky: { cookie, path, secure, ...(ttlMs === undefined ? {} : { ttl: formatDuration(ttlMs) }) } };
    }
    default:
      return balance.policy;
  }
}

function writtenBreaker({ windowMs, openMs, openMaxMs, slowCallMs, ...rest }: CircuitBreakerSettings): Written {
  return {
    ...rest,
    window: formatDuration(windowMs),
    open: formatDuration(openMs),
    openMax: formatDuration(openMaxMs),
    ...(slowCallMs === undefined ? {} : { slowCall: formatDuration(slowCallMs) }),
  };
}

function writtenOutliers(settings: OutlierDetectionSettings): Written {
  const { maxEjectedRatio, baseMs, maxMs, consecutive, intervalMs } = settings;
  return {
    maxEjected: maxEjectedRatio,
    base: formatDuration(baseMs),
    max: formatDuration(maxMs),
    consecutive,
    interval: formatDuration(intervalMs),
  };
}

function writtenCheck({ type, path, statuses, intervalMs, timeoutMs, ...rest }: HealthCheckSettings): Written {
  return {
    ...rest,
    ...(type === "tcp" ? { tcp: true } : { path }),
    status: statuses.map(({ from, to }) => (from === to ? from : `${from}-${to}`)),
    interval: formatDuration(intervalMs),
    timeout: formatDuration(timeoutMs),
  };
}

function writtenConcurrency({ type, ...bounds }: ConcurrencySettings): unknown {
  return type === "fixed" ? bounds : { adaptive: true, ...bounds };
}
