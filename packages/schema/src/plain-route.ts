import { hostProblem, methodProblem, nameProblem, pathProblem } from "./leaves.ts";
import type { ChainEntry, Destination, Match, RouteResource } from "./resources.ts";
import { parseDuration, timeoutMsMax } from "./units.ts";

type MapOf = Readonly<Record<string, unknown>>;

/** As in the schema, see document.ts. */
const weightMax = 1_000_000;
const priorityMax = 1_000_000;

// Most routes have none of their own, or one destination: with 100,000 of them the shared list is memory.
const noSteps: readonly ChainEntry[] = [];

/**
 * The resource of a route that is written the way nearly all are: `match` by hosts, path and methods, `use` of steps
 * without conditions, `to`, `timeout`, `priority`. Undefined for everything else, what is wrong included: that is the
 * schema's to judge and to word. What is answered is what the schema would make of it, at a fifth of the time, which
 * decides how long a gateway with 100,000 routes takes to start.
 */
export function plainRoute(written: unknown): RouteResource | undefined {
  if (!isMap(written)) return undefined;
  let match: readonly Match[] | undefined = anything;
  let use: readonly ChainEntry[] | undefined = noSteps;
  let to: readonly Destination[] | undefined;
  let timeoutMs: number | undefined;
  let priority = 0;
  for (const key of Object.keys(written)) {
    const value = written[key];
    switch (key) {
      case "match":
        match = matchesOf(value);
        break;
      case "use":
        use = stepsOf(value);
        break;
      case "to":
        to = destinationsOf(value);
        break;
      case "timeout":
        timeoutMs = typeof value === "string" ? parseDuration(value) : undefined;
        if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > timeoutMsMax) return undefined;
        break;
      case "priority":
        if (!isWhole(value, -priorityMax, priorityMax)) return undefined;
        priority = value;
        break;
      default:
        return undefined;
    }
  }
  if (match === undefined || use === undefined || to === undefined) return undefined;
  return timeoutMs === undefined ? { match, use, to, priority } : { match, use, to, timeoutMs, priority };
}

const anything: readonly Match[] = [{}];

function matchesOf(value: unknown): Match[] | undefined {
  if (!Array.isArray(value)) {
    const match = matchOf(value);
    return match === undefined ? undefined : [match];
  }
  const matches: Match[] = [];
  for (const one of value) {
    const match = matchOf(one);
    if (match === undefined) return undefined;
    matches.push(match);
  }
  return matches.length === 0 ? undefined : matches;
}

function matchOf(value: unknown): Match | undefined {
  if (!isMap(value)) return undefined;
  let hosts: string[] | undefined;
  let path: string | undefined;
  let methods: string[] | undefined;
  for (const key of Object.keys(value)) {
    const part = value[key];
    if (key === "path") {
      if (typeof part !== "string" || pathProblem(part) !== undefined) return undefined;
      path = part;
    } else if (key === "hosts") {
      hosts = textsOf(part, hostProblem);
      if (hosts === undefined) return undefined;
      hosts = [...new Set(hosts.map((host) => host.toLowerCase()))];
    } else if (key === "methods") {
      methods = textsOf(part, methodProblem);
      if (methods === undefined) return undefined;
      methods = [...new Set(methods)];
    } else return undefined;
  }
  if (path !== undefined && hosts === undefined && methods === undefined) return { path };
  return {
    ...(hosts === undefined ? {} : { hosts }),
    ...(path === undefined ? {} : { path }),
    ...(methods === undefined ? {} : { methods }),
  };
}

/** A list of one text or more, each without a problem. */
function textsOf(value: unknown, problemOf: (text: string) => string | undefined): string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const texts: string[] = [];
  for (const text of value as unknown[]) {
    if (typeof text !== "string" || problemOf(text) !== undefined) return undefined;
    texts.push(text);
  }
  return texts;
}

function stepsOf(value: unknown): readonly ChainEntry[] | undefined {
  if (!Array.isArray(value)) return undefined;
  if (value.length === 0) return noSteps;
  const steps: ChainEntry[] = [];
  for (const entry of value as unknown[]) {
    const step = stepOf(entry);
    if (step === undefined) return undefined;
    steps.push(step);
  }
  return steps;
}

function stepOf(entry: unknown): ChainEntry | undefined {
  if (typeof entry === "string") return nameProblem(entry) === undefined ? { name: entry } : undefined;
  if (!isMap(entry)) return undefined;
  const [name, other] = Object.keys(entry);
  if (name === undefined || other !== undefined || name === "when" || nameProblem(name) !== undefined) return undefined;
  const settings = entry[name];
  return settings === undefined || settings === null ? { name } : { name, settings };
}

function destinationsOf(value: unknown): Destination[] | undefined {
  if (typeof value === "string") {
    return nameProblem(value) === undefined ? [{ service: value, weight: 1 }] : undefined;
  }
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const destinations: Destination[] = [];
  let total = 0;
  for (const one of value as unknown[]) {
    const destination = destinationOf(one);
    if (destination === undefined) return undefined;
    total += destination.weight;
    destinations.push(destination);
  }
  return total > 0 ? destinations : undefined;
}

function destinationOf(value: unknown): Destination | undefined {
  if (!isMap(value)) return undefined;
  let service: string | undefined;
  let weight = 1;
  for (const key of Object.keys(value)) {
    const part = value[key];
    if (key === "service" && typeof part === "string" && nameProblem(part) === undefined) service = part;
    else if (key === "weight" && isWhole(part, 0, weightMax)) weight = part;
    else return undefined;
  }
  return service === undefined ? undefined : { service, weight };
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max; // an integer is a number
}

function isMap(value: unknown): value is MapOf {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
