import { redacted } from "../core/secrets.ts";
import { formatBytes, formatDuration } from "@headgate/schema";
import type {
  ChainEntry,
  ConsumerResource,
  DeliverySettings,
  GatewaySettings,
  Match,
  QueueSettings,
  Resources,
  RouteResource,
  ServiceResource,
  TextCondition,
} from "@headgate/schema";
import type { CatalogKind, Value, ValueOf } from "./catalog/entry.ts";
import { redactSettings } from "./redact.ts";
import { writtenPolicies } from "./written-service.ts";

type Written = Record<string, unknown>;

/**
 * Resources and settings as a document that validates to the same: what `export` answers. With `secrets` false, what
 * looks like a secret is replaced by `[redacted]`. Pure.
 */
export function toDocument(gateway: GatewaySettings, resources: Resources, secrets: boolean): Written {
  const write = (kind: CatalogKind) => (value: Value) => writeResource(kind, value, secrets);
  const document = {
    gateway: writtenGateway(gateway, secrets),
    global: writeResource("settings", resources.global, secrets) as readonly unknown[], // a chain is a list
    middlewares: each(resources.middlewares, write("middlewares")),
    routes: each(resources.routes, write("routes")),
    services: each(resources.services, write("services")),
    consumers: each(resources.consumers, write("consumers")),
    plugins: each(resources.plugins, write("plugins")),
  };
  const filled = Object.entries(document).filter(([, section]) => Object.keys(section).length > 0);
  return Object.fromEntries(filled);
}

/** One resource as a document writes it; `settings` is the global chain. Pure. */
export function writeResource(kind: CatalogKind, value: Value, secrets: boolean): unknown {
  const writer = new Writer(secrets ? (settings) => settings : redactSettings);
  // Kind and value belong together, see ValueOf.
  switch (kind) {
    case "settings":
      return writer.chain(value as ValueOf["settings"]);
    case "middlewares":
      return writer.entry((value as ValueOf["middlewares"]).entry);
    case "routes":
      return writer.route(value as ValueOf["routes"]);
    case "services":
      return writer.service(value as ValueOf["services"]);
    case "consumers":
      return writtenConsumer(value as ValueOf["consumers"], secrets);
    case "plugins": {
      const { path, source } = value as ValueOf["plugins"];
      return path ?? { source };
    }
  }
}

/** Writes the parts that hold settings of middlewares, which may hold secrets. */
class Writer {
  readonly #show: (settings: unknown) => unknown;

  constructor(show: (settings: unknown) => unknown) {
    this.#show = show;
  }

  chain(entries: readonly ChainEntry[]): unknown[] {
    return entries.map((entry) => this.entry(entry));
  }

  entry({ name, settings, when }: ChainEntry): unknown {
    if (settings === undefined && when === undefined) return name;
    return { [name]: this.#show(settings) ?? null, ...(when === undefined ? {} : { when: writtenMatch(when) }) };
  }

  route({ match, use, timeoutMs, priority, to, delivery, ...rest }: RouteResource): Written {
    const [only] = match;
    const [destination] = to ?? [];
    const single = to?.length === 1 && destination?.weight === 1;
    return {
      match: match.length === 1 && only !== undefined ? writtenMatch(only) : match.map(writtenMatch),
      ...(use.length === 0 ? {} : { use: this.chain(use) }),
      ...(to === undefined ? {} : { to: single ? destination.service : to }),
      ...rest,
      ...(timeoutMs === undefined ? {} : { timeout: formatDuration(timeoutMs) }),
      ...(priority === 0 ? {} : { priority }),
      ...(delivery === undefined ? {} : { delivery: writtenDelivery(delivery) }),
    };
  }

  service({ use, ...policies }: ServiceResource): Written {
    const { discover, ...written } = writtenPolicies(policies);
    return {
      ...written,
      ...(discover === undefined ? {} : { discover: this.#show(discover) }),
      ...(use.length === 0 ? {} : { use: this.chain(use) }),
    };
  }
}

function each<T>(resources: Readonly<Record<string, T>>, write: (resource: T) => unknown): Written {
  return Object.fromEntries(Object.entries(resources).map(([name, resource]) => [name, write(resource)]));
}

function writtenDelivery({ deadlineMs, backoffMs, backoffMaxMs, bodyBytesMax }: DeliverySettings): Written {
  return {
    deadline: formatDuration(deadlineMs),
    backoff: formatDuration(backoffMs),
    backoffMax: formatDuration(backoffMaxMs),
    body: formatBytes(bodyBytesMax),
  };
}

function writtenGateway(gateway: GatewaySettings, secrets: boolean): Written {
  const { timeouts, limits, store, redis, queue, overload, ...settings } = gateway;
  return {
    ...settings,
    ...(store === undefined ? {} : { store: secrets ? store : redactSettings(store) }),
    ...(redis === undefined ? {} : { redis: secrets ? redis : redactSettings(redis) }),
    ...(queue === undefined ? {} : { queue: writtenQueue(queue, secrets) }),
    overload: overload !== undefined && {
      utilization: overload.utilizationRatio,
      delay: formatDuration(overload.delayMs),
    },
    timeouts: {
      requestHead: formatDuration(timeouts.requestHeadMs),
      requestBodyIdle: formatDuration(timeouts.requestBodyIdleMs),
      keepAlive: formatDuration(timeouts.keepAliveMs),
      drain: formatDuration(timeouts.drainMs),
    },
    limits: {
      requestHead: formatBytes(limits.requestHeadBytes),
      headers: limits.headers,
      uri: formatBytes(limits.uriBytes),
      connections: limits.connections,
    },
  };
}

function writtenQueue({ bytes, ...queue }: QueueSettings, secrets: boolean): Written {
  const written = { ...queue, size: formatBytes(bytes) };
  return secrets || queue.secret === undefined ? written : { ...written, secret: redacted };
}

function writtenMatch({ headers, query, cookies, ...match }: Match): Written {
  return {
    ...match,
    ...(headers === undefined ? {} : { headers: each(headers, writtenCondition) }),
    ...(query === undefined ? {} : { query: each(query, writtenCondition) }),
    ...(cookies === undefined ? {} : { cookies: each(cookies, writtenCondition) }),
  };
}

function writtenCondition(condition: TextCondition): unknown {
  return "equals" in condition ? condition.equals : condition;
}

function writtenConsumer({ keys, ...rest }: ConsumerResource, secrets: boolean): Written {
  return { ...rest, keys: secrets ? keys : keys.map(() => redacted) };
}
