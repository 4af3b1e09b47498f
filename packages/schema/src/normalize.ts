import type { z } from "zod";
import type {
  ChainEntry,
  ConsumerResource,
  Fallback,
  GatewaySettings,
  Match,
  PluginResource,
  RespondSettings,
  RouteResource,
  StoreSettings,
  TextCondition,
} from "./resources.ts";
import type {
  chainEntrySchema,
  consumerSchema,
  gatewaySchema,
  matchSchema,
  pluginSchema,
  respondSchema,
  routeSchema,
} from "./document.ts";
import { defaultDelivery } from "./document.ts";

/*
 * From what the schemas accept to the resources the rest works with: units in names, shorthands expanded, names that
 * are compared without case in lower case. Pure; what could be wrong was found before.
 */

type WrittenMatch = z.output<typeof matchSchema>;
type WrittenCondition = NonNullable<WrittenMatch["headers"]>[string];

export function toMatch(written: WrittenMatch): Match {
  const { hosts, path, methods, headers, query, cookies, clients } = written;
  return {
    ...(hosts === undefined ? {} : { hosts: [...new Set(hosts.map((host) => host.toLowerCase()))] }),
    ...(path === undefined ? {} : { path }),
    ...(methods === undefined ? {} : { methods: [...new Set(methods)] }),
    ...(headers === undefined ? {} : { headers: toConditions(headers, (name) => name.toLowerCase()) }),
    ...(query === undefined ? {} : { query: toConditions(query, (name) => name) }),
    ...(cookies === undefined ? {} : { cookies: toConditions(cookies, (name) => name) }),
    ...(clients === undefined ? {} : { clients }),
  };
}

function toConditions(
  written: Readonly<Record<string, WrittenCondition>>,
  key: (name: string) => string,
): Record<string, TextCondition> {
  return Object.fromEntries(Object.entries(written).map(([name, condition]) => [key(name), toCondition(condition)]));
}

function toCondition(written: WrittenCondition): TextCondition {
  if (typeof written === "string") return { equals: written };
  return written.regex === undefined ? { exists: written.exists ?? true } : { regex: written.regex };
}

/** `name` is the one key beside `when`; an empty value (`- jwt:`) is the same as the bare name. */
export function toChainEntry(written: z.output<typeof chainEntrySchema>): ChainEntry {
  if (typeof written === "string") return { name: written };
  const { when, ...rest } = written;
  const [name = "", settings] = Object.entries(rest)[0] ?? [];
  return {
    name,
    ...(settings === undefined || settings === null ? {} : { settings }),
    ...(when === undefined ? {} : { when: toMatch(when) }),
  };
}

/** Field names stay as written: what is sent is what the document says. */
function toRespond(written: z.output<typeof respondSchema>): RespondSettings {
  return { status: written.status, headers: written.headers, body: written.body };
}

export function toRoute(written: z.output<typeof routeSchema>): RouteResource {
  const { match, to, respond, fallback, timeout } = written;
  return {
    // No match at all takes everything, as an empty one does.
    match: match === undefined ? [{}] : Array.isArray(match) ? match.map(toMatch) : [toMatch(match)],
    use: written.use.map(toChainEntry),
    ...(to === undefined ? {} : { to: typeof to === "string" ? [{ service: to, weight: 1 }] : to }),
    ...(respond === undefined ? {} : { respond: toRespond(respond) }),
    ...(fallback === undefined ? {} : { fallback: toFallback(fallback) }),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    priority: written.priority,
    ...toDelivery(written.delivery),
    ...(written.importance === "normal" ? {} : { importance: written.importance }),
  };
}

function toDelivery(written: z.output<typeof routeSchema>["delivery"]): Pick<RouteResource, "delivery"> {
  if (written === "sync") return {};
  const { mode, deadline, backoff, backoffMax, body } = written === "async" ? defaultDelivery : written;
  if (mode === "sync") return {};
  return { delivery: { deadlineMs: deadline, backoffMs: backoff, backoffMaxMs: backoffMax, bodyBytesMax: body } };
}

function toFallback(written: NonNullable<z.output<typeof routeSchema>["fallback"]>): Fallback {
  return written.respond === undefined ? { service: written.service ?? "" } : { respond: toRespond(written.respond) };
}

export function toConsumer({ keys, groups, jwt }: z.output<typeof consumerSchema>): ConsumerResource {
  return { keys, groups, ...(jwt === undefined ? {} : { jwt }) };
}

export function toPlugin(written: z.output<typeof pluginSchema>): PluginResource {
  if (typeof written === "string") return { path: written };
  const { path, source } = written;
  return { ...(path === undefined ? {} : { path }), ...(source === undefined ? {} : { source }) };
}

export function toGateway(written: z.output<typeof gatewaySchema>): GatewaySettings {
  const { timeouts, limits } = written;
  return {
    listen: written.listen.map(({ address }) => ({ address: fullAddress(address) })),
    admin: { address: fullAddress(written.admin.address) },
    workers: written.workers,
    dataDir: written.dataDir,
    trustedProxies: written.trustedProxies,
    timeouts: {
      requestHeadMs: timeouts.requestHead,
      requestBodyIdleMs: timeouts.requestBodyIdle,
      keepAliveMs: timeouts.keepAlive,
      drainMs: timeouts.drain,
    },
    limits: {
      requestHeadBytes: limits.requestHead,
      headers: limits.headers,
      uriBytes: limits.uri,
      connections: limits.connections,
    },
    accessLog: { path: written.accessLog.path, format: written.accessLog.format },
    ...(written.store === undefined ? {} : { store: toStore(written.store) }),
    registry: { prefix: slashed(written.registry.prefix) },
    ...(written.zone === undefined ? {} : { zone: written.zone }),
    ...(written.redis === undefined ? {} : { redis: written.redis }),
    queue: {
      store: written.queue.store,
      messages: written.queue.messages,
      bytes: written.queue.size,
      deadLetters: written.queue.deadLetters,
      ...(written.queue.secret === undefined ? {} : { secret: written.queue.secret }),
    },
    ...(written.overload === false
      ? {}
      : { overload: { utilizationRatio: written.overload.utilization, delayMs: written.overload.delay } }),
  };
}

function toStore({ etcd, embedded }: NonNullable<z.output<typeof gatewaySchema>["store"]>): StoreSettings {
  if (etcd === undefined) {
    const { prefix = defaultPrefix, listen } = embedded ?? {};
    return {
      embedded: { prefix: slashed(prefix), ...(listen === undefined ? {} : { listen: fullAddress(listen) }) },
    };
  }
  const { endpoints, prefix, username, password, tls } = etcd;
  return {
    etcd: {
      endpoints: endpoints.map((endpoint) => endpoint.replace(/\/$/, "")),
      prefix: slashed(prefix),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: defined(tls) }),
    },
  };
}

const defaultPrefix = "/headgate/";

function slashed(prefix: string): string {
  return prefix.endsWith("/") ? prefix : `${prefix}/`;
}

/** Without the keys that hold `undefined`. */
function defined<T extends object>(map: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const filled = Object.entries(map).filter(([, value]) => value !== undefined);
  return Object.fromEntries(filled) as { [K in keyof T]?: Exclude<T[K], undefined> }; // only `undefined` was left out
}

/** `:8080` is every IPv4 address of the machine. */
export function fullAddress(address: string): string {
  return address.startsWith(":") ? `0.0.0.0${address}` : address.toLowerCase();
}
