import type { Path, Problem } from "./problems.ts";

/** A part of the document that is planned, written down so that it is refused with a reason instead of ignored. */
interface Unavailable {
  readonly path: readonly string[];
  readonly what: string;
  /** The way out, beside removing the key. */
  readonly instead?: string;
  /** Only these values are unavailable; any value where absent. */
  readonly values?: readonly string[];
}

const removeTls = "terminate TLS in front of the gateway";

/** `*` stands for any name or list position. */
const unavailable: readonly Unavailable[] = [
  { path: ["certificates"], what: "TLS", instead: removeTls },
  { path: ["gateway", "listen", "*", "tls"], what: "TLS", instead: removeTls },
  { path: ["gateway", "tracing"], what: "tracing", instead: "the access log holds the trace id of each request" },
  { path: ["services", "*", "tls"], what: "TLS to instances", instead: "use plain HTTP to the instances" },
  {
    path: ["services", "*", "protocol"],
    what: "this protocol",
    instead: 'use "http"',
    values: ["https", "h2c", "grpc"],
  },
];

/** The problem of a planned key or value, or undefined where there is none. */
export function unavailableProblem(path: Path, value: unknown): Problem | undefined {
  const entry = unavailable.find(
    (one) => one.path.length === path.length && one.path.every((part, i) => part === "*" || part === path[i]),
  );
  if (entry === undefined) return undefined;
  if (entry.values?.some((one) => one === value) === false) return undefined;
  const key = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .slice(1);
  const hint = `remove ${key}${entry.instead === undefined ? "" : `; ${entry.instead}`}`;
  return { path, message: `${entry.what} is not available in this version`, hint, severity: "error" };
}

/**
 * Takes the planned parts out of one section, so that what remains is validated without their noise. Answers a copy
 * where something was taken; the input stays as it is.
 */
export function takeUnavailable(input: unknown, path: Path, problems: Problem[]): unknown {
  if (!unavailable.some((one) => isPrefix(one.path, path))) return input;
  if (Array.isArray(input))
    return input.map((item: unknown, index) => takeUnavailable(item, [...path, index], problems));
  if (typeof input !== "object" || input === null) return input;
  const rest: [string, unknown][] = [];
  for (const [key, value] of Object.entries(input)) {
    const problem = unavailableProblem([...path, key], value);
    if (problem === undefined) rest.push([key, takeUnavailable(value, [...path, key], problems)]);
    else problems.push(problem);
  }
  return Object.fromEntries(rest);
}

function isPrefix(pattern: readonly string[], path: Path): boolean {
  return pattern.length > path.length && path.every((part, i) => pattern[i] === "*" || pattern[i] === part);
}
