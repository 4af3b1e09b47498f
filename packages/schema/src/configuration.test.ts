import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { documentJsonSchema } from "./index.ts";

/** What the reference says of each key: its default, "required", or nothing. */
type Reference = Map<string, string>;

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly default?: unknown;
}

/** Conditions and answers are described once; these places refer to them. */
const describedElsewhere = /\.when$|\.fallback\.respond$/;

function collect(schema: Schema, path: string, found: Reference): Reference {
  for (const one of schema.anyOf ?? []) collect(one, path, found);
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const at = path === "" ? key : `${path}.${key}`;
    found.set(
      at,
      schema.required?.includes(key) === true && value.default === undefined ? "required" : defaultText(value),
    );
    if (!describedElsewhere.test(at)) collect(value, at, found);
  }
  if (typeof schema.additionalProperties === "object") collect(schema.additionalProperties, `${path}.*`, found);
  // A list of alternatives holds what a single one does.
  if (schema.items !== undefined) collect(schema.items, path.endsWith(".match") ? path : `${path}[]`, found);
  return found;
}

/** A section's default is made of those of its keys. */
function defaultText({ default: value }: Schema): string {
  if (value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value))) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function readReference(): Reference {
  const text = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
  const rows = text.matchAll(/^\| `([^`]+)` +\| [^|]+ \| ([^|]*)\|/gm);
  return new Map([...rows].map(([, key = "", value = ""]) => [key, value.trim().replaceAll("`", "")]));
}

test("the reference of the configuration names every key of the schema with its default, and no other", () => {
  const documented = readReference();
  const existing = collect(documentJsonSchema(), "", new Map());
  assert.ok(existing.size > 60, "the schema was read");
  const sorted = (keys: Reference) => Object.fromEntries([...keys].sort(([a], [b]) => (a < b ? -1 : 1)));
  assert.deepEqual(sorted(documented), sorted(existing));
});
