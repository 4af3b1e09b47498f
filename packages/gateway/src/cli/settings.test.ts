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

for (const [what, flags, env, expected] of [
  ["the flag", { config: "a.yaml" }, { HEADGATE_CONFIG: "b.yaml" }, "a.yaml"],
  ["the variable", {}, { HEADGATE_CONFIG: "b.yaml" }, "b.yaml"],
  ["nobody, where the variable is empty", {}, { HEADGATE_CONFIG: "" }, undefined],
  ["nobody", {}, {}, undefined],
] as const) {
  test(`the document is that of ${what}`, () => {
    assert.equal(configFile(flags, env), expected);
  });
}

const etcd = (settings: object): object => ({ etcd: settings });
for (const [url, value] of [
  ["embedded:", { embedded: {} }],
  ["embedded://", { embedded: {} }],
  ["embedded:127.0.0.1:2379", { embedded: { listen: "127.0.0.1:2379" } }],
  ["etcd://one", etcd({ endpoints: ["http://one:2379"] })],
  ["etcd://one:1,two", etcd({ endpoints: ["http://one:1", "http://two:2379"] })],
  ["etcd://one:1/", etcd({ endpoints: ["http://one:1"] })],
  ["etcds://[::1]:7/edge/a/", etcd({ endpoints: ["https://[::1]:7"], prefix: "/edge/a/" })],
  ["etcd://anna@one", etcd({ endpoints: ["http://one:2379"], username: "anna" })],
  [
    "etcd://anna:p%40ss:word@one/x/",
    etcd({ endpoints: ["http://one:2379"], prefix: "/x/", username: "anna", password: "p@ss:word" }),
  ],
] as const) {
  test(`${url} is a store`, () => {
    const path = ["gateway", "store"];
    assert.deepEqual(settingsOfFlags({ store: url }), [{ path, value, source: "--store" }]);
    assert.deepEqual(settingsOfEnvironment({ HEADGATE_STORE: url }), [{ path, value, source: "HEADGATE_STORE" }]);
  });
}

test("--set says more of the store that --store names", () => {
  const settings = settingsOfFlags({ store: "embedded:", set: ["gateway.store.embedded.prefix=/x/"] });
  assert.deepEqual(
    settings.map(({ source }) => source),
    ["--store", "--set"],
  );
});

for (const [what, action, message] of [
  [
    "a store of another kind",
    () => settingsOfFlags({ store: "redis://x" }),
    /^--store: expected etcd:\/\/host.*embedded:\.$/,
  ],
  ["a store without a host", () => settingsOfFlags({ store: "etcd://" }), /^--store: expected/],
  [
    "such a store of the environment",
    () => settingsOfEnvironment({ HEADGATE_STORE: "x" }),
    /^HEADGATE_STORE: expected/,
  ],
  ["a password that is not encoded", () => settingsOfFlags({ store: "etcd://a:%zz@one" }), /percent-encoded/],
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
