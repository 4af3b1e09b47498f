import type { Resources, RouteResource } from "@headgate/schema";
import { ExchangeRequest, type Client } from "../proxy/exchange.ts";
import { Fields } from "../proxy/http1/fields.ts";
import { LookedAt, type LookedAtNames } from "../proxy/looked-at.ts";
import { shapesOf, type RecentRequests, type RequestShape } from "../proxy/recent.ts";
import { normalizeTarget } from "../proxy/router/normalize.ts";
import type { Router } from "../proxy/router/router.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { Authentication, chainParts, chainPartsAfter, type FindAuthenticator } from "./authentication.ts";
import type { Routing } from "./routing.ts";

/** Lines of each list of a report; the requests of further ones are counted in `others`. */
const linesMax = 50;
const exampleCharsMax = 200;

/** What recent traffic would notice of a change: counts of requests, the most frequent first. */
export interface TrafficReport {
  /** How many requests were tried. */
  readonly requests: number;
  readonly moved: readonly {
    readonly from: string;
    readonly to: string;
    readonly count: number;
    readonly example: string;
  }[];
  /** A route takes them now and none would. */
  readonly notFound: readonly { readonly from: string; readonly count: number; readonly example: string }[];
  /** No route takes them now and one would. */
  readonly found: readonly { readonly to: string; readonly count: number; readonly example: string }[];
  /** By the route that would take them. */
  readonly authentication: {
    readonly lost: readonly AuthenticationLine[];
    readonly gained: readonly AuthenticationLine[];
  };
  /** Requests of lines that are left out; absent where none is. */
  readonly others?: Readonly<Partial<Record<"moved" | "notFound" | "found" | "lost" | "gained", number>>>;
  /**
   * What conditions of the change look at and was not remembered, because nothing that is live looks at it: requests
   * were tried as if they did not have it. `headers.x-team`, `cookies.session`, `clients`.
   */
  readonly unseen?: readonly string[];
}

interface AuthenticationLine {
  readonly route: string;
  readonly count: number;
  /** Method, host and path. */
  readonly example: string;
}

/** A remembered request, ready to be routed again. */
export interface ReplayedRequest {
  readonly request: ExchangeRequest;
  readonly client: Client;
}

/** What a configuration does with a request. */
export interface Verdict {
  /** Undefined: no route takes it. */
  readonly route: string | undefined;
  /** Whether it asks who sent it. */
  readonly authenticates: boolean;
}

/** A configuration's verdicts, one for each request in order. */
export type JudgeRequests = (requests: readonly ReplayedRequest[]) => readonly Verdict[];

/** What the requests that `recent` holds would notice of a change. `routing` must be ready. Synchronous; ~5 µs a request. */
export function trafficReport(
  recent: readonly RecentRequests[],
  change: Omit<SnapshotChange, "revision">,
  live: { readonly resources: Resources; readonly routing: Routing; readonly authenticator: FindAuthenticator },
): TrafficReport {
  const { resources, routing, authenticator } = live;
  const parts = chainParts(resources);
  const before = new Authentication(parts, authenticator);
  const after = new Authentication(chainPartsAfter(parts, change), authenticator);
  const report = replay(
    shapesOf(recent),
    (requests) => judge(requests, routing.router, before),
    (requests) => routing.whatIf(change, (router) => judge(requests, router, after)),
  );
  const unseen = report.requests === 0 ? [] : unseenBy(recent[0]?.lookedAt, change);
  return unseen.length === 0 ? report : { ...report, unseen };
}

