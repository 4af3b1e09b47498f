import type { ChainEntry, Match, Resources, RouteResource } from "@headgate/schema";
import { z } from "zod";
import { ExchangeRequest, type Client } from "../proxy/exchange.ts";
import { Fields } from "../proxy/http1/fields.ts";
import { explainMatch, hostTakes, type PredicateResult } from "../proxy/router/conditions.ts";
import { normalizeTarget } from "../proxy/router/normalize.ts";
import { parsePattern, patternTakes } from "../proxy/router/pattern.ts";
import type { Candidate, Found, Router } from "../proxy/router/router.ts";
import type { Destination, ExplainedCandidate, ExplainedService, ExplainedStep, Explanation } from "./explanation.ts";
import type { Monitor } from "./health/monitor.ts";
import { redactPredicate, redactSettings } from "./redact.ts";
import { routerOf } from "./routing.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const headerText = z
  .string()
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, { error: "holds characters that HTTP does not allow" });

/** The body of `POST /v1/explain`, and what the command line makes of its arguments. */
export const explainInput = z.strictObject({
  method: z.string().regex(token, { error: "expected an HTTP method" }),
  /** `http://host/path?query`, or a path; then the host is that of the `host` header. */
  url: z.string().min(1),
  headers: z
    .record(z.string().regex(token, { error: "not a valid header name" }), z.union([headerText, z.array(headerText)]))
    .default({}),
  /** The client's address. */
  client: z.union([z.ipv4(), z.ipv6()]).default("127.0.0.1"),
});

export type ExplainInput = z.input<typeof explainInput>;

/** Reads what somebody sent as an ExplainInput. Throws a TypeError with one sentence for people. */
export function parseExplainInput(value: unknown): ExplainInput {
  const parsed = explainInput.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new TypeError(`${issue?.path.join(".") || "the request"}: ${issue?.message ?? "is not valid"}`);
}

/** Where a document's path (`["routes", "users", "match"]`) was written, as `file:line`; undefined where it is unknown. */
export type Origins = (path: readonly (string | number)[]) => string | undefined;

/** How services and instances are. */
export type Health = Pick<Monitor, "state" | "service">;

const unknownHealth: Health = { state: () => undefined, service: () => ({}) };

/** Candidates whose host and path match, at most; the rest is counted. */
const candidatesMax = 50;
/** Routes of another host or path that come closest. */
const nearestMax = 5;
/** Routes looked at for the closest ones: with more the answer would hold up the control thread. */
const nearestSearchMax = 10_000;

/**
 * Says what would become of a request: the route that takes it and why, or why none does; the chain, the services and
 * where each of them was written. Changes nothing and sends nothing. Asks the router that workers use, so that it
 * cannot disagree with them. Throws a ZodError for input that is no request.
 *
 * @param router the routes of `resources`; without it one is built, which is for whoever asks once
 * @param health how services and instances are; without it nothing is said of that
 */
export function explain(
  input: ExplainInput,
  resources: Resources,
  origins: Origins = () => undefined,
  router: Router<RouteResource> = routerOf(resources),
  health: Health = unknownHealth,
): Explanation {
  const parsed = explainInput.parse(input);
  const client = readClient(parsed.client, parsed.url);
  const request = readRequest(parsed);
  if (request === undefined) {
    return {
      request: { method: parsed.method, target: parsed.url, client: client.ip },
      outcome: "bad-request",
      status: 400,
      reason: "The path is refused: servers could read it in different ways, or it is not valid in HTTP.",
      candidates: [],
      leftOut: 0,
      chain: [],
      destinations: [],
    };
  }
  const found = router.find(request, client);
  const at = originFinder(origins);
  return {
    request: {
      method: request.method,
      target: request.target,
      host: request.host,
      path: request.path,
      search: request.search,
      matchPath: request.matchPath,
      client: client.ip,
    },
    ...outcomeOf(found, router, request, client, at),
    ...candidatesOf(found, router, request, client, resources, at),
    chain: found === undefined ? [] : chainOf(found, resources, request, client, at),
    ...destinationsOf(found, (service) => serviceOf(service, resources, at, health)),
  };
}

function readClient(ip: string, url: string): Client {
  const scheme = /^https:/i.test(url) ? "https" : "http";
  return { ip, port: 0, peer: ip, scheme, localPort: scheme === "https" ? 443 : 80 };
}

