import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resources, RouteResource } from "@headgate/schema";
import fc from "fast-check";
import { compileChange, sameValue } from "./compile.ts";

const empty: Resources = { routes: {}, services: {}, middlewares: {}, consumers: {}, plugins: {}, global: [] };

function route(path: string, extra: Partial<RouteResource> = {}): RouteResource {
  return { match: [{ path }], use: [], to: [{ service: "s", weight: 1 }], priority: 0, ...extra };
}

test("from nothing everything is set, the global chain also when it is empty", () => {
  const next: Resources = { ...empty, routes: { a: route("/a") } };
  const change = compileChange(undefined, next, 7);
  assert.equal(change?.revision, 7);
  assert.deepEqual(Object.keys(change.routes?.set ?? {}), ["a"]);
  assert.deepEqual(change.global, []);
  assert.equal(change.services, undefined);
});

test("a change names only what differs", () => {
  const previous: Resources = { ...empty, routes: { a: route("/a"), b: route("/b"), c: route("/c") } };
  const next: Resources = { ...empty, routes: { a: route("/a"), b: route("/b", { priority: 1 }), d: route("/d") } };
  const change = compileChange(previous, next, 2);
  assert.deepEqual(Object.keys(change?.routes?.set ?? {}), ["b", "d"]);
  assert.deepEqual(change?.routes?.delete, ["c"]);
  assert.equal(change.global, undefined);
});

test("a changed middleware or plugin does not send the routes that name it", () => {
  const routes = { a: route("/a", { use: [{ name: "m" }, { name: "p" }] }) };
  const previous: Resources = {
    ...empty,
    routes,
    middlewares: { m: { entry: { name: "headers", settings: {} } } },
    plugins: { p: { path: "/p.ts", sha256: "1" } },
  };
  const next: Resources = {
    ...previous,
    routes: structuredClone(routes),
    middlewares: { m: { entry: { name: "headers", settings: { request: {} } } } },
    plugins: { p: { path: "/p.ts", sha256: "2" } },
  };
  const change = compileChange(previous, next, 2);
  assert.deepEqual(Object.keys(change ?? {}).sort(), ["middlewares", "plugins", "revision"]);
});

test("the order of keys and an undefined field are no change; the order of a list is", () => {
  const previous: Resources = { ...empty, routes: { a: route("/a"), b: route("/b") }, global: [{ name: "x" }] };
  const a = { ...route("/a"), timeoutMs: undefined };
  const same = { ...empty, routes: { b: route("/b"), a }, global: [{ name: "x" }] };
  // `undefined` in a field is what a careless producer hands over; the types forbid it.
  assert.equal(compileChange(previous, same as unknown as Resources, 2), undefined);
  const swapped: Resources = { ...previous, global: [{ name: "x" }, { name: "y" }] };
  const reversed: Resources = { ...previous, global: [{ name: "y" }, { name: "x" }] };
  assert.deepEqual(compileChange(swapped, reversed, 2)?.global, reversed.global);
});

test("a resource called __proto__ is a resource like any other", () => {
  const next: Resources = { ...empty, routes: Object.fromEntries([["__proto__", route("/a")]]) };
  const change = compileChange(empty, next, 2);
  assert.deepEqual(Object.keys(change?.routes?.set ?? {}), ["__proto__"]);
  assert.equal(compileChange(next, next, 3), undefined);
});

test("applying the change to the previous resources gives the next ones", () => {
  const routes: fc.Arbitrary<Record<string, RouteResource>> = fc.dictionary(
    fc.constantFrom("a", "b", "c", "d"),
    fc.constantFrom("/1", "/2").map((path) => route(path)),
  );
  fc.assert(
    fc.property(routes, routes, (before, after) => {
      const change = compileChange({ ...empty, routes: before }, { ...empty, routes: after }, 1);
      const applied = new Map(Object.entries(before));
      const set: Readonly<Record<string, RouteResource>> = change?.routes?.set ?? {};
      for (const [name, value] of Object.entries(set)) applied.set(name, value);
      for (const name of change?.routes?.delete ?? []) applied.delete(name);
      assert.ok(sameValue(Object.fromEntries(applied), Object.fromEntries(Object.entries(after))));
      assert.equal(change === undefined, sameValue({ ...before }, { ...after }));
    }),
  );
});
