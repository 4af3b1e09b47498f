import assert from "node:assert/strict";
import { test } from "node:test";
import { Catalog } from "./catalog.ts";
import { answer, catalogOf, change, errors, kvOf, route, running, service, table } from "./catalog.fixtures.ts";
import { readVersion } from "./read-version.ts";

test("a version that is not valid keeps the last good one live and is a problem until it is corrected", () => {
  const catalog = catalogOf({ "routes/a": answer("one") });
  const plan = change(catalog, { "routes/a": { ...answer("two"), match: { path: 7 } } });
  assert.equal(plan.change, undefined);
  assert.equal(catalog.live.routes["a"]?.respond?.body, "one");
  assert.deepEqual(Object.keys(errors(catalog)), ["routes/a"]);
  change(catalog, { "routes/a": answer("three") });
  assert.equal(catalog.live.routes["a"].respond.body, "three");
  assert.deepEqual(errors(catalog), {});
});

test("one that never was good is absent, and a problem", () => {
  const catalog = catalogOf({ "routes/a": "no JSON", "routes/b": answer("b") });
  assert.deepEqual(running(catalog), ["routes/b"]);
  assert.match(errors(catalog)["routes/a"]?.[0] ?? "", /not JSON/);
});

test("the deletion of one that is not valid removes it and its problem", () => {
  const catalog = catalogOf({ "routes/a": answer("one"), "routes/never": "no JSON" });
  change(catalog, { "routes/a": "no JSON" });
  assert.deepEqual(Object.keys(errors(catalog)), ["routes/never", "routes/a"]);
  const plan = change(catalog, { "routes/a": undefined, "routes/never": undefined });
  assert.deepEqual(plan.change, { routes: { set: Object.create(null), delete: ["a"] } });
  assert.deepEqual(errors(catalog), {});
  assert.deepEqual([...catalog.troubled()], []);
  for (const name of ["a", "never"]) assert.equal(catalog.entry("routes", name), undefined);
});

test("a warning is shown and stands in nobody's way", () => {
  const catalog = catalogOf({ "services/s": { instances: [] }, "routes/a": route("s") });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  const [entry, ...others] = catalog.troubled();
  assert.deepEqual(others, []);
  assert.deepEqual([entry?.id, entry?.problems.map(({ severity }) => severity)], ["services/s", ["warning"]]);
});

for (const [what, dependent, written] of [
  ["a service", { "routes/a": route("late") }, { "services/late": service }],
  [
    "a fallback's service",
    { "routes/a": { match: { path: "/" }, to: "s", fallback: { service: "late" } } },
    { "services/late": service },
  ],
  ["a named middleware", { "routes/a": answer("", ["late"]) }, { "middlewares/late": { probe: {} } }],
  ["a plugin", { "routes/a": answer("", ["late"]) }, { "plugins/late": "export default 1" }],
  ["a service's middleware", { "services/a": { ...service, use: ["late"] } }, { "middlewares/late": { probe: {} } }],
  ["a named configuration's plugin", { "middlewares/a": { late: {} } }, { "plugins/late": "export default 1" }],
  ["the global chain's plugin", { "settings/global": ["late"] }, { "plugins/late": "export default 1" }],
] as const) {
  const ids = [...Object.keys(dependent), ...Object.keys(written)].sort();
  const first = { "services/s": service };

  test(`without ${what} it is a problem and does not run; it comes to life when that appears`, () => {
    const catalog = catalogOf({ ...first, ...dependent });
    assert.deepEqual(running(catalog), ["services/s"]);
    assert.match(JSON.stringify(errors(catalog)), /there is no (?:service|middleware) \\"late\\"/);
    const plan = change(catalog, written);
    assert.deepEqual(running(catalog), [...ids, "services/s"].sort());
    assert.deepEqual(errors(catalog), {});
    assert.equal(plan.problems.size, ids.length);
  });

  for (const [order, both] of [
    ["behind", { ...dependent, ...written }],
    ["in front of", { ...written, ...dependent }],
  ] as const) {
    test(`with ${what} ${order} it in one revision both run at once`, () => {
      const catalog = catalogOf({ ...first, ...both });
      assert.deepEqual(running(catalog), [...ids, "services/s"].sort());
      assert.deepEqual(errors(catalog), {});
    });
  }

  test(`when ${what} is deleted it runs on, and the one that needs it has the problem`, () => {
    const catalog = catalogOf({ ...first, ...dependent, ...written });
    const [needed = ""] = Object.keys(written);
    const plan = change(catalog, { [needed]: undefined });
    assert.equal(plan.change, undefined);
    assert.deepEqual(running(catalog), [...ids, "services/s"].sort());
    assert.deepEqual(Object.keys(errors(catalog)), Object.keys(dependent));
  });
}

test("a version that refers to what is not there keeps the last good one live", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s") });
  change(catalog, { "routes/a": route("t", [], "/b") });
  assert.deepEqual(catalog.live.routes["a"]?.to, [{ service: "s", weight: 1 }]);
  assert.deepEqual(errors(catalog), { "routes/a": ['there is no service "t"'] });
});

test("a service whose newest version is not valid is there, as it was last good", () => {
  const catalog = catalogOf({ "services/s": service });
  change(catalog, { "services/s": { instances: 1 }, "routes/a": route("s") });
  assert.deepEqual(running(catalog), ["routes/a", "services/s"]);
  assert.deepEqual(Object.keys(errors(catalog)), ["services/s"]);
});

