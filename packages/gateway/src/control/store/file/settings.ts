import type { Path } from "@headgate/schema";
import { formatPath } from "@headgate/schema";
import { parse } from "yaml";

/** A value that does not come from a document: a flag of the command line, or a `HEADGATE_*` variable. */
export interface Setting {
  readonly path: Path;
  readonly value: unknown;
  /** Where it comes from, for messages: `--set`, `HEADGATE_LISTEN`. */
  readonly source: string;
}

const pathParts = /([^.[\]"=]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/y;
/** What a position in a list may be: `--set a[4000000000]=1` must not make a list of that length. */
const indexMax = 9999;

/**
 * Reads `path=value`, as `--set` takes it: `routes.users.timeout=5s`, `gateway.listen[0].address=:8081`,
 * `routes["a.b"].priority=1`. The value is read as YAML. Throws an Error whose message says what is wrong.
 */
export function parseSetting(text: string, source: string): Setting {
  const path: (string | number)[] = [];
  let at = 0;
  while (at < text.length && text[at] !== "=") {
    if (path.length > 0 && text[at] === ".") at++;
    pathParts.lastIndex = at;
    const found = pathParts.exec(text);
    if (found === null) break;
    const [whole, name, index, quoted] = found;
    if (index !== undefined && Number(index) > indexMax) throw new Error(`[${index}] is beyond the end of any list`);
    path.push(name ?? (index === undefined ? unquote(quoted ?? "") : Number(index)));
    at += whole.length;
  }
  if (path.length === 0 || text[at] !== "=")
    throw new Error(`${JSON.stringify(text)} is not path=value, as in routes.users.timeout=5s`);
  const written = text.slice(at + 1);
  try {
    // A colon starts a map in YAML only with a space behind it; an address stays text.
    const value: unknown = parse(written, { prettyErrors: false });
    return { path, value, source };
  } catch {
    throw new Error(`the value of ${formatPath(path)} is not valid YAML; put text with special characters in quotes`);
  }
}

function unquote(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}

/** The value at a path, or undefined. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** A copy with another value at a path; maps and lists on the way are made where they are missing. */
export function withValue(root: unknown, path: Path, value: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (typeof part === "number") {
    const list: unknown[] = Array.isArray(root) ? [...root] : [];
    list[part] = withValue(list[part], rest, value);
    // A hole would be skipped by whatever looks at the entries.
    return Array.from(list, (item) => item ?? null);
  }
  const map = typeof root === "object" && root !== null && !Array.isArray(root) ? root : {};
  return Object.fromEntries([
    ...Object.entries(map).filter(([key]) => key !== part),
    [part, withValue(Reflect.get(map, part), rest, value)],
  ]);
}
