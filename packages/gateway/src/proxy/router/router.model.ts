import type { Match, TextCondition } from "@headgate/schema";
import { BlockList, isIPv6 } from "node:net";
import type { Client, ExchangeRequest } from "../exchange.ts";
import type { Found } from "./router.ts";

interface ModelRoute<T> {
  readonly name: string;
  readonly alternatives: readonly Match[];
  readonly priority: number;
  readonly value: T;
}

interface Hit<T> {
  readonly found: Found<T>;
  readonly match: Match;
  readonly rank: readonly (number | string)[];
}

/**
 * The router as its rules read: looks at every alternative of every route, ranks those that match, takes the best.
 * Patterns must be written in the spelling of `matchPath`.
 */
export class ModelRouter<T> {
  readonly #routes = new Map<string, ModelRoute<T>>();

  get size(): number {
    return this.#routes.size;
  }

  set(name: string, alternatives: readonly Match[], priority: number, value: T): void {
    this.#routes.set(name, { name, alternatives, priority, value });
  }

  delete(name: string): boolean {
    return this.#routes.delete(name);
  }

  find(request: ExchangeRequest, client: Client): Found<T> | undefined {
    const hits = this.#hits(request, client).filter(({ match }) => match.methods?.includes(request.method) ?? true);
    return hits[0]?.found;
  }

  allowedMethods(request: ExchangeRequest, client: Client): string[] {
    return [...new Set(this.#hits(request, client).flatMap(({ match }) => match.methods ?? []))].sort();
  }

  /** What matches in everything but the method, best first. */
  #hits(request: ExchangeRequest, client: Client): Hit<T>[] {
    const hits: Hit<T>[] = [];
    for (const route of this.#routes.values()) {
      for (const [alternative, match] of route.alternatives.entries()) {
        const path = readPath(match.path ?? "/*", request.matchPath);
        if (path === undefined || !holds(match, request, client)) continue;
        for (const host of match.hosts ?? [undefined]) {
          if (!takesHost(host, request.host)) continue;
          const rank = [
            ...rankHost(host),
            ...path.rank,
            ...rankRest(match),
            -route.priority,
            rankClients(match),
            route.name,
            alternative,
          ];
          const { params, prefixSegments } = path;
          const found = { name: route.name, value: route.value, match: { alternative, params, prefixSegments } };
          hits.push({ found, match, rank });
        }
      }
    }
    return hits.sort((a, b) => compareRanks(a.rank, b.rank));
  }
}

/** Ranks compare part by part; lower comes first. */
function compareRanks(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [index, part] of a.entries()) {
    const other = b[index];
    if (other === undefined || part === other) continue;
    return part < other ? -1 : 1;
  }
  return 0;
}

function takesHost(pattern: string | undefined, host: string): boolean {
  if (pattern === undefined || pattern === host) return true;
  if (!pattern.startsWith("*.")) return false;
  const labels = host.split(".");
  const wanted = pattern.slice(2).split(".");
  return (
    labels.length > wanted.length && labels[0] !== "" && labels.slice(-wanted.length).join(".") === wanted.join(".")
  );
}

function rankHost(pattern: string | undefined): number[] {
  if (pattern === undefined) return [2, 0];
  return pattern.startsWith("*.") ? [1, -pattern.length] : [0, 0];
}

function readPath(pattern: string, path: string) {
  const prefix = pattern.endsWith("/*");
  const wanted = (prefix ? pattern.slice(0, -2) : pattern).split("/").slice(1);
  const segments = path.split("/").slice(1);
  if (prefix ? segments.length < wanted.length : segments.length !== wanted.length) return undefined;
  const params: [string, string][] = [];
  for (const [index, segment] of wanted.entries()) {
    const actual = segments[index] ?? "";
    if (segment.startsWith(":") && actual !== "") params.push([segment.slice(1), decodeURIComponent(actual)]);
    else if (segment !== actual) return undefined;
  }
  const shape = wanted.map((segment) => (segment.startsWith(":") ? "1" : "0")).join("");
  const kind = prefix ? 2 : params.length > 0 ? 1 : 0;
  return {
    params: Object.fromEntries(params),
    prefixSegments: wanted.filter((segment) => segment !== "").length,
    rank: [kind, -wanted.length, params.length, shape],
  };
}

function holds(match: Match, request: ExchangeRequest, client: Client): boolean {
  const headers = Object.entries(match.headers ?? {}).every(([name, text]) => {
    const values = request.headers.getAll(name);
    return values.length === 0 ? accepts(text, undefined) : values.some((value) => accepts(text, value));
  });
  const query = new URLSearchParams(request.search);
  return (
    headers &&
    Object.entries(match.query ?? {}).every(([name, text]) => accepts(text, query.get(name) ?? undefined)) &&
    Object.entries(match.cookies ?? {}).every(([name, text]) => accepts(text, request.cookie(name))) &&
    (match.clients === undefined || match.clients.some((network) => inNetwork(network, client.ip)))
  );
}

function accepts(text: TextCondition, value: string | undefined): boolean {
  if ("exists" in text) return text.exists === (value !== undefined);
  if (value === undefined) return false;
  return "equals" in text ? text.equals === value : new RegExp(text.regex).test(value);
}

function inNetwork(network: string, ip: string): boolean {
  const [address = "", length] = network.split("/");
  const family = isIPv6(address) ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(address, Number(length ?? (family === "ipv6" ? 128 : 32)), family);
  return list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
}

function rankRest(match: Match): number[] {
  const texts = [match.headers, match.query, match.cookies].flatMap((conditions) => Object.keys(conditions ?? {}));
  return [match.methods === undefined ? 1 : 0, -texts.length];
}

function rankClients(match: Match): number {
  return match.clients === undefined ? 1 : 0;
}