test("the settings of a middleware are judged with the chain they stand in", () => {
  const catalog = catalogOf({ "routes/a": answer("", [{ probe: { depth: "deep" } }]), "routes/b": answer("") });
  assert.deepEqual(running(catalog), ["routes/b"]);
  assert.deepEqual(
    [...(catalog.entry("routes", "a")?.problems ?? [])].map(({ path }) => path.join(".")),
    ["routes.a.use.0.probe.depth"],
  );
});

test("a plan looks at what is touched and what refers to that, not at the rest", () => {
  const routes = Array.from({ length: 500 }, (_, i) => [`routes/r${i}`, route("s")] as const);
  const catalog = catalogOf({ ...Object.fromEntries(routes), "services/s": service, "services/t": service });
  assert.equal(change(catalog, { "routes/r7": route("t") }).problems.size, 1);
  assert.equal(change(catalog, { "services/s": { ...service, use: [] } }).problems.size, 1);
  assert.equal(change(catalog, { "services/u": service }).problems.size, 1);
  assert.equal(change(catalog, { "services/t": undefined }).problems.size, 2);
  assert.equal(catalog.plan().problems.size, 0);
});

test("a version that says the same takes the place of the live one without the workers being told", () => {
  const catalog = catalogOf({ "routes/a": answer("one") });
  const plan = change(catalog, { "routes/a": answer("one") }, "store", 9);
  assert.equal(plan.change, undefined);
  assert.equal(catalog.entry("routes", "a")?.live?.revision, 9);
});

test("not even a resource called __proto__, which no store may hold, gets into something else", () => {
  const catalog = new Catalog(table);
  const version = readVersion("services", "s", kvOf("services", "s", service));
  catalog.set("store", "services", "__proto__", version);
  const plan = catalog.plan();
  assert.deepEqual(Object.keys(plan.change?.services?.set ?? {}), ["__proto__"]);
  catalog.commit(plan);
  assert.deepEqual(running(catalog), ["services/__proto__"]);
  change(catalog, { "routes/a": route("instances") });
  assert.deepEqual(Object.keys(errors(catalog)), ["routes/a"]);
  change(catalog, { "services/__proto__": undefined });
  assert.deepEqual(running(catalog), []);
});

for (const name of ["constructor", "toString", "hasOwnProperty"]) {
  test(`a resource called ${name} is one like any other`, () => {
    const ids = [`routes/${name}`, `services/${name}`, `middlewares/${name}`, `consumers/${name}`];
    const written = Object.fromEntries([
      [`routes/${name}`, route(name, [name])],
      [`services/${name}`, service],
      [`middlewares/${name}`, { probe: {} }],
      [`consumers/${name}`, { keys: ["k"] }],
    ]);
    const catalog = new Catalog(table);
    change(catalog, { [`routes/${name}`]: route(name, [name]) });
    assert.deepEqual(running(catalog), []);
    const plan = change(catalog, written);
    assert.deepEqual(running(catalog), [...ids].sort());
    assert.deepEqual(Object.keys(plan.change?.routes?.set ?? {}), [name]);
    assert.deepEqual(Object.keys(catalog.whole().services?.set ?? {}), [name]);
    change(catalog, Object.fromEntries(ids.map((id) => [id, undefined])));
    assert.deepEqual(running(catalog), []);
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
  });
}

test("the way from nothing to what runs holds all of it", () => {
  const catalog = catalogOf({ "services/s": service, "routes/a": route("s"), "settings/global": ["probe"] });
  const { routes, services, global } = catalog.whole();
  assert.deepEqual(Object.keys(routes?.set ?? {}), ["a"]);
  assert.deepEqual(Object.keys(services?.set ?? {}), ["s"]);
  assert.deepEqual(global, [{ name: "probe" }]);
});

test("a named configuration with a plugin's name is a problem from the time the plugin appears until it goes", () => {
  const catalog = catalogOf({ "middlewares/m": { probe: {} }, "routes/a": answer("", ["m"]) });
  change(catalog, { "plugins/m": "export default 1" });
  assert.match(errors(catalog)["middlewares/m"]?.[0] ?? "", /cannot have the name of the plugin "m"/);
  assert.ok(running(catalog).includes("middlewares/m"));
  change(catalog, { "plugins/m": undefined });
  assert.deepEqual(errors(catalog), {});
});

test("a plugin becomes a named configuration of the same name in one revision, and can be changed afterwards", () => {
  const catalog = catalogOf({ "plugins/m": "export default 1", "routes/a": answer("", ["m"]) });
  const plan = change(catalog, { "plugins/m": undefined, "middlewares/m": { probe: {} } });
  assert.deepEqual(plan.change?.plugins?.delete, ["m"]);
  assert.deepEqual(errors(catalog), {});
  change(catalog, { "middlewares/m": { probe: { depth: 2 } } });
  assert.deepEqual(errors(catalog), {});
  assert.deepEqual(catalog.live.middlewares["m"]?.entry.settings, { depth: 2 });
});

test("a change to what is well says that no problem changed; what is wrong, corrected or deleted says so", () => {
  const catalog = catalogOf({ "routes/a": answer("a"), "routes/b": "no JSON" });
  const grows = (written: Parameters<typeof change>[1]): boolean => {
    const before = catalog.troubles;
    change(catalog, written);
    return catalog.troubles > before;
  };
  assert.equal(grows({ "routes/a": answer("another") }), false);
  assert.equal(grows({ "routes/c": answer("c") }), false);
  assert.equal(grows({ "routes/b": "no JSON either" }), true);
  assert.equal(grows({ "routes/a": route("nobody") }), true);
  assert.equal(grows({ "routes/a": answer("a") }), true);
  assert.equal(grows({ "routes/b": undefined }), true);
  assert.equal(grows({ "routes/c": undefined }), false);
});
