import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteResource } from "@headgate/schema";
import fc from "fast-check";
import { partsOf } from "./catalog/catalog.fixtures.ts";
import type { Entry, Value, Version } from "./catalog/entry.ts";
import { compileChange, sameValue, type CompiledChange } from "./compile.ts";
import { applyTo } from "./member.fixtures.ts";

function route(path: string, extra: Partial<RouteResource> = {}): RouteResource {
  return { match: [{ path }], use: [], to: [{ service: "s", weight: 1 }], priority: 0, ...extra };
}

/** What is there by id, or not. */
type Values = Readonly<Record<string, unknown>>;

/** The change from some values to others, of these entries. */
function compiled(before: Values, after: Values): CompiledChange | undefined {
  const ids = new Set([...Object.keys(before), ...Object.keys(after)]);
  return compileChange(
    new Map([...ids].map((id) => [entry(id, versionOf(before, id)), versionOf(after, id)] as const)),
  );
}

function versionOf(values: Values, id: string): Version | undefined {
  if (!Object.hasOwn(values, id)) return undefined;
  // Kind and value belong together where the tests write them.
  return { value: values[id] as Value, problems: [], source: "store", revision: 1 };
}

function entry(id: string, live: Version | undefined): Entry {
  const [kind, name] = partsOf(id);
  const none = { file: undefined, store: undefined, refused: undefined, withdrawn: false, problems: [], refers: [] };
  return { id, kind, name, live, ...none };
}

test("from nothing everything is set, the global chain also when it is empty", () => {
  const change = compiled({}, { "routes/a": route("/a"), "settings/global": [] });
  assert.deepEqual(Object.keys(change?.routes?.set ?? {}), ["a"]);
  assert.deepEqual(change?.global, []);
  assert.equal(change.services, undefined);
});

test("a change names only what differs", () => {
  const before = { "routes/a": route("/a"), "routes/b": route("/b"), "routes/c": route("/c") };
  const after = { "routes/a": route("/a"), "routes/b": route("/b", { priority: 1 }), "routes/d": route("/d") };
  const change = compiled(before, after);
  assert.deepEqual(Object.keys(change?.routes?.set ?? {}), ["b", "d"]);
  assert.deepEqual(change?.routes?.delete, ["c"]);
  assert.equal(change.global, undefined);
});

test("a changed middleware or plugin does not send the routes that name it", () => {
  const routes = { "routes/a": route("/a", { use: [{ name: "m" }, { name: "p" }] }) };
  const change = compiled(
    {
      ...routes,
      "middlewares/m": { entry: { name: "headers", settings: {} } },
      "plugins/p": { path: "/p.ts", sha256: "1" },
    },
    {
      ...structuredClone(routes),
      "middlewares/m": { entry: { name: "headers", settings: { request: {} } } },
      "plugins/p": { path: "/p.ts", sha256: "2" },
    },
  );
  assert.deepEqual(Object.keys(change ?? {}).sort(), ["middlewares", "plugins"]);
});

test("the order of keys and an undefined field are no change; the order of a list is", () => {
  const { match, use, priority, to } = route("/a");
  // `undefined` in a field is what a careless producer hands over; the types forbid it.
  const same = { to, priority, use, match, timeoutMs: undefined };
  assert.equal(compiled({ "routes/a": route("/a") }, { "routes/a": same }), undefined);
  const swapped = { "settings/global": [{ name: "x" }, { name: "y" }] };
  const reversed = { "settings/global": [{ name: "y" }, { name: "x" }] };
  assert.deepEqual(compiled(swapped, reversed)?.global, reversed["settings/global"]);
});

test("a global chain that is gone is an empty one", () => {
  assert.deepEqual(compiled({ "settings/global": [{ name: "x" }] }, {}), { global: [] });
});

test("a resource called __proto__ is a resource like any other", () => {
  const next = { "routes/__proto__": route("/a") };
  const change = compiled({}, next);
  assert.deepEqual(Object.keys(change?.routes?.set ?? {}), ["__proto__"]);
  assert.equal(compiled(next, next), undefined);
});

test("applying the change to the previous resources gives the next ones", () => {
  const id = fc.constantFrom("routes/a", "routes/b", "services/a", "settings/global");
  const values = fc.dictionary(
    id,
    fc.constantFrom("/1", "/2").map((path) => [{ name: path }]),
  );
  fc.assert(
    fc.property(values, values, (before, after) => {
      const change = compiled(before, after);
      const applied = new Map<string, unknown>(Object.entries(before));
      if (change !== undefined) applyTo(applied, { ...change, revision: 1 });
      assert.ok(sameValue(Object.fromEntries(applied), { ...after }));
      assert.equal(change === undefined, sameValue({ ...before }, { ...after }));
    }),
  );
});
