import { z } from "zod";
import { suggestion } from "./suggest.ts";

/** Where in a document: keys and list positions from the top. */
export type Path = readonly (string | number)[];

/** What is wrong with a document, or doubtful in it (`warning`: it is used all the same). */
export interface Problem {
  readonly path: Path;
  /** One sentence without a final stop. Values are quoted by `quote`, and only those that are no secrets. */
  readonly message: string;
  /** The way out. */
  readonly hint?: string;
  readonly severity: "error" | "warning";
  /** Set where another type was expected: text from an environment variable may then be read as that type. */
  readonly expected?: "number" | "boolean";
}

/** `routes.users.use[1].rate-limit`; keys that hold dots or brackets are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[^\s.[\]"]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

/**
 * A value as messages show it: always a JSON string, whole or not at all, so that the loader can put the name of an
 * environment variable in the place of its value.
 */
export function quote(value: string): string {
  return value.length <= 100 ? JSON.stringify(value) : "the value";
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T; readonly problems: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Problems of one value that are told one by one; nobody reads more, and each takes its time to be worded. */
const toldMax = 100;

/**
 * Validates with a schema and reports every problem, of very many the first hundred, below `path`. Never throws,
 * whatever a schema's own code does.
 */
export function parseWith<S extends z.ZodType>(schema: S, input: unknown, path: Path): Parsed<z.output<S>> {
  let result;
  try {
    result = schema.safeParse(input, { error: describe });
  } catch (error) {
    const message = `could not be validated: ${error instanceof Error ? error.message : String(error)}`;
    return { ok: false, problems: [{ path, message, severity: "error" }] };
  }
  if (result.success) return { ok: true, value: result.data, problems: [] };
  const problems: Problem[] = [];
  for (const issue of result.error.issues) {
    // Not flatMap over all: a list of 50,000 numbers where texts belong has as many issues.
    if (problems.length > toldMax) break;
    for (const problem of problemsOfIssue(issue, input, path)) problems.push(problem);
  }
  if (problems.length <= toldMax) return { ok: false, problems };
  const message = `has more than ${toldMax} problems`;
  return { ok: false, problems: [...problems.slice(0, toldMax), { path, message, severity: "error" }] };
}

// Zod hands the schema that failed only to the function that words the message. What the schema knows travels in the
// message: this mark, then the keys the map may have. No message a schema writes itself begins with NUL.
const mark = "\u0000";

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  record: "a map",
  null: "nothing",
  nan: "not a number",
};

/** The type of a value in the words of messages. */
export function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeNames[typeof value] ?? typeof value;
}

function describe(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type": {
      const expected = typeNames[issue.expected] ?? issue.expected;
      if (issue.input === undefined) return `is missing: expected ${expected}`;
      if (issue.expected === "int" && typeof issue.input === "number") return `expected ${expected}`;
      return `expected ${expected}, got ${typeOf(issue.input)}`;
    }
    case "invalid_value": {
      const values = issue.values.map((value) => JSON.stringify(value)).join(", ");
      return issue.values.length === 1 ? `expected ${values}` : `expected one of ${values}`;
    }
    case "too_small":
    case "too_big":
      return describeRange(issue);
    case "unrecognized_keys":
      return [mark, ...knownKeys(issue.inst)].join(mark);
    case "invalid_union":
      return mark;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_format":
      return `is not a valid ${issue.format === "regex" ? "value" : issue.format}`;
    default:
      return "is not valid";
  }
}

function describeRange(issue: z.core.$ZodRawIssue): string {
  const small = issue.code === "too_small";
  const limit = String(small ? issue["minimum"] : issue["maximum"]);
  const than = `${small ? "at least" : "at most"} ${limit}`;
  if (small && limit === "1" && issue["origin"] !== "number") return "must not be empty";
  switch (issue["origin"]) {
    case "string":
      return `must have ${than} characters`;
    case "array":
    case "set":
      return `must have ${than} entries`;
    default:
      if (issue["inclusive"] === false) return `must be ${small ? "more" : "less"} than ${limit}`;
      return `must be ${than}`;
  }
}

