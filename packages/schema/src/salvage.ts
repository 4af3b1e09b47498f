import type { z } from "zod";
import { parseWith } from "./problems.ts";
import type { Path, Problem } from "./problems.ts";

/** Each round takes away what the one before objected to; an entry without its required key goes in the second. */
const roundsMax = 4;

/**
 * What remains of a resource without the parts that its schema objects to, so that the rest of it can be checked in the
 * same run: one mistyped key must not hide a service that does not exist. Never to be served. Where nothing remains it
 * is an empty resource, so that those who name it are not told that it is missing; undefined where there is no such.
 */
export function salvage<S extends z.ZodType>(
  schema: S,
  input: unknown,
  path: Path,
  problems: readonly Problem[],
): z.output<S> | undefined {
  const rest = structuredClone(input);
  let objections = problems;
  for (let round = 0; round < roundsMax; round++) {
    for (const problem of objections) takeAway(rest, problem.path.slice(path.length));
    const parsed = parseWith(schema, rest, path);
    if (parsed.ok) return parsed.value;
    objections = parsed.problems;
  }
  for (const blank of [{}, "unreadable"]) {
    const parsed = parseWith(schema, blank, path);
    if (parsed.ok) return parsed.value;
  }
  return undefined;
}

/** Removes the value at `path`; what is missing takes the map around it along, and an entry the whole of its list. */
function takeAway(root: unknown, path: Path): void {
  const key = path.at(-1);
  if (key === undefined) return;
  let around = root;
  for (const part of path.slice(0, -1)) around = isObject(around) ? around[part] : undefined;
  // Taking an entry out of a list would move those behind it, and their problems would name the wrong place.
  if (Array.isArray(around) || !isObject(around) || !Object.hasOwn(around, key)) takeAway(root, path.slice(0, -1));
  else Reflect.deleteProperty(around, key);
}

function isObject(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null;
}
