import type { Path } from "@headgate/schema";
import type { LoadCache } from "./load-cache.ts";
import { valueAt, withValue } from "./settings.ts";

/** A value in the place of the text that came from the environment. */
export interface Coercion {
  readonly path: Path;
  readonly value: number | boolean;
}

/** What text stands for where a number or truth value is expected; undefined where it is none. */
export function coercedText(text: string, expected: "number" | "boolean"): number | boolean | undefined {
  if (expected === "number") return /^-?\d+(?:\.\d+)?$/.test(text.trim()) ? Number(text) : undefined;
  return text === "true" ? true : text === "false" ? false : undefined;
}

/**
 * The document with the values put in. Changes the maps of sections, which belong to who calls: copying one for each
 * of ten thousand names in it would take forever. Entries are copied, and with a cache the copy is the same each time.
 */
export function coerceEntries(
  document: unknown,
  coercions: readonly Coercion[],
  cache: LoadCache | undefined,
): unknown {
  const entries = new Map<string, Coercion[]>();
  for (const coercion of coercions) {
    const key = JSON.stringify(coercion.path.slice(0, 2));
    const others = entries.get(key);
    if (others === undefined) entries.set(key, [coercion]);
    else others.push(coercion);
  }
  let result = document;
  for (const own of entries.values()) result = coerceEntry(result, own, cache);
  return result;
}

function coerceEntry(document: unknown, coercions: readonly Coercion[], cache: LoadCache | undefined): unknown {
  const [section = "", name = ""] = coercions[0]?.path ?? [];
  const entries = valueAt(document, [section]);
  const entry = valueAt(entries, [name]);
  if (!isMap(entries) || typeof entry !== "object" || entry === null) {
    return coercions.reduce((whole, { path, value }) => withValue(whole, path, value), document);
  }
  const make = (): unknown =>
    coercions.reduce<unknown>((whole, { path, value }) => withValue(whole, path.slice(2), value), entry);
  define(entries, String(name), cache === undefined ? make() : cache.changed(entry, JSON.stringify(coercions), make));
  return document;
}

/** Whether a value is a map of a document: neither a list nor nothing. */
export function isMap(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sets a key of a map that came from a document. */
export function define(target: object, key: string, value: unknown): void {
  // Assigning to "__proto__" would not make a key; defining costs ten times as much.
  if (key !== "__proto__") Reflect.set(target, key, value);
  else Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
