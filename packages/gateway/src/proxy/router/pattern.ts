import { canonicalSegment } from "./characters.ts";

/** A `:name` segment and where it stands. */
export interface Parameter {
  readonly name: string;
  readonly index: number;
}

/** A path pattern of a document, in the spelling of `matchPath`. */
export interface PathPattern {
  /** Literal segments as text, parameters as undefined. A trailing slash is an empty last segment. */
  readonly segments: readonly (string | undefined)[];
  /** Whether it takes everything below, too. */
  readonly prefix: boolean;
  readonly parameters: readonly Parameter[];
  /** The whole path where it takes exactly one: no parameters, no prefix. */
  readonly exact: string | undefined;
  /** Segments that its literals and parameters take; a trailing slash is none. */
  readonly taken: number;
}

// Most patterns have none; with 100,000 routes the shared list is memory and time.
const noParameters: readonly Parameter[] = [];

/** Segments that are their one spelling, none of them a parameter, a dot segment or empty. */
const literalSegments = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/;

/**
 * Reads `/a` (exactly that), `/a/*` (it and everything below) and `/a/:id` (one segment that is not empty); undefined
 * takes every path, as `/*` does. Total: whatever could not occur in a `matchPath` is brought into its spelling.
 */
export function parsePattern(path: string | undefined): PathPattern {
  const text = path ?? "/*";
  const prefix = text.endsWith("/*");
  const body = prefix ? text.slice(0, -2) : text;
  if (literalSegments.test(body)) {
    const literals = body.slice(1).split("/");
    const exact = prefix ? undefined : body;
    return { segments: literals, prefix, parameters: noParameters, exact, taken: literals.length };
  }
  const segments: (string | undefined)[] = [];
  let parameters: Parameter[] = [];
  const parts = (body.includes("%") ? body.replace(/%2f/gi, "/") : body).split("/");
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] ?? "";
    if (part.length > 1 && part.startsWith(":")) {
      parameters.push({ name: part.slice(1), index: segments.length });
      segments.push(undefined);
      continue;
    }
    const literal = canonicalSegment(part);
    if (literal === "..") {
      segments.pop();
      parameters = parameters.filter(({ index }) => index < segments.length);
    } else if (literal !== "." && literal !== "") {
      segments.push(literal);
      continue;
    }
    // What is empty or a dot segment leaves a trailing slash at the end of an exact path and nothing elsewhere.
    if (i === parts.length - 1 && !prefix) segments.push("");
  }
  const exact = prefix || parameters.length > 0 ? undefined : `/${segments.join("/")}`;
  const taken = segments.length - (segments.at(-1) === "" ? 1 : 0);
  return { segments, prefix, parameters: parameters.length === 0 ? noParameters : parameters, exact, taken };
}

/**
 * Order of precedence, most specific first: exact path, path with parameters, prefix with more segments; among equals
 * more literal segments, then the one whose first difference is a literal. 0 for the same shape.
 */
export function comparePatterns(a: PathPattern, b: PathPattern): number {
  const byKind = kind(a) - kind(b);
  if (byKind !== 0) return byKind;
  const bySegments = b.segments.length - a.segments.length;
  if (bySegments !== 0) return bySegments;
  const byLiterals = a.parameters.length - b.parameters.length;
  if (byLiterals !== 0) return byLiterals;
  for (const [index, { index: at }] of a.parameters.entries()) {
    const other = b.parameters[index]?.index ?? at;
    // A parameter further right leaves a literal further left.
    if (at !== other) return other - at;
  }
  return 0;
}

function kind(pattern: PathPattern): number {
  if (pattern.prefix) return 2;
  return pattern.exact === undefined ? 1 : 0;
}

/** Whether the pattern takes a path in the spelling of `matchPath`. */
export function patternTakes(pattern: PathPattern, path: string): boolean {
  if (pattern.exact !== undefined) return pattern.exact === path;
  let at = 1;
  for (const segment of pattern.segments) {
    if (at > path.length) return false;
    const end = segmentEnd(path, at);
    if (segment === undefined ? end === at : end - at !== segment.length || !path.startsWith(segment, at)) return false;
    at = end + 1;
  }
  return pattern.prefix || at > path.length;
}

/** Where the segment that starts at `at` ends. */
export function segmentEnd(path: string, at: number): number {
  const end = path.indexOf("/", at);
  return end < 0 ? path.length : end;
}

/** The values of the parameters in a path that the pattern takes: percent-decoded, or as they are where that fails. */
export function readParameters(pattern: PathPattern, path: string): Readonly<Record<string, string>> {
  const values: [string, string][] = [];
  let at = 1;
  let index = 0;
  for (const parameter of pattern.parameters) {
    for (; index < parameter.index; index++) at = segmentEnd(path, at) + 1;
    values.push([parameter.name, decode(path.slice(at, segmentEnd(path, at)))]);
  }
  // fromEntries defines own properties: a parameter named __proto__ is a value like any other.
  return Object.fromEntries(values);
}

function decode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not UTF-8
  }
}
