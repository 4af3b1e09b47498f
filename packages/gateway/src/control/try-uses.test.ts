import assert from "node:assert/strict";
import { test } from "node:test";
import { Catalog } from "./catalog/catalog.ts";
import { answer, kvOf, partsOf, table, type Written } from "./catalog/catalog.fixtures.ts";
import { readVersion } from "./catalog/read-version.ts";
import type { PluginProblem } from "./plugin-problem.ts";
import { settingsInUse, tryUses } from "./try-uses.ts";

/** A catalog that runs `live`, and what trying says of `wanted` beside it: `{ for: "ever" }` are settings that never end. */
async function trying(live: Written, wanted: Written) {
  const catalog = new Catalog(table);
  const set = (written: Written): void => {
    for (const [id, value] of Object.entries(written)) {
      const [kind, name] = partsOf(id);
      const read = readVersion(kind, name, kvOf(kind, name, value));
      const { source } = Object(value) as { readonly source?: string }; // of a plugin
      const built = { ...Object(read.value), sha256: source, module: source };
      catalog.set("store", kind, name, kind === "plugins" ? { ...read, value: built } : read);
    }
  };
  set(live);
  catalog.commit(catalog.plan());
  set(wanted);
  const tried: unknown[] = [];
  const problem: PluginProblem = {
    severity: "error",
    message: "does not end",
    file: "plugins/spin.ts",
    line: 3,
    column: 5,
  };
  const tryWith = (name: string, _resource: unknown, settings: readonly unknown[]) => {
    tried.push([name, settings]);
    return Promise.resolve(
      settings.some((one) => JSON.stringify(one) === JSON.stringify({ for: "ever" })) ? [problem] : [],
    );
  };
  const { change = {} } = catalog.plan();
  return { catalog, tried, refused: await tryUses(change, catalog, { tryWith }) };
}

const plugin = { source: "code" };
const uses = (settings?: object): object => answer("here", [settings === undefined ? "spin" : { spin: settings }]);

test("a new plugin is tried with all settings that come with it, and is to blame", async () => {
  const { tried, refused } = await trying(
    {},
    { "plugins/spin": plugin, "routes/a": uses({ for: "ever" }), "middlewares/m": { spin: { for: "a while" } } },
  );
  const [[name, settings]] = tried as [[string, object[]]]; // one trial
  assert.equal(name, "spin");
  assert.deepEqual(
    new Set(settings.map((one) => JSON.stringify(one))),
    new Set(['{"for":"ever"}', '{"for":"a while"}']),
  );
  assert.deepEqual(refused?.failures, [
    { kind: "plugins", name: "spin", message: "plugins/spin.ts:3:5: does not end" },
  ]);
});

test("new code is tried with the settings that run", async () => {
  const live = { "plugins/spin": plugin, "routes/a": uses({ for: "ever" }), "routes/b": uses() };
  const { catalog, refused } = await trying(live, { "plugins/spin": { source: "other code" } });
  assert.deepEqual(settingsInUse(catalog, "spin"), [{ for: "ever" }, undefined]);
  assert.deepEqual(refused?.failures, [
    { kind: "plugins", name: "spin", message: "plugins/spin.ts:3:5: does not end" },
  ]);
});

test("who brings settings to code that runs is to blame, nobody else is tried", async () => {
  const live = { "plugins/spin": plugin, "routes/a": uses({ for: "a while" }) };
  const { tried, refused } = await trying(live, { "routes/b": uses({ for: "ever" }), "routes/c": answer("c") });
  assert.deepEqual(tried, [["spin", [{ for: "ever" }]]]);
  assert.deepEqual(
    refused?.failures.map(({ kind, name }) => `${kind}/${name}`),
    ["routes/b"],
  );
  assert.deepEqual((await trying(live, { "settings/global": [{ spin: { for: "ever" } }] })).refused?.failures, [
    { kind: "global", name: "", message: "plugins/spin.ts:3:5: does not end" },
  ]);
});

test("a change without plugins tries nothing", async () => {
  const { tried, refused } = await trying(
    { "plugins/spin": plugin, "routes/a": uses({}) },
    { "routes/b": answer("b") },
  );
  assert.deepEqual([tried, refused], [[], undefined]);
});
