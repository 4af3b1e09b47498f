import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, catalogOf, change, errors, route, running, service } from "./catalog.fixtures.ts";

test("a file's resource shadows the store's, and that takes its place when the file lets go", () => {
  const catalog = catalogOf({ "routes/a": answer("store") });
  change(catalog, { "routes/a": answer("file") }, "file");
  assert.equal(catalog.live.routes["a"]?.respond?.body, "file");
  assert.equal(change(catalog, { "routes/a": answer("newer") }).change, undefined);
  assert.equal(catalog.live.routes["a"].respond.body, "file");
  change(catalog, { "routes/a": undefined }, "file");
  assert.equal(catalog.live.routes["a"].respond.body, "newer");
});

test("a store's resource that is deleted behind a file's is not missed, and not there when the file lets go", () => {
  const catalog = catalogOf({ "routes/a": answer("store") });
  change(catalog, { "routes/a": answer("file") }, "file");
  change(catalog, { "routes/a": undefined });
  assert.deepEqual(running(catalog), ["routes/a"]);
  change(catalog, { "routes/a": undefined }, "file");
  assert.deepEqual(running(catalog), []);
  assert.equal(catalog.entry("routes", "a"), undefined);
});

test("what is wrong with a store's version behind a file's concerns nobody until it would run", () => {
  const catalog = catalogOf();
  change(catalog, { "routes/a": answer("file") }, "file");
  change(catalog, { "routes/a": "no JSON" });
  assert.deepEqual(errors(catalog), {});
  change(catalog, { "routes/a": undefined }, "file");
  assert.equal(catalog.live.routes["a"]?.respond?.body, "file");
  assert.deepEqual(Object.keys(errors(catalog)), ["routes/a"]);
});

test("the global chain of a file goes before the store's, and a file without one leaves it to that", () => {
  const catalog = catalogOf({ "settings/global": [{ probe: { depth: 1 } }] });
  change(catalog, { "settings/global": [{ probe: { depth: 2 } }] }, "file");
  assert.deepEqual(catalog.live.global, [{ name: "probe", settings: { depth: 2 } }]);
  change(catalog, { "settings/global": undefined }, "file");
  assert.deepEqual(catalog.live.global, [{ name: "probe", settings: { depth: 1 } }]);
  change(catalog, { "settings/global": undefined });
  assert.deepEqual(catalog.live.global, []);
});

test("a file's route follows to a store's service, when that comes and when it goes", () => {
  const catalog = catalogOf();
  change(catalog, { "routes/a": route("s") }, "file");
  assert.deepEqual(errors(catalog), { "routes/a": ['there is no service "s"'] });
  change(catalog, { "services/s": service });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  change(catalog, { "services/s": undefined });
  assert.deepEqual(errors(catalog), { "routes/a": ['there is no service "s"'] });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
});

test("a service moves from the store to a file while a route needs it", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "services/s": undefined });
  change(catalog, { "services/s": { instances: [{ address: "127.0.0.1:2" }] } }, "file");
  assert.deepEqual(errors(catalog), {});
  assert.equal(catalog.live.services["s"]?.instances[0]?.address, "127.0.0.1:2");
});

test("consumers of a file and of a store do not share keys", () => {
  const catalog = catalogOf({ "consumers/store": { keys: ["1"] } });
  change(catalog, { "consumers/file": { keys: ["1"] } }, "file");
  assert.deepEqual(running(catalog), ["consumers/store"]);
  change(catalog, { "consumers/store": { keys: ["2"] } }, "file");
  assert.deepEqual(running(catalog), ["consumers/file", "consumers/store"]);
});
