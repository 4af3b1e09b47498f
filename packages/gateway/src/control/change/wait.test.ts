import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "../../../../../tests/kit/fake-timers.ts";
import { anna, rig } from "./change.fixtures.ts";
import type { ApplyResult } from "./change.ts";
import type { NodeState } from "./wait.ts";

const documents = [{ routes: { a: { n: 1 } } }];

function node(id: string, revision: number, rejected: NodeState["rejected"] = []): NodeState {
  return { id, revision, rejected };
}

/** An apply that waits, and what it came to so far. */
async function waiting(nodes: NodeState[]) {
  const made = rig();
  made.nodes = nodes;
  let result: ApplyResult | undefined;
  const applied = made.changes.apply(documents, { ...anna, waitMs: 10_000 });
  const done = applied.then((answer) => void (result = answer));
  await settled();
  return { ...made, rig: made, outcome: () => result?.waited, done, revision: made.store.revision };
}

test("waiting ends when every live gateway runs the revision", async () => {
  const { rig, outcome, revision, done, clock } = await waiting([node("one", 0), node("two", 0)]);
  rig.nodes = [node("one", revision), node("two", revision - 1)];
  rig.tellNodes();
  await settled();
  assert.equal(outcome(), undefined);
  rig.nodes = [node("one", revision), node("two", revision + 5)];
  rig.tellNodes();
  await done;
  assert.deepEqual(outcome(), {
    complete: true,
    nodes: [
      { id: "one", revision, ok: true },
      { id: "two", revision: revision + 5, ok: true },
    ],
  });
  assert.equal(clock.pending, 0);
});

test("after the time it names who does not run it", async () => {
  const { rig, outcome, revision, done, clock } = await waiting([node("one", 0), node("two", 1)]);
  rig.nodes = [node("one", revision), node("two", 1)];
  clock.advance(10_000);
  await done;
  assert.deepEqual(outcome(), {
    complete: false,
    nodes: [
      { id: "one", revision, ok: true },
      { id: "two", revision: 1, ok: false, reason: "It still ran revision 1 after 10.0 s." },
    ],
  });
});

test("gateways that end meanwhile no longer count, those that come do", async () => {
  const { rig, outcome, revision, done } = await waiting([node("one", 0), node("two", 0)]);
  rig.nodes = [node("one", revision), node("three", 0)];
  rig.tellNodes();
  await settled();
  assert.equal(outcome(), undefined);
  rig.nodes = [node("one", revision)];
  rig.tellNodes();
  await done;
  assert.equal(outcome()?.complete, true);
});

test("a gateway that rejected what was written ends the wait, with its reason; older rejections do not concern it", async () => {
  const { rig, outcome, revision, done } = await waiting([node("one", 0)]);
  const rejected = { kind: "routes", name: "a", revision, message: "its timeout is no duration." };
  const others = [
    { ...rejected, name: "other" },
    { ...rejected, revision: revision - 1 },
  ];
  rig.nodes = [node("one", revision, [...others, rejected]), node("two", revision, others)];
  rig.tellNodes();
  await done;
  assert.deepEqual(outcome(), {
    complete: false,
    nodes: [
      { id: "one", revision, ok: false, reason: "It rejected routes/a: its timeout is no duration." },
      { id: "two", revision, ok: true },
    ],
  });
});

test("no live gateway at all is said", async () => {
  const { outcome, done, clock } = await waiting([]);
  clock.advance(10_000);
  await done;
  const { complete, nodes, reason } = outcome() ?? {};
  assert.deepEqual([complete, nodes], [false, []]);
  assert.match(reason ?? "", /No gateway reports/);
});

test("where nothing differs it waits for what is there already", async () => {
  const made = rig();
  const { revision } = await made.changes.apply(documents, anna);
  made.store.put("/services/users/a", "active");
  const missing = { kind: "routes", name: "a", revision, message: "no." };
  made.nodes = [node("one", revision), node("two", revision, [missing])];
  const { change, waited } = await made.changes.apply(documents, { ...anna, waitMs: 1_000 });
  assert.equal(change, null);
  assert.deepEqual(
    waited?.nodes.map(({ id, ok }) => [id, ok]),
    [
      ["one", true],
      ["two", false],
    ],
  );
});
