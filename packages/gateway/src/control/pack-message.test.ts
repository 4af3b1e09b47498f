import assert from "node:assert/strict";
import { test } from "node:test";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { packMessage, unpackMessage } from "./pack-message.ts";
import type { ToWorker } from "./worker-messages.ts";

/** As the thread on the other side sees it. */
function crossed(message: ToWorker): ToWorker {
  return unpackMessage(structuredClone(packMessage(message)));
}

function withSettings(settings: unknown): SnapshotChange {
  const route = { match: [{ path: "/a" }], use: [{ name: "tag", settings }], priority: 0 };
  return { revision: 7, routes: { set: { a: route }, delete: ["b"] } };
}

const changes: Record<string, SnapshotChange> = {
  "a change without resources": { revision: 1 },
  "settings of every kind": withSettings({ text: "ü\u2028\0", list: [1, -0.5, true, {}], empty: "" }),
  "a setting that is null": withSettings({ nothing: null }),
  "a text that says null": withSettings({ text: "null" }),
  "settings of nothing": { revision: 2, global: [] },
  "numbers that are not finite": withSettings({ most: Infinity, least: -Infinity, none: NaN }),
};

for (const [name, change] of Object.entries(changes)) {
  test(`${name} reaches a worker as it is`, () => {
    const message: ToWorker = { type: "prepare", id: 3, change };
    assert.deepStrictEqual(crossed(message), message);
  });
}

test("a resource that is called __proto__ reaches a worker", () => {
  const set = Object.create(null) as Record<string, { keys: string[]; groups: string[] }>; // as compile.ts makes it
  set["__proto__"] = { keys: ["k"], groups: [] };
  const message = crossed({ type: "prepare", id: 1, change: { revision: 1, consumers: { set, delete: [] } } });
  assert.equal(message.type, "prepare");
  const received = message.type === "prepare" ? (message.change.consumers?.set ?? {}) : {};
  assert.deepEqual(Object.keys(received), ["__proto__"]);
});

test("a change is written once for all workers", () => {
  const change = changes["settings of every kind"] ?? { revision: 0 };
  const [first, second] = [1, 2].map((id) => packMessage({ type: "prepare", id, change }));
  assert.equal(first?.type, "prepare-text");
  assert.equal(second?.type, "prepare-text");
  assert.ok(first?.type === "prepare-text" && second?.type === "prepare-text" && first.text === second.text);
});

test("other messages stay as they are", () => {
  const message: ToWorker = { type: "commit", id: 5 };
  assert.equal(packMessage(message), message);
  assert.equal(unpackMessage(message), message);
});

test("the memory of a service is the same on both sides", () => {
  const memories = { users: { service: new SharedArrayBuffer(8), instances: { "a:80": new SharedArrayBuffer(8) } } };
  const change: SnapshotChange = { revision: 1, memories };
  const message = crossed({ type: "prepare", id: 1, change });
  const received = message.type === "prepare" ? message.change.memories?.["users"]?.instances["a:80"] : undefined;
  assert.ok(received !== undefined);
  new Int32Array(received)[0] = 7;
  assert.equal(new Int32Array(memories.users.instances["a:80"])[0], 7);
});
