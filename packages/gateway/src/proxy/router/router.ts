import type { Match } from "@headgate/schema";
import type { Client, ExchangeRequest, RouteMatch } from "../exchange.ts";
import { requestConditions, type Condition } from "./conditions.ts";
import { HostIndex } from "./host-index.ts";
import type { IndexSize, Leaf, PathIndex } from "./path-index.ts";
import { parsePattern, readParameters, type PathPattern } from "./pattern.ts";

/** The route that takes a request. */
export interface Found<T> {
  readonly name: string;
  readonly value: T;
  readonly match: RouteMatch;
}

/** One alternative of a route whose host and path take a request. */
export interface Candidate {
  readonly name: string;
  readonly alternative: number;
  /** The host pattern that took it; undefined where the alternative names none. */
  readonly host: string | undefined;
}

/** A route ready to be put into a router: everything that can fail has been done. */
export interface CompiledRoute<T> {
  readonly name: string;
  readonly value: T;
  readonly alternatives: readonly Alternative<T>[];
}

interface Alternative<T> {
  // First what every request reads: with ten thousand routes each further object is a miss of the processor's cache.
  /** Neither a method nor another condition: whoever reaches it is taken. */
  readonly unconditional: boolean;
  /** The path has no parameters: one `found` serves every request. */
  readonly fixed: boolean;
  readonly name: string;
  readonly index: number;
  readonly value: T;
  readonly priority: number;
  readonly hosts: readonly (string | undefined)[];
  readonly pattern: PathPattern;
  readonly methods: readonly string[] | undefined;
  readonly conditions: readonly Condition[];
  /** Header, query and cookie conditions. */
  readonly textConditions: number;
  readonly byClient: boolean;
  /**
   * Made once, by the first request, where the path has no parameters: then finding allocates nothing. Most of 100,000
   * routes wait long for theirs.
   */
  found: Found<T> | undefined;
}

/**
 * Compiles the alternatives of a route. Throws a SyntaxError for a regular expression, a TypeError for a network that
 * does not parse.
 */
export function compileRoute<T>(
  name: string,
  alternatives: readonly Match[],
  priority: number,
  value: T,
): CompiledRoute<T> {
  return {
    name,
    value,
    alternatives: alternatives.map((match, index) => {
      const pattern = parsePattern(match.path);
      const conditions = requestConditions(match);
      const byClient = match.clients !== undefined;
      return {
        unconditional: match.methods === undefined && conditions.length === 0,
        fixed: pattern.parameters.length === 0,
        name,
        index,
        value,
        priority,
        hosts: hostsOf(match),
        pattern,
        methods: match.methods,
        conditions,
        textConditions: conditions.length - (byClient ? 1 : 0),
        byClient,
        found: undefined,
      };
    }),
  };
}

const anyHost = [undefined];
const noParams: RouteMatch["params"] = Object.freeze({});

function hostsOf(match: Match): readonly (string | undefined)[] {
  if (match.hosts === undefined) return anyHost;
  const hosts = match.hosts.map((host) => (host === "*" ? undefined : host.toLowerCase()));
  return hosts.length === 1 ? hosts : [...new Set(hosts)];
}

/**
 * Finds the route of a request. Which one wins, in order: exact host, longest wildcard host, no host; exact path, path
 * with parameters, longest prefix; a method condition; more header, query and cookie conditions; higher
 * priority; a client condition; lower name (by code units); lower alternative. Only what matches in full competes.
 *
 * Finding costs the labels of the host and the segments of the path, not the number of routes; routes that share host
 * and path pattern are tried one after another. Adding or removing a route touches its own nodes only.
 */
export class Router<T> {
  readonly #routes = new Map<string, CompiledRoute<T>>();
  readonly #hosts = new HostIndex<Alternative<T>>(compareAlternatives);
  // Scratch lists: finding is synchronous, and a list per request would be its only garbage.
  readonly #paths: PathIndex<Alternative<T>>[] = [];
  readonly #leaves: Leaf<Alternative<T>>[] = [];

  /** Number of routes. */
  get size(): number {
    return this.#routes.size;
  }

  /** Adds a route or replaces the one of that name. Throws as `compileRoute` does, and then nothing has changed. */
  set(name: string, alternatives: readonly Match[], priority: number, value: T): void {
    this.put(compileRoute(name, alternatives, priority, value));
  }

  /** As `set`, for a route compiled before; never throws. */
  put(route: CompiledRoute<T>): void {
    this.delete(route.name);
    this.#routes.set(route.name, route);
    for (const alternative of route.alternatives) {
      for (const host of alternative.hosts) this.#hosts.open(host).add(alternative.pattern, alternative);
    }
  }

  /** Removes a route; false where there is none of that name. */
  delete(name: string): boolean {
    const route = this.#routes.get(name);
    if (route === undefined) return false;
    this.#routes.delete(name);
    for (const alternative of route.alternatives) {
      for (const host of alternative.hosts) {
        this.#hosts.open(host).remove(alternative.pattern, alternative);
        this.#hosts.prune(host);
      }
    }
    return true;
  }

