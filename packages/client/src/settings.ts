import type { RegisterOptions } from "./register.ts";
import type { Announcement } from "./registry.ts";

/** Registration in etcd, which the gateways watch. */
export interface EtcdTarget {
  /** URLs of the cluster's members, tried in turn: `http://127.0.0.1:2379`. */
  readonly etcd: readonly string[];
  readonly username?: string;
  readonly password?: string;
  /** Default `/services/`; as `gateway.registry.prefix`. */
  readonly prefix?: string;
  /** Default `/health/`. */
  readonly healthPrefix?: string;
}

/** Registration over a gateway's admin API: for services that cannot or must not reach etcd. */
export interface GatewayTarget {
  /** URL of the admin API, or several that are tried in turn: `http://127.0.0.1:9080`. */
  readonly gateway: string | readonly string[];
  readonly token: string;
}

/** The options of `register`, checked, with every default. */
export interface Settings {
  readonly service: string;
  readonly address: string;
  readonly announcement: Announcement;
  readonly ttlMs: number;
  readonly requestTimeoutMs: number;
  readonly to:
    | (Required<Pick<EtcdTarget, "etcd" | "prefix" | "healthPrefix">> & Pick<EtcdTarget, "username" | "password">)
    | { readonly gateway: readonly string[]; readonly token: string };
  /** Undefined: no reports. */
  readonly healthIntervalMs: number | undefined;
  readonly drainMs: number;
  readonly noticeMs: number;
}

const ttlMinMs = 1_000;
const ttlMaxMs = 3_600_000;

/** Throws a TypeError, one sentence, at the first setting that is wrong. */
export function readSettings(options: RegisterOptions): Settings {
  const { service, weight, zone, version, health, drainMs = 5_000, noticeMs = 1_000 } = options;
  check(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(service),
    `service "${service}" is not a name: expected 1 to 128 letters, digits, ".", "_" or "-"`,
  );
  const address = options.address.toLowerCase();
  check(isAddress(address), `address "${options.address}" is not host:port with the host and port that gateways reach`);
  check(
    weight === undefined || (Number.isInteger(weight) && weight >= 0 && weight <= 1_000_000),
    `weight ${String(weight)} is not a whole number from 0 to 1000000`,
  );
  check(zone === undefined || (zone !== "" && zone.length <= 128), "zone is not a text of 1 to 128 characters");
  check(version === undefined || version.length <= 128, "version is longer than 128 characters");
  const ttlMs = Math.round(readDuration(options.ttl ?? "10s"));
  check(ttlMs >= ttlMinMs && ttlMs <= ttlMaxMs, `ttl "${String(options.ttl)}" is not a duration from "1s" to "1h"`);
  check(
    drainMs >= 0 && drainMs <= ttlMaxMs && noticeMs >= 0,
    "drainMs is not a number of milliseconds from 0 to an hour, or noticeMs is below 0",
  );
  const healthIntervalMs = health === undefined ? undefined : health === true ? 5_000 : health.intervalMs;
  check(
    healthIntervalMs === undefined || healthIntervalMs >= 100,
    "health.intervalMs is not at least 100 milliseconds",
  );
  return {
    service,
    address,
    announcement: {
      status: "UP",
      ...(weight === undefined ? {} : { weight }),
      ...(zone === undefined ? {} : { zone }),
      ...(version === undefined ? {} : { version }),
    },
    ttlMs,
    // A lease allows two failed tries before it is lost, and a registry that is back shall not wait for a dead request.
    requestTimeoutMs: Math.min(1_500, Math.max(500, Math.ceil(ttlMs / 3))),
    to: readTarget(options.to),
    healthIntervalMs,
    drainMs,
    noticeMs,
  };
}

function readTarget(to: EtcdTarget | GatewayTarget): Settings["to"] {
  if ("gateway" in to) {
    check(to.token !== "", "to.token is empty: give what the gateway's admin-token file holds");
    return { gateway: readUrls("to.gateway", [to.gateway].flat()), token: to.token.trim() };
  }
  const { etcd, username, password, prefix = "/services/", healthPrefix = "/health/" } = to;
  return {
    etcd: readUrls("to.etcd", etcd),
    prefix: prefix.endsWith("/") ? prefix : `${prefix}/`,
    healthPrefix: healthPrefix.endsWith("/") ? healthPrefix : `${healthPrefix}/`,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

function readUrls(name: string, urls: readonly string[]): string[] {
  check(urls.length > 0, `${name} names no URL`);
  return urls.map((text) => {
    const url = URL.parse(text);
    const fits = url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.search === "";
    check(fits, `${name}: "${text}" is not a URL like http://127.0.0.1:2379`);
    return text.replace(/\/+$/, "");
  });
}

function isAddress(address: string): boolean {
  const parts = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?):(\d{1,5})$/.exec(address);
  const port = Number(parts?.[1]);
  return port >= 1 && port <= 65_535;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a duration like `"10s"`; NaN for text that is none. */
function readDuration(duration: string | number): number {
  if (typeof duration === "number") return duration;
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(duration) ?? [];
  return Number(digits) * (unitMs[unit] ?? NaN);
}

function check(isFine: boolean, problem: string): void {
  if (!isFine) throw new TypeError(problem);
}