function knownKeys(schema: unknown): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function problemsOfIssue(issue: z.core.$ZodIssue, input: unknown, base: Path): Problem[] {
  const inner = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  const path = [...base, ...inner];
  const received = valueAt(input, inner);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys
        .slice(0, toldMax + 1)
        .map((key) => unknownKey([...path, key], key, issue.message.split(mark).filter(Boolean)));
    case "invalid_union":
      return problemsOfUnion(issue, received, path);
    case "invalid_key": {
      const reason = issue.issues[0]?.message ?? "is not valid";
      return [{ path, message: reason.startsWith('"') ? reason : `the name ${reason}`, severity: "error" }];
    }
    case "invalid_type":
      return [{ path, message: issue.message, ...typeHint(issue, issue.expected, received), severity: "error" }];
    case "invalid_value": {
      const options = issue.values.filter((value) => typeof value === "string");
      const hint = typeof received === "string" ? suggestion(received, options) : undefined;
      return [{ path, message: issue.message, ...(hint === undefined ? {} : { hint }), severity: "error" }];
    }
    default:
      return [{ path, message: issue.message, severity: "error" }];
  }
}

/** The problem of a key that no schema knows. */
export function unknownKey(path: Path, key: string, known: readonly string[]): Problem {
  const list = known.map((name) => quote(name)).join(", ");
  const hint = suggestion(key, known) ?? (known.length > 0 && known.length <= 24 ? `known here: ${list}` : undefined);
  return { path, message: `unknown key ${quote(key)}`, ...(hint === undefined ? {} : { hint }), severity: "error" };
}

/** Of several forms, the one whose outer type fits is what was meant: its problems are told, not those of the others. */
function problemsOfUnion(issue: z.core.$ZodIssueInvalidUnion, received: unknown, path: Path): Problem[] {
  const isOuter = (one: z.core.$ZodIssue) =>
    one.path.length === 0 && (one.code === "invalid_type" || one.code === "invalid_value");
  const outer = issue.errors.flat().filter(isOuter);
  const literals = outer.flatMap((one) => (one.code === "invalid_value" ? one.values : []));
  const hint = typeof received === "string" ? suggestion(received, literals.map(String)) : undefined;
  const meant = issue.errors.filter((branch) => branch.length > 0 && !branch.some(isOuter));
  const [only] = meant;
  if (meant.length === 1 && only !== undefined) {
    const problems = only.slice(0, toldMax + 1).flatMap((one) => problemsOfIssue(one, received, path));
    return problems.map((problem) =>
      hint === undefined || problem.path.length > path.length ? problem : { ...problem, hint },
    );
  }
  const types = outer.flatMap((one) => (one.code === "invalid_type" ? [one.expected] : []));
  const forms = new Set([
    ...literals.map((value) => JSON.stringify(value)),
    ...types.map((type) => typeNames[type] ?? type),
  ]);
  const told = `expected ${[...forms].join(" or ") || "another form"}, got ${typeOf(received)}`;
  const message = issue.message.startsWith(mark) ? told : issue.message;
  const number = types.find((type) => type === "number" || type === "int" || type === "boolean");
  const found = typeHint({ message }, number ?? types[0], received);
  return [{ path, message, ...found, ...(hint === undefined ? {} : { hint }), severity: "error" }];
}

function typeHint(
  { message }: { readonly message: string },
  expected: string | undefined,
  received: unknown,
): { hint?: string; expected?: "number" | "boolean" } {
  const scalar = typeof received === "number" || typeof received === "boolean";
  // A schema's own wording ("expected a duration such as ...") knows better than to ask for quotes.
  if (expected === "string" && scalar && message.startsWith("expected text")) return { hint: "put it in quotes" };
  if (expected === "array" && typeof received === "string") return { hint: "write a list: [ ... ]" };
  if (typeof received !== "string") return {};
  if (expected === "number" || expected === "int") return { expected: "number" };
  return expected === "boolean" ? { expected } : {};
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}
