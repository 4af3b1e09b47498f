import type { IncomingMessage } from "node:http";
import { isMap, isScalar, parseDocument, visit } from "yaml";
import { AdminError } from "./problem.ts";
import { readPlainJson } from "../control/store/file/plain-json.ts";

/** In what form a body comes. */
export type BodyKind = "json" | "yaml" | "text";

export type ReadBody =
  | { readonly kind: "json" | "yaml"; readonly value: unknown; readonly empty: boolean }
  | { readonly kind: "text"; readonly text: string };

/** Values inside values; deeper ones are nobody's configuration and exhaust the stack of what walks them. */
const depthMax = 100;
/** UTF-16 units. Reading YAML costs a hundred times what JSON costs and holds up the control thread: 1 s for so much. */
export const yamlLengthMax = 512 * 1024;
/** Aliases of one YAML text: a few nested ones could stand for billions of values ("billion laughs"). */
const aliasesMax = 100;

const mediaTypes: Readonly<Record<string, BodyKind>> = {
  "application/json": "json",
  // What curl -d says when nobody told it otherwise.
  "application/x-www-form-urlencoded": "json",
  "application/yaml": "yaml",
  "application/x-yaml": "yaml",
  "text/yaml": "yaml",
  "text/x-yaml": "yaml",
  "text/plain": "text",
  "application/typescript": "text",
  "text/typescript": "text",
  "application/javascript": "text",
  "text/javascript": "text",
};

const named: Readonly<Record<BodyKind, string>> = {
  json: "application/json",
  yaml: "application/yaml",
  text: "text/plain",
};

/** Which of the forms a content type names. Throws an AdminError with 415 where it is none of them. */
export function bodyKind(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  kinds: readonly BodyKind[],
): BodyKind {
  const [type = "", ...parameters] = (contentType ?? "application/json").toLowerCase().split(";");
  const kind = mediaTypes[type.trim()];
  const wanted = kinds.map((one) => named[one]).join(" or ");
  if (kind === undefined || !kinds.includes(kind)) {
    throw new AdminError(415, `The content type "${type.trim()}" is not understood here: send ${wanted}.`);
  }
  const charset =
    parameters.map((one) => /^\s*charset\s*=\s*"?([^"\s]+)"?\s*$/.exec(one)?.[1]).find(Boolean) ?? "utf-8";
  if (!/^(utf-?8|us-ascii)$/.test(charset)) {
    throw new AdminError(415, `The charset "${charset}" is not understood: send UTF-8.`);
  }
  if (contentEncoding !== undefined && contentEncoding.trim().toLowerCase() !== "identity") {
    throw new AdminError(415, `The encoding "${contentEncoding}" is not understood: send the body as it is.`);
  }
  return kind;
}

/** Reads all of a body. Throws an AdminError with 413 where it is longer than that; the rest is left unread. */
export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLarge = (): AdminError => new AdminError(413, `The body may have at most ${bytesMax} bytes.`);
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge();
  const pieces: Buffer[] = [];
  let bytes = 0;
  // A stream that is left early would otherwise be destroyed, and its connection with it, before the answer is sent.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** What a body says. Throws an AdminError with 400 or 413. */
export function parseBody(bytes: Uint8Array, kind: BodyKind): ReadBody {
  const text = decode(bytes);
  if (kind === "text") return { kind, text };
  if (text.trim() === "") return { kind, value: undefined, empty: true };
  return { kind, value: kind === "json" ? parseJson(text) : parseYaml(text), empty: false };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new AdminError(400, "The body is not valid UTF-8.");
  }
}

function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? ` (${error.message.split("\n", 1)[0]})` : "";
    const remedy = "send YAML with `content-type: application/yaml`";
    throw new AdminError(400, `The body is not valid JSON${why}: correct it, or ${remedy}.`);
  }
  const problem = shapeProblem(value, 0);
  if (problem !== undefined) throw new AdminError(400, `The body ${problem}.`);
  return value;
}

function parseYaml(text: string): unknown {
  const read = readText(text);
  if (!("problem" in read)) return read.value;
  const { message, line } = read.problem;
  throw new AdminError(
    read.tooLarge ? 413 : 400,
    `The body ${line === undefined ? "" : `at line ${line}: `}${message}.`,
  );
}

/** What a YAML or JSON text says, or why it says nothing. */
export type ReadText =
  /** `yamlLength`: what it took of the limit. */
  | { readonly value: unknown; readonly yamlLength: number }
  | {
      readonly problem: { readonly message: string; readonly line?: number; readonly column?: number };
      readonly tooLarge: boolean;
    };

/**
 * Reads one YAML or JSON document. Values that JSON does not have are refused, as are keys that stand twice.
 * `yamlLengthLeft`: what others left of the limit. Pure.
 */
export function readText(text: string, yamlLengthLeft = yamlLengthMax): ReadText {
  const plain = readPlainJson(text, depthMax);
  if (plain !== undefined) return { value: plain, yamlLength: 0 };
  if (text.length > yamlLengthLeft) {
    const message = `has ${text.length} characters of YAML, at most ${yamlLengthMax} are read at once: send JSON`;
    return { problem: { message }, tooLarge: true };
  }
  try {
    const options = {
      strict: true,
      uniqueKeys: false,
      prettyErrors: true,
      stringKeys: true,
      merge: true,
    } as const;
    const document = parseDocument(text, options);
    const [first] = [...document.errors, ...document.warnings];
    if (first !== undefined) {
      const message = first.message.split("\n", 1)[0]?.replace(/ at line \d+, column \d+:?$/, "") ?? "is not valid";
      const [at] = first.linePos ?? [];
      return { problem: { message, ...(at === undefined ? {} : { line: at.line, column: at.col }) }, tooLarge: false };
    }
    const value: unknown = document.toJS({ maxAliasCount: aliasesMax });
    const message = repeatedKey(document) ?? shapeProblem(value, 0);
    return message === undefined ? { value, yamlLength: text.length } : { problem: { message }, tooLarge: false };
  } catch (error) {
    // The parser and what walks its result recurse.
    const deep = error instanceof RangeError;
    const message = deep ? "is nested too deeply" : `could not be read: ${error instanceof Error ? error.message : ""}`;
    return { problem: { message }, tooLarge: false };
  }
}

/** The parser's own check compares each key with each. */
function repeatedKey(document: ReturnType<typeof parseDocument>): string | undefined {
  let repeated: string | undefined;
  visit(document, {
    Map(_key, node) {
      const seen = new Set<string>();
      for (const { key } of isMap(node) ? node.items : []) {
        const name = isScalar(key) ? String(key.value) : "";
        if (seen.has(name) && name !== "<<")
          repeated ??= `has the key ${JSON.stringify(name)} twice: remove one of the two`;
        seen.add(name);
      }
      return repeated === undefined ? undefined : visit.BREAK;
    },
  });
  return repeated;
}

/** What JSON cannot say, and what misleads whatever reads it. */
function shapeProblem(value: unknown, depth: number): string | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `holds ${value}, which is no JSON number`;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= depthMax) return `is nested more than ${depthMax} levels deep`;
  if (Object.hasOwn(value, "__proto__")) return 'has a key "__proto__", which cannot be one';
  for (const inner of Object.values(value) as unknown[]) {
    const problem = shapeProblem(inner, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
