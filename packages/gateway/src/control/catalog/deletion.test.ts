import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, catalogOf, change, errors, prefix, route, running, service, stateOf } from "./catalog.fixtures.ts";
import { ResourceView } from "./view.ts";

const chained = {
  "middlewares/m": { probe: {} },
  "services/s": { ...service, use: ["m"] },
  "routes/a": route("s"),
};

test("what is deleted while something refers to it runs on until that goes, over two steps too", () => {
  const catalog = catalogOf(chained);
  assert.equal(change(catalog, { "services/s": undefined, "middlewares/m": undefined }).change, undefined);
  assert.deepEqual(running(catalog), ["middlewares/m", "routes/a", "services/s"]);
  assert.deepEqual(errors(catalog), { "routes/a": ['there is no service "s"'] });
  const plan = change(catalog, { "routes/a": undefined });
  assert.deepEqual(running(catalog), []);
  assert.deepEqual(plan.change?.services?.delete, ["s"]);
  assert.deepEqual(plan.change?.middlewares?.delete, ["m"]);
  assert.deepEqual(errors(catalog), {});
});

test("nothing is left of what went with the last that needed it", () => {
  const catalog = catalogOf(chained);
  change(catalog, { "services/s": undefined, "middlewares/m": undefined });
  change(catalog, { "routes/a": undefined });
  assert.deepEqual(stateOf(catalog), stateOf(catalogOf()));
});

test("it goes when the last of several lets go, whichever way", () => {
  const catalog = catalogOf({
    "services/s": service,
    "services/t": service,
    "routes/a": route("s"),
    "routes/b": route("s"),
  });
  change(catalog, { "services/s": undefined });
  change(catalog, { "routes/a": route("t") });
  assert.deepEqual(running(catalog), ["routes/a", "routes/b", "services/s", "services/t"]);
  change(catalog, { "routes/b": answer("b") });
  assert.deepEqual(running(catalog), ["routes/a", "routes/b", "services/t"]);
  assert.deepEqual(errors(catalog), {});
});

test("it does not come back by itself", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "services/s": undefined });
  change(catalog, { "routes/a": undefined });
  change(catalog, { "routes/a": route("s") });
  assert.deepEqual(running(catalog), []);
  assert.deepEqual(errors(catalog), { "routes/a": ['there is no service "s"'] });
});

test("what only runs on is there for nobody new, nor for a new version of who had it", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "services/s": undefined });
  change(catalog, { "routes/b": route("s"), "routes/a": route("s", [], "/new") });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  assert.equal(catalog.live.routes["a"]?.match[0]?.path, "/a");
  const missing = ['there is no service "s"'];
  assert.deepEqual(errors(catalog), { "routes/a": missing, "routes/b": missing });
});

test("nobody is told to use what was deleted", () => {
  const catalog = catalogOf({ "services/users": service, "routes/a": route("users") });
  change(catalog, { "services/users": undefined });
  change(catalog, { "routes/b": route("user") });
  const hints = ["a", "b"].flatMap((name) => catalog.entry("routes", name)?.problems.map(({ hint }) => hint));
  assert.deepEqual(hints, ["define it under services", "define it under services"]);
});

for (const [what, again, problems] of [
  ["as it was", service, []],
  ["as something else", { ...service, balance: "round-robin" }, []],
  ["as something that is not valid", { instances: 7 }, ["services/s"]],
] as const) {
  test(`what was deleted and is written again ${what} is there again for all`, () => {
    const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
    change(catalog, { "services/s": undefined });
    change(catalog, { "services/s": again });
    assert.deepEqual(Object.keys(errors(catalog)), problems);
    change(catalog, { "routes/b": route("s") });
    assert.deepEqual(running(catalog), ["routes/a", "routes/b", "services/s"]);
  });
}

test("a service that is deleted with its only route in one revision goes at once", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  const plan = change(catalog, { "services/s": undefined, "routes/a": undefined });
  assert.deepEqual(running(catalog), []);
  assert.deepEqual(Object.keys(plan.change ?? {}).sort(), ["routes", "services"]);
});

test("a route moves to another service while the old one is deleted", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "services/s": undefined, "services/t": service, "routes/a": route("t") });
  assert.deepEqual(running(catalog), ["routes/a", "services/t"]);
  assert.deepEqual(errors(catalog), {});
});

test("a route whose new version is not valid holds what its last good one needs", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "routes/a": "no JSON", "services/s": undefined });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  change(catalog, { "routes/a": answer("a") });
  assert.deepEqual(running(catalog), ["routes/a"]);
});

test("what only runs on is not shown among the resources", () => {
  const catalog = catalogOf({ "services/s": service, "services/t": service, "routes/a": route("s") });
  const view = new ResourceView(catalog, prefix, (_kind, value) => value);
  change(catalog, { "services/s": undefined });
  assert.deepEqual(
    view.items("services").map(({ name }) => name),
    ["t"],
  );
  assert.equal(view.item("services", "s"), undefined);
  assert.ok(running(catalog).includes("services/s"));
});
