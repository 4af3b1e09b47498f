import assert from "node:assert/strict";
import { test } from "node:test";
import { EventBus } from "./events.ts";
import { nodeKey } from "./layout.ts";
import { Nodes } from "./nodes.ts";
import type { KeyValue } from "./store/store.ts";

const prefix = "/headgate/";

function kv(id: string, value: object | string): KeyValue {
  const text = typeof value === "string" ? value : JSON.stringify({ id, ...facts, ...value });
  return {
    key: nodeKey(prefix, id),
    value: Buffer.from(text),
    createRevision: 1,
    modRevision: 1,
    version: 1,
    lease: "9",
  };
}

const facts = {
  version: "1",
  addresses: [":1"],
  admin: ":2",
  revision: 4,
  rejected: [],
  source: "live",
  startedAt: "",
};

function watching() {
  const events = new EventBus({ wall: () => 0 });
  const self = { id: "me" };
  const nodes = new Nodes(prefix, () => self.id, events);
  const told = (): unknown[] => {
    const found: unknown[] = [];
    for (let at = events.beforeOldest, event = events.after(at); event !== undefined; event = events.after(at)) {
      found.push(JSON.parse(event.data));
      at = event.id;
    }
    return found;
  };
  return { nodes, told, self };
}

test("gateways join, tell news of themselves and leave", () => {
  const { nodes, told } = watching();
  nodes.set(kv("a", {}));
  nodes.set(kv("a", { revision: 5 }));
  assert.deepEqual(
    nodes.all().map(({ id, revision, self }) => [id, revision, self]),
    [["a", 5, false]],
  );
  nodes.delete(nodeKey(prefix, "a"));
  assert.deepEqual(nodes.all(), []);
  assert.deepEqual(told(), [
    { id: "a", state: "joined", revision: 4 },
    { id: "a", state: "updated", revision: 5 },
    { id: "a", state: "left", revision: 5 },
  ]);
});

test("this gateway knows itself, also when it had to take another id", () => {
  const { nodes, self } = watching();
  nodes.set(kv("me", {}));
  nodes.set(kv("other", {}));
  const selves = (): string[] =>
    nodes
      .all()
      .filter((node) => node.self)
      .map(({ id }) => id);
  assert.deepEqual(selves(), ["me"]);
  self.id = "other";
  assert.deepEqual(selves(), ["other"]);
});

for (const [what, value] of [
  ["no JSON", "hello"],
  ["no node", "{}"],
  ["that of another key", JSON.stringify({ id: "b", ...facts })],
] as const) {
  test(`a value that is ${what} makes the gateway one that left`, () => {
    const { nodes, told } = watching();
    nodes.set(kv("a", {}));
    nodes.set(kv("a", value));
    nodes.set(kv("a", value));
    assert.deepEqual(nodes.all(), []);
    assert.equal(told().length, 2);
  });
}

test("who listens is told of each change until he stops", () => {
  const { nodes } = watching();
  let told = 0;
  const stop = nodes.listen(() => told++);
  nodes.set(kv("a", {}));
  nodes.delete(nodeKey(prefix, "nobody"));
  nodes.delete(nodeKey(prefix, "a"));
  assert.equal(told, 2);
  stop();
  nodes.set(kv("a", {}));
  assert.equal(told, 2);
});
