import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPath, validateDocument, validationCache } from "./index.ts";

const service = { instances: [{ address: "127.0.0.1:3001" }] };
const withRoute = (route: unknown) => ({ routes: { r: route }, services: { s: service } });

test("what is right of a broken resource stays readable, for checks of the whole", () => {
  const readable = (document: object) => validateDocument(document).readable;
  const route = (written: unknown) => readable(withRoute(written))?.routes["r"];
  assert.deepEqual(route({ match: { path: "/a" }, to: "x", timout: "1s" })?.to, [{ service: "x", weight: 1 }]);
  assert.deepEqual(route({ match: { path: "a" }, to: [{ service: "x", wieght: 2 }] })?.to, [
    { service: "x", weight: 1 },
  ]);
  assert.deepEqual(route({ match: { methods: ["get"] }, to: "s", use: ["jwt"] })?.use, [{ name: "jwt" }]);
  assert.equal(route({ to: [{ weight: 1 }, { service: "x" }] })?.to, undefined);
  assert.deepEqual(Object.keys(readable({ services: { a: 1, b: null, c: { instances: 1 } } })?.services ?? {}), [
    "a",
    "b",
    "c",
  ]);
  assert.deepEqual(Object.keys(readable({ plugins: { greet: 5 } })?.plugins ?? {}), ["greet"]);
});

test("nothing is readable while a section that others refer to is misspelt or no map", () => {
  for (const [document, there] of [
    [{ servces: {}, ...withRoute({ to: "x" }) }, false],
    [{ middleware: { a: "jwt" } }, false],
    [{ services: [] }, false],
    [{ rutes: {} }, true],
    [{ routes: [] }, true],
  ] as const) {
    assert.equal(validateDocument(document).readable !== undefined, there, JSON.stringify(document));
  }
});

test("a cache answers the same as none, and with the same objects as before", () => {
  const document = {
    ...withRoute({ match: { path: "/a" }, to: "s" }),
    middlewares: { one: "jwt", "": "cors" },
    consumers: { a: { keys: [1] } },
  };
  const cache = validationCache();
  const first = validateDocument(document, cache);
  assert.deepEqual(first, validateDocument(document));
  const second = validateDocument({ ...document }, cache);
  assert.deepEqual(second, first);
  assert.equal(second.readable?.routes["r"], first.readable?.routes["r"]);
});

test("one object under two names is two resources to a cache", () => {
  const broken = { to: "s", timout: "1s" };
  const { problems } = validateDocument({ routes: { a: broken, b: broken } }, validationCache());
  assert.deepEqual(
    problems.map(({ path }) => formatPath(path)),
    ["routes.a.timout", "routes.b.timout"],
  );
});
