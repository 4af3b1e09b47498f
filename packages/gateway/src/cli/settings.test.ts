import assert from "node:assert/strict";
import { test } from "node:test";
import { configFile, settingsOfEnvironment, settingsOfFlags, UsageError } from "./settings.ts";

test("flags become settings of the document", () => {
  const flags = { listen: [":1", ":2"], admin: ":3", dataDir: "/d", workers: "4", set: ["gateway.limits.headers=7"] };
  assert.deepEqual(settingsOfFlags(flags), [
    { path: ["gateway", "limits", "headers"], value: 7, source: "--set" },
    { path: ["gateway", "listen"], value: [{ address: ":1" }, { address: ":2" }], source: "--listen" },
    { path: ["gateway", "admin", "address"], value: ":3", source: "--admin" },
    { path: ["gateway", "dataDir"], value: "/d", source: "--data-dir" },
    { path: ["gateway", "workers"], value: 4, source: "--workers" },
  ]);
  assert.deepEqual(settingsOfFlags({}), []);
});

test("variables become settings, several addresses separated by commas; empty ones are not set", () => {
  assert.deepEqual(settingsOfEnvironment({ HEADGATE_LISTEN: ":1, :2", HEADGATE_WORKERS: "auto", HEADGATE_ADMIN: "" }), [
    { path: ["gateway", "listen"], value: [{ address: ":1" }, { address: ":2" }], source: "HEADGATE_LISTEN" },
    { path: ["gateway", "workers"], value: "auto", source: "HEADGATE_WORKERS" },
  ]);
});

for (const [what, flags, env, present, expected] of [
  ["the flag", { config: "a.yaml" }, { HEADGATE_CONFIG: "b.yaml" }, ["headgate.yaml"], "a.yaml"],
  ["the variable", {}, { HEADGATE_CONFIG: "b.yaml" }, ["headgate.yaml"], "b.yaml"],
  ["a usual name", {}, {}, ["headgate.json", "headgate.yml"], "headgate.yml"],
] as const) {
  test(`the document is that of ${what}`, () => {
    assert.equal(
      configFile(flags, env, (path) => present.some((name) => name === path)),
      expected,
    );
  });
}

for (const [what, action, message] of [
  ["no document", () => configFile({}, {}, () => false), /-c FILE/],
  ["a store", () => configFile({ store: "embedded:" }, {}, () => true), /--store: stores are not available/],
  ["a store of the environment", () => configFile({}, { HEADGATE_STORE: "x" }, () => true), /HEADGATE_STORE: stores/],
  ["a setting without a value", () => settingsOfFlags({ set: ["gateway"] }), /--set: .*path=value/],
] as const) {
  test(`${what} is a usage error`, () => {
    assert.throws(action, (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  });
}
