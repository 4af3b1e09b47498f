import type { Match, TextCondition } from "@headgate/schema";
import { compileNetworks } from "../../core/networks.ts";
import type { Client, ExchangeRequest } from "../exchange.ts";
import { parsePattern, patternTakes } from "./pattern.ts";

/** One predicate of a `match` or `when`, compiled: the router, `when` and `explain` all ask the same function. */
export interface Condition {
  /** What is looked at, in the document's words: `host`, `path`, `method`, `headers.x-team`, `clients`. */
  readonly predicate: string;
  /** What it must be, as text for people. */
  readonly expected: string;
  test(request: ExchangeRequest, client: Client): boolean;
  /** What the request has, as text for people; `(absent)` where it has nothing. */
  actual(request: ExchangeRequest, client: Client): string;
}

/** Outcome of one predicate for one request. */
export interface PredicateResult {
  readonly predicate: string;
  readonly expected: string;
  readonly actual: string;
  readonly pass: boolean;
}

const absent = "(absent)";
const none: readonly Condition[] = [];

/**
 * Compiles a middleware's `when`. Every predicate that is given must hold. Throws a SyntaxError for a regular
 * expression, a TypeError for a network that does not parse.
 */
export function compileMatch(match: Match): (request: ExchangeRequest, client: Client) => boolean {
  const conditions = everyCondition(match);
  return (request, client) => conditions.every((condition) => condition.test(request, client));
}

/** Every predicate of a match with what the request has for it; passes as a whole when all of them do. */
export function explainMatch(match: Match, request: ExchangeRequest, client: Client): PredicateResult[] {
  return everyCondition(match).map((condition) => ({
    predicate: condition.predicate,
    expected: condition.expected,
    actual: condition.actual(request, client),
    pass: condition.test(request, client),
  }));
}

function everyCondition(match: Match): Condition[] {
  const conditions = [];
  if (match.hosts !== undefined) conditions.push(hostCondition(match.hosts));
  if (match.path !== undefined) conditions.push(pathCondition(match.path));
  if (match.methods !== undefined) conditions.push(methodCondition(match.methods));
  return [...conditions, ...requestConditions(match)];
}

/** What a match asks beyond host, path and method, in the order that costs least: addresses last, texts first. */
export function requestConditions(match: Match): readonly Condition[] {
  const { headers, query, cookies, clients } = match;
  // Most routes ask for nothing here; with 100,000 of them the shared list is memory and time.
  if (headers === undefined && query === undefined && cookies === undefined && clients === undefined) return none;
  return [
    ...textConditions("headers", headers, headerCondition),
    ...textConditions("query", query, (name, text) =>
      singleValue(`query.${name}`, text, (request) => request.queryParam(name)),
    ),
    ...textConditions("cookies", cookies, (name, text) =>
      singleValue(`cookies.${name}`, text, (request) => request.cookie(name)),
    ),
    ...(clients === undefined ? [] : [clientCondition(clients)]),
  ];
}

function textConditions(
  kind: string,
  conditions: Readonly<Record<string, TextCondition>> | undefined,
  make: (name: string, condition: TextCondition) => Condition,
): Condition[] {
  return Object.entries(conditions ?? {}).map(([name, condition]) =>
    make(kind === "headers" ? name.toLowerCase() : name, condition),
  );
}

/** Whether `host` is `pattern`, or one or more labels in front of what follows its `*.`. */
export function hostTakes(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === "*" || pattern.toLowerCase() === host;
  const suffix = pattern.slice(1).toLowerCase();
  const front = host.length - suffix.length;
  return front > 0 && host.endsWith(suffix);
}

function hostCondition(hosts: readonly string[]): Condition {
  return {
    predicate: "host",
    expected: oneOf(hosts),
    test: (request) => hosts.some((host) => hostTakes(host, request.host)),
    actual: (request) => request.host || absent,
  };
}

function pathCondition(path: string): Condition {
  const pattern = parsePattern(path);
  return {
    predicate: "path",
    expected: path,
    test: (request) => patternTakes(pattern, request.matchPath),
    actual: (request) => request.matchPath,
  };
}

function methodCondition(methods: readonly string[]): Condition {
  return {
    predicate: "method",
    expected: oneOf(methods),
    test: (request) => methods.includes(request.method),
    actual: (request) => request.method,
  };
}

/**
 * Of several fields with the name any may match; a list in one field is one value ("whole value"): `a, b` is not `a`.
 */
function headerCondition(name: string, text: TextCondition): Condition {
  const predicate = `headers.${name}`;
  const actual = (request: ExchangeRequest): string => {
    const values = request.headers.getAll(name);
    return values.length === 0 ? absent : values.map((value) => JSON.stringify(value)).join(" and ");
  };
  const expected = describe(text);
  if ("exists" in text) {
    return { predicate, expected, actual, test: (request) => request.headers.has(name) === text.exists };
  }
  const accepts = textTest(text);
  return { predicate, expected, actual, test: (request) => request.headers.getAll(name).some(accepts) };
}

function singleValue(
  predicate: string,
  text: TextCondition,
  read: (request: ExchangeRequest) => string | undefined,
): Condition {
  const actual = (request: ExchangeRequest): string => {
    const value = read(request);
    return value === undefined ? absent : JSON.stringify(value);
  };
  const expected = describe(text);
  if ("exists" in text) {
    return { predicate, expected, actual, test: (request) => (read(request) !== undefined) === text.exists };
  }
  const accepts = textTest(text);
  const test = (request: ExchangeRequest): boolean => {
    const value = read(request);
    return value !== undefined && accepts(value);
  };
  return { predicate, expected, actual, test };
}

function textTest(text: Exclude<TextCondition, { exists: boolean }>): (value: string) => boolean {
  if ("equals" in text) return (value) => value === text.equals;
  const expression = new RegExp(text.regex);
  return (value) => expression.test(value);
}

function clientCondition(networks: readonly string[]): Condition {
  const takes = compileNetworks(networks);
  return {
    predicate: "clients",
    expected: oneOf(networks),
    test: (_, client) => takes(client.ip),
    actual: (_, client) => client.ip,
  };
}

function describe(text: TextCondition): string {
  if ("exists" in text) return text.exists ? "present" : "absent";
  return "equals" in text ? JSON.stringify(text.equals) : `matches /${text.regex}/`;
}

function oneOf(values: readonly string[]): string {
  if (values.length === 0) return "nothing";
  return values.length === 1 ? (values[0] ?? "") : `one of ${values.join(", ")}`;
}
