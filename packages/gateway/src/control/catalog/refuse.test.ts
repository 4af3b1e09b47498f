import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, catalogOf, change, errors, route, running, service, set } from "./catalog.fixtures.ts";

const refusal = { kind: "routes", name: "a", reason: "the pattern is too long" } as const;

test("what the workers refuse keeps its last good version, and the next plan holds the rest", () => {
  const catalog = catalogOf({ "routes/a": answer("one") });
  set(catalog, { "routes/a": answer("two"), "routes/b": answer("b") });
  const plan = catalog.plan();
  catalog.refuse(plan, [refusal]);
  assert.ok(catalog.isTouched);
  const next = catalog.plan();
  assert.deepEqual(Object.keys(next.change?.routes?.set ?? {}), ["b"]);
  catalog.commit(next);
  assert.equal(catalog.live.routes["a"]?.respond?.body, "one");
  assert.deepEqual(errors(catalog), { "routes/a": ["the pattern is too long"] });
});

test("the next version of it is tried again", () => {
  const catalog = catalogOf();
  set(catalog, { "routes/a": answer("two") });
  catalog.refuse(catalog.plan(), [refusal]);
  change(catalog, {});
  assert.deepEqual(running(catalog), []);
  change(catalog, { "routes/a": answer("two") });
  assert.deepEqual(running(catalog), ["routes/a"]);
  assert.deepEqual(errors(catalog), {});
});

test("what needs a refused resource waits for it", () => {
  const catalog = catalogOf();
  set(catalog, { "services/s": service, "routes/a": route("s") });
  catalog.refuse(catalog.plan(), [{ kind: "services", name: "s", reason: "no" }]);
  change(catalog, {});
  assert.deepEqual(errors(catalog), { "services/s": ["no"], "routes/a": ['there is no service "s"'] });
  change(catalog, { "services/s": service });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
});

test("a refused service that was to be left keeps what the refused one refers to", () => {
  const catalog = catalogOf({ "middlewares/m": { probe: {} }, "services/s": { ...service, use: ["m"] } });
  set(catalog, { "services/s": service, "middlewares/m": undefined });
  catalog.refuse(catalog.plan(), [{ kind: "services", name: "s", reason: "no" }]);
  change(catalog, {});
  assert.deepEqual(running(catalog), ["middlewares/m", "services/s"]);
  change(catalog, { "services/s": service });
  assert.deepEqual(running(catalog), ["services/s"]);
});

test("who is refused what nobody wrote changes nothing", () => {
  const catalog = catalogOf({ "routes/a": answer("one") });
  set(catalog, { "routes/b": answer("b") });
  catalog.refuse(catalog.plan(), [{ ...refusal, name: "nobody" }]);
  change(catalog, {});
  assert.deepEqual(running(catalog), ["routes/a", "routes/b"]);
  assert.deepEqual(errors(catalog), {});
});