/** Not `new URL`: it would resolve the dot segments that are to be explained. */
function readRequest(input: z.output<typeof explainInput>): ExchangeRequest | undefined {
  const absolute = /^https?:\/\/([^/?#]*)([^#]*)/i.exec(input.url);
  const rest = absolute?.[2] ?? input.url.replace(/#.*$/s, "");
  const target = rest === "" || rest.startsWith("?") ? `/${rest}` : rest;
  const normalized = normalizeTarget(target);
  if (normalized === undefined) return undefined;
  const headers = new Fields();
  for (const [name, values] of Object.entries(input.headers)) {
    for (const value of typeof values === "string" ? [values] : values) headers.append(name, value);
  }
  const authority = absolute?.[1]?.replace(/^.*@/, "") ?? "";
  if (!headers.has("host") && authority !== "") headers.append("host", authority);
  const host = (headers.get("host") ?? "").replace(/:\d*$/, "").toLowerCase();
  return new ExchangeRequest({
    method: input.method,
    target,
    host,
    headers,
    ...normalized,
    framing: "none",
    contentLength: -1,
  });
}

type OriginFinder = (...path: (string | number)[]) => { origin?: string };

/** What the document wrote in short (`match` as one object, `use` as text) is found at the nearest written ancestor. */
function originFinder(origins: Origins): OriginFinder {
  return (...path) => {
    for (let length = path.length; length > 0; length--) {
      const origin = origins(path.slice(0, length));
      if (origin !== undefined) return { origin };
    }
    return {};
  };
}

function outcomeOf(
  found: Found<RouteResource> | undefined,
  router: Router<RouteResource>,
  request: ExchangeRequest,
  client: Client,
  at: OriginFinder,
): Pick<Explanation, "outcome" | "status" | "reason" | "allow" | "route"> {
  if (found === undefined) {
    const allow = router.allowedMethods(request, client);
    if (allow.length === 0) {
      return { outcome: "not-found", status: 404, reason: "No route takes this request: HG_ROUTE_NOT_FOUND." };
    }
    const reason = `A route would take it with ${allow.join(" or ")}: HG_METHOD_NOT_ALLOWED.`;
    return { outcome: "method-not-allowed", status: 405, reason, allow };
  }
  const { name, match, value } = found;
  const { priority, timeoutMs, respond, delivery } = value;
  return {
    outcome: "route",
    reason: `Route ${name} takes it.`,
    route: {
      name,
      alternative: match.alternative,
      path: value.match[match.alternative]?.path ?? "/*",
      params: match.params,
      priority,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(delivery === undefined ? {} : { delivery: { deadlineMs: delivery.deadlineMs } }),
      ...(respond === undefined ? {} : { respond: { status: respond.status } }),
      ...at("routes", name),
    },
  };
}

function candidatesOf(
  found: Found<RouteResource> | undefined,
  router: Router<RouteResource>,
  request: ExchangeRequest,
  client: Client,
  resources: Resources,
  at: OriginFinder,
): Pick<Explanation, "candidates" | "leftOut"> {
  const matching = uniqueAlternatives(router.candidates(request));
  const nearest = nearestMisses(matching, resources, request);
  const shown = [...matching.slice(0, candidatesMax), ...nearest];
  let total = 0;
  for (const route of Object.values(resources.routes)) total += route.match.length;
  const candidates = shown.map(({ name, alternative }): ExplainedCandidate => {
    const route = resources.routes[name];
    const match = route?.match[alternative] ?? {};
    const predicates = explainMatch(match, request, client);
    const wins = found !== undefined && found.name === name && found.match.alternative === alternative;
    const passes = predicates.every(({ pass }) => pass);
    return {
      route: name,
      alternative,
      verdict: wins ? "takes" : passes ? "behind" : "fails",
      priority: route?.priority ?? 0,
      predicates: predicates.map(redactPredicate),
      ...at("routes", name, "match", alternative),
    };
  });
  return { candidates, leftOut: total - shown.length };
}

/** An alternative with an exact and a wildcard host that both take the request is one candidate, at its best place. */
function uniqueAlternatives(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Set<string>();
  return candidates.filter(({ name, alternative }) => {
    const key = `${alternative} ${name}`;
    return seen.has(key) ? false : seen.add(key);
  });
}

function nearestMisses(matching: readonly Candidate[], resources: Resources, request: ExchangeRequest): Candidate[] {
  const known = new Set(matching.map(({ name, alternative }) => `${alternative} ${name}`));
  const near: { candidate: Candidate; score: number }[] = [];
  let looked = 0;
  for (const [name, route] of Object.entries(resources.routes)) {
    if (++looked > nearestSearchMax) break;
    for (const [alternative, match] of route.match.entries()) {
      const score = known.has(`${alternative} ${name}`) ? 0 : nearness(match, request);
      if (score > 0) near.push({ candidate: { name, alternative, host: undefined }, score });
    }
  }
  near.sort((a, b) => b.score - a.score || (a.candidate.name < b.candidate.name ? -1 : 1));
  return near.slice(0, nearestMax).map(({ candidate }) => candidate);
}

/** 0: nothing in common. A path that matches weighs most, then the leading segments in common on a host that matches. */
function nearness(match: Match, request: ExchangeRequest): number {
  const pattern = parsePattern(match.path);
  if (match.path !== undefined && patternTakes(pattern, request.matchPath)) return 1000;
  if (match.hosts !== undefined && !match.hosts.some((host) => hostTakes(host, request.host))) return 0;
  const segments = request.matchPath.split("/").slice(1);
  let common = 0;
  for (const [index, segment] of pattern.segments.entries()) {
    const actual = segments[index];
    if (actual === undefined || actual === "" || (segment !== undefined && segment !== actual)) break;
    common++;
  }
  return common;
}

function chainOf(
  found: Found<RouteResource>,
  resources: Resources,
  request: ExchangeRequest,
  client: Client,
  at: OriginFinder,
): ExplainedStep[] {
  const steps = (
    scope: ExplainedStep["scope"],
    entries: readonly ChainEntry[],
    path: readonly (string | number)[],
    service?: string,
  ): ExplainedStep[] =>
    entries.map((entry, index) => {
      const named = resources.middlewares[entry.name]?.entry;
      const conditions: PredicateResult[] = [entry.when, named?.when].flatMap((when) =>
        when === undefined ? [] : explainMatch(when, request, client),
      );
      const defined = named === undefined ? undefined : at("middlewares", entry.name).origin;
      return {
        scope,
        ...(service === undefined ? {} : { service }),
        name: entry.name,
        middleware: named?.name ?? entry.name,
        settings: redactSettings(named === undefined ? entry.settings : named.settings),
        when: conditions.map(redactPredicate),
        runs: conditions.every(({ pass }) => pass),
        ...at(...path, index),
        ...(defined === undefined ? {} : { defined }),
      };
    });
  const { name, value } = found;
  return [
    ...steps("global", resources.global, ["global"]),
    ...steps("route", value.use, ["routes", name, "use"]),
    ...(value.to ?? []).flatMap(({ service }) =>
      steps("service", resources.services[service]?.use ?? [], ["services", service, "use"], service),
    ),
  ];
}

function destinationsOf(
  found: Found<RouteResource> | undefined,
  explained: (service: string) => ExplainedService,
): Pick<Explanation, "destinations" | "fallback"> {
  const to = found?.value.to ?? [];
  const fallback = found?.value.fallback;
  const total = to.reduce((sum, { weight }) => sum + weight, 0);
  const destinations = to.map(({ service, weight }): Destination => ({
    ...explained(service),
    weight,
    share: total === 0 ? 0 : weight / total,
  }));
  if (fallback === undefined) return { destinations };
  if ("service" in fallback) return { destinations, fallback: explained(fallback.service) };
  return { destinations, fallback: { respond: { status: fallback.respond.status } } };
}

function serviceOf(name: string, resources: Resources, at: OriginFinder, health: Health): ExplainedService {
  const service = resources.services[name];
  if (service === undefined) return { service: name, exists: false, instances: [] };
  const { protocol, balance, timeouts, retry, pool } = service;
  const instances = service.instances.map((instance, index) => ({
    ...instance,
    ...at("services", name, "instances", index),
    ...health.state(name, instance.address),
  }));
  const facts = { protocol, balance, timeouts, retry, pool, instances };
  return { service: name, exists: true, ...facts, ...health.service(name), ...at("services", name) };
}
