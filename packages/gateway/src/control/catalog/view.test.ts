import assert from "node:assert/strict";
import { test } from "node:test";
import { writeResource } from "../document.ts";
import { answer, catalogOf, change, prefix, route, service } from "./catalog.fixtures.ts";
import { reportEntries } from "./report-entry.ts";
import { ResourceView } from "./view.ts";

function viewing(written = {}) {
  const catalog = catalogOf(written);
  return { catalog, view: new ResourceView(catalog, prefix, (kind, value) => writeResource(kind, value, true)) };
}

test("a store's resource is shown as it is stored, with its key, its revision and whether it runs", () => {
  const stored = { respond: { body: "hi" }, match: { path: "/a" } };
  const { catalog, view } = viewing();
  change(catalog, { "routes/a": stored }, "store", 7);
  assert.deepEqual(view.item("routes", "a"), {
    ...{ kind: "routes", name: "a", source: "store", key: "/headgate/routes/a", revision: 7 },
    ...{ value: stored, live: true, problems: [] },
  });
});

test("one whose newest version does not run says why, and shows what was written", () => {
  const { catalog, view } = viewing({ "routes/a": answer("good") });
  change(catalog, { "routes/a": { to: "nobody", match: {} } }, "store", 8);
  change(catalog, { "routes/b": "no JSON" }, "store", 9);
  const [a, b] = view.items("routes");
  assert.deepEqual([a?.live, a?.value, a?.revision], [false, { to: "nobody", match: {} }, 8]);
  assert.deepEqual(a?.problems, [
    {
      severity: "error",
      path: "routes.a.to[0].service",
      message: 'there is no service "nobody"; the last good version stays',
      hint: "define it under services",
      key: "/headgate/routes/a",
      revision: 8,
    },
  ]);
  assert.deepEqual([b?.live, b?.value, b?.problems.length], [false, null, 1]);
  assert.doesNotMatch(b?.problems[0]?.message ?? "", /last good/);
});

test("a file's resource is shown as a document writes it, and has no key", () => {
  const { catalog, view } = viewing({ "services/s": service });
  change(catalog, { "routes/a": route("s") }, "file");
  const { source, key, revision, value, live } = view.item("routes", "a") ?? {};
  assert.deepEqual([source, key, revision, live], ["file", null, null, true]);
  assert.deepEqual(value, { match: { path: "/a" }, to: "s" });
});

test("a problem of a file's resource has the place its reader gives it, not a key", () => {
  const { catalog } = viewing({});
  change(catalog, { "routes/a": route("nobody") }, "file");
  const [{ key, revision, path } = {}] = reportEntries(prefix, catalog.troubled());
  assert.deepEqual([key, revision, path], [undefined, undefined, "routes.a.to[0].service"]);
});

test("the global chain is settings/global, and its problems are those of the chain", () => {
  const { view } = viewing({ "settings/global": [{ probe: { depth: "x" } }] });
  const item = view.item("settings", "global");
  assert.deepEqual([item?.name, item?.live, item?.problems[0]?.path], ["global", false, "global[0].probe.depth"]);
});

test("what is not there is not shown; certificates never are", () => {
  const { view } = viewing({ "routes/a": answer("a") });
  assert.equal(view.item("routes", "b"), undefined);
  assert.equal(view.item("certificates", "a"), undefined);
  assert.deepEqual(view.items("certificates"), []);
});