  /** Every route, as it was put. */
  all(): Iterable<CompiledRoute<T>> {
    return this.#routes.values();
  }

  /** The route of that name, as it was put. */
  get(name: string): CompiledRoute<T> | undefined {
    return this.#routes.get(name);
  }

  /** Adds the names of the routes that have the host and path pattern of an alternative in common with a route. */
  collectSharing({ alternatives }: CompiledRoute<T>, into: Set<string>): void {
    for (const { hosts, pattern } of alternatives) {
      for (const host of hosts) {
        for (const { name } of this.#hosts.open(host).at(pattern)) into.add(name);
        this.#hosts.prune(host);
      }
    }
  }

  /** The route that takes the request, or undefined (HG_ROUTE_NOT_FOUND, or HG_METHOD_NOT_ALLOWED). Runs once per exchange. */
  find(request: ExchangeRequest, client: Client): Found<T> | undefined {
    const paths = this.#paths;
    const leaves = this.#leaves;
    const path = request.matchPath;
    empty(paths);
    this.#hosts.collect(request.host, paths);
    for (const index of paths) {
      const exact = index.exact(path);
      let winner = exact === undefined ? undefined : firstTaking(exact.entries, request, client);
      if (winner === undefined) {
        empty(leaves);
        index.collect(path, leaves);
        for (const leaf of leaves) {
          winner = firstTaking(leaf.entries, request, client);
          if (winner !== undefined) break;
        }
      }
      if (winner !== undefined) return foundOf(winner, path);
    }
    return undefined;
  }

  /**
   * After a miss: the methods with which some route would have taken the request, sorted. Empty: no route would,
   * whatever the method.
   */
  allowedMethods(request: ExchangeRequest, client: Client): string[] {
    const methods = new Set<string>();
    for (const { alternative } of this.#matching(request)) {
      if (alternative.methods === undefined || !conditionsHold(alternative, request, client)) continue;
      for (const method of alternative.methods) methods.add(method);
    }
    return [...methods].sort();
  }

  /** Every alternative whose host and path take the request, in order of precedence; for `explain`. */
  candidates(request: ExchangeRequest): Candidate[] {
    return this.#matching(request).map(({ host, alternative }) => ({
      name: alternative.name,
      alternative: alternative.index,
      host,
    }));
  }

  /** Counts what the structure holds; 0 in every field when no route is left. */
  measure(): IndexSize & { hosts: number } {
    const size = { hosts: 0, nodes: this.#hosts.labels, leaves: 0, entries: 0 };
    for (const index of this.#hosts.all()) {
      size.hosts++;
      index.measure(size);
    }
    return size;
  }

  #matching(request: ExchangeRequest): { host: string | undefined; alternative: Alternative<T> }[] {
    const paths: PathIndex<Alternative<T>>[] = [];
    this.#hosts.collect(request.host, paths);
    return paths.flatMap((index) => {
      const exact = index.exact(request.matchPath);
      const leaves = exact === undefined ? [] : [exact];
      index.collect(request.matchPath, leaves);
      return leaves.flatMap(({ entries }) => entries.map((alternative) => ({ host: index.host, alternative })));
    });
  }
}

/** Setting `length` leaves optimised code (measured: 0.2 µs a request); taking out the one or two entries does not. */
function empty(list: unknown[]): void {
  while (list.length > 0) list.pop();
}

function firstTaking<T>(
  entries: readonly Alternative<T>[],
  request: ExchangeRequest,
  client: Client,
): Alternative<T> | undefined {
  for (const entry of entries) {
    if (entry.unconditional) return entry;
    if (entry.methods !== undefined && !entry.methods.includes(request.method)) continue;
    if (entry.conditions.length === 0 || conditionsHold(entry, request, client)) return entry;
  }
  return undefined;
}

function conditionsHold<T>(entry: Alternative<T>, request: ExchangeRequest, client: Client): boolean {
  for (const condition of entry.conditions) {
    if (!condition.test(request, client)) return false;
  }
  return true;
}

function foundOf<T>(winner: Alternative<T>, path: string): Found<T> {
  if (winner.fixed) return (winner.found ??= foundWith(winner, noParams));
  return foundWith(winner, readParameters(winner.pattern, path));
}

function foundWith<T>({ name, index, value, pattern }: Alternative<T>, params: RouteMatch["params"]): Found<T> {
  return { name, value, match: { alternative: index, params, prefixSegments: pattern.taken } };
}

/** Precedence among alternatives of the same host and path pattern. */
function compareAlternatives<T>(a: Alternative<T>, b: Alternative<T>): number {
  const byMethod = Number(b.methods !== undefined) - Number(a.methods !== undefined);
  if (byMethod !== 0) return byMethod;
  if (a.textConditions !== b.textConditions) return b.textConditions - a.textConditions;
  if (a.priority !== b.priority) return b.priority - a.priority;
  const byClient = Number(b.byClient) - Number(a.byClient);
  if (byClient !== 0) return byClient;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.index - b.index;
}