/** Asks both configurations about every request and counts where they differ. Pure but for what it is given. */
export function replay(shapes: readonly RequestShape[], before: JudgeRequests, after: JudgeRequests): TrafficReport {
  const requests = shapes.map(requestOf).filter((request) => request !== undefined);
  const now = before(requests);
  const then = after(requests);
  const moved = new Tally();
  const notFound = new Tally();
  const found = new Tally();
  const lost = new Tally();
  const gained = new Tally();
  for (const [index, { request }] of requests.entries()) {
    const from = now[index];
    const to = then[index];
    if (from === undefined || to === undefined) continue;
    if (to.route === undefined) {
      if (from.route !== undefined) notFound.add(request, from.route);
      continue;
    }
    if (from.route === undefined) {
      found.add(request, to.route);
      continue;
    }
    if (from.route !== to.route) moved.add(request, from.route, to.route);
    if (from.authenticates !== to.authenticates) (from.authenticates ? lost : gained).add(request, to.route);
  }
  const counted = Object.entries({ moved, notFound, found, lost, gained }).filter(([, { others }]) => others > 0);
  return {
    requests: requests.length,
    moved: moved.lines.map(({ names: [from = "", to = ""], ...line }) => ({ from, to, ...line })),
    notFound: notFound.lines.map(({ names: [from = ""], ...line }) => ({ from, ...line })),
    found: found.lines.map(({ names: [to = ""], ...line }) => ({ to, ...line })),
    authentication: {
      lost: lost.lines.map(({ names: [route = ""], ...line }) => ({ route, ...line })),
      gained: gained.lines.map(({ names: [route = ""], ...line }) => ({ route, ...line })),
    },
    ...(counted.length === 0
      ? {}
      : { others: Object.fromEntries(counted.map(([list, { others }]) => [list, others])) }),
  };
}

interface Line {
  readonly names: readonly string[];
  count: number;
  readonly example: string;
}

/** Counts requests by one or two names of routes. */
class Tally {
  readonly #lines = new Map<string, Line>();

  add(request: ExchangeRequest, ...names: string[]): void {
    const key = names.join("\n");
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, { names, count: 1, example: exampleOf(request) });
    else line.count++;
  }

  get lines(): readonly Line[] {
    return this.#sorted().slice(0, linesMax);
  }

  get others(): number {
    return this.#sorted()
      .slice(linesMax)
      .reduce((sum, { count }) => sum + count, 0);
  }

  #sorted(): Line[] {
    // Equal counts stay in the order in which they came up.
    return [...this.#lines.values()].sort((a, b) => b.count - a.count);
  }
}

/** Without the query: what is in it may be nobody's business. */
function exampleOf({ method, host, target }: ExchangeRequest): string {
  const path = target.replace(/\?.*$/s, "");
  const text = `${method} ${host}${path}`;
  return text.length <= exampleCharsMax ? text : `${text.slice(0, exampleCharsMax)}…`;
}

/** Verdicts of the routes of a router, with their chains. */
function judge(
  requests: readonly ReplayedRequest[],
  router: Router<RouteResource>,
  authentication: Authentication,
): Verdict[] {
  return requests.map(({ request, client }) => {
    const found = router.find(request, client);
    if (found === undefined) return { route: undefined, authenticates: false };
    return { route: found.name, authenticates: authentication.of(found.value, request, client) };
  });
}

/** Undefined where the target was cut so that it is none any more. */
function requestOf({ method, target, host, scheme, client: ip, fields }: RequestShape): ReplayedRequest | undefined {
  const normalized = normalizeTarget(target);
  if (normalized === undefined) return undefined;
  const headers = new Fields();
  for (let i = 0; i < fields.length; i += 2) headers.append(fields[i] ?? "", fields[i + 1] ?? "");
  const request = new ExchangeRequest({
    method,
    target,
    host,
    headers,
    ...normalized,
    framing: "none",
    contentLength: -1,
  });
  return { request, client: { ip, port: 0, peer: ip, scheme, localPort: 0 } };
}

function unseenBy(remembered: LookedAtNames | undefined, change: Omit<SnapshotChange, "revision">): string[] {
  const looks = new LookedAt();
  for (const route of Object.values(change.routes?.set ?? {})) looks.replace(undefined, route);
  for (const service of Object.values(change.services?.set ?? {})) looks.replace(undefined, service);
  for (const { entry } of Object.values(change.middlewares?.set ?? {})) looks.replace(undefined, { use: [entry] });
  looks.replace(undefined, { use: change.global ?? [] });
  const seen = new Set(remembered === undefined ? [] : namesOf(remembered));
  return namesOf(looks).filter((name) => !seen.has(name));
}

function namesOf({ headers, cookies, clients }: LookedAtNames): string[] {
  return [
    ...headers.map((name) => `headers.${name}`),
    ...cookies.map((name) => `cookies.${name}`),
    ...(clients ? ["clients"] : []),
  ];
}
