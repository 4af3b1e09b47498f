import assert from "node:assert/strict";
import { test } from "node:test";
import { problem, run, unchanged } from "./cli.fixtures.ts";

const time = "2026-01-02T03:04:05.678Z";
const changes = [
  {
    id: "c3",
    revision: 9,
    time,
    author: "ann",
    message: "two\nlines",
    action: "unconfirmed",
    of: "c2",
    partial: true,
    writes: ["a", "b", "c", "d", "e"].map((name) => ({ kind: "routes", name, action: "delete", before: {} })),
  },
  {
    id: "c1",
    revision: 7,
    time,
    author: "bob",
    message: "",
    action: "put",
    writes: [{ kind: "routes", name: "a", action: "update", before: { timeout: "1s" }, after: { timeout: "2s" } }],
  },
];

test("history says who changed what and when", async (t) => {
  const { asked, code, out } = await run(t, { "GET /v1/changes": [200, { changes }] }, ["history"]);
  assert.deepEqual([code, asked[0]?.query], [0, {}]);
  assert.deepEqual(out.split("\n"), [
    "REVISION  TIME                  AUTHOR  ACTION                       CHANGE  RESOURCES                                MESSAGE",
    "9         2026-01-02 03:04:05Z  ann     unconfirmed of c2 (in part)  c3      routes/a, routes/b, routes/c and 2 more  two lines",
    "7         2026-01-02 03:04:05Z  bob     put                          c1      routes/a",
    "",
  ]);
});

test("the history of one resource shows what changed of it", async (t) => {
  const args = ["history", "routes", "a", "--limit", "5", "--secrets"];
  const { asked, out } = await run(t, { "GET /v1/changes": [200, { changes }] }, args);
  assert.deepEqual(asked[0]?.query, { limit: "5", kind: "routes", name: "a", secrets: "true" });
  assert.deepEqual(out.split("\n"), [
    "revision 9  2026-01-02 03:04:05Z  ann  unconfirmed of c2 (in part)  c3  two lines",
    "- routes/a",
    "revision 7  2026-01-02 03:04:05Z  bob  put  c1",
    "~ routes/a",
    '    timeout: "1s" -> "2s"',
    "",
  ]);
});

test("a change whose values were not recorded says so instead of that nothing changed", async (t) => {
  const truncated = { ...changes[1], truncated: true, writes: [{ kind: "routes", name: "a", action: "update" }] };
  const { out } = await run(t, { "GET /v1/changes": [200, { changes: [truncated] }] }, ["history", "route", "a"]);
  assert.match(out, /\n~ routes\/a\n {4}the change was too large to record its values\n$/);
});

test("history without changes says so; -o json is the gateway's answer", async (t) => {
  const none = await run(t, { "GET /v1/changes": [200, { changes: [] }] }, ["history", "routes"]);
  assert.deepEqual([none.code, none.out], [0, "No change is recorded.\n"]);
  const json = await run(t, { "GET /v1/changes": [200, { changes }] }, ["history", "-o", "json"]);
  assert.deepEqual(JSON.parse(json.out), { changes });
});

test("rollback sends the revision and prints what differs", async (t) => {
  const answer = {
    ...unchanged,
    revision: 43,
    change: "c4",
    transactions: 1,
    diff: [{ kind: "routes", name: "a", action: "delete", changes: [{ path: "", before: {} }] }],
  };
  const args = ["rollback", "7", "--message", "back", "--wait", "1s"];
  const { asked, code, out } = await run(t, { "POST /v1/rollback": [200, answer] }, args);
  assert.deepEqual([code, out], [0, "- routes/a\n1 deleted: revision 43 (change c4)\n"]);
  assert.deepEqual(asked[0]?.body, { revision: 7, message: "back", wait: "1s" });
  const waited = { complete: false, nodes: [], reason: "No gateway reports to this store." };
  const behind = await run(t, { "POST /v1/rollback": [200, { ...answer, waited }] }, args);
  assert.equal(behind.code, 1);
});

test("a revision that is forgotten or does not exist yet ends in 1", async (t) => {
  for (const refusal of [
    problem(409, "Gone.", { code: "history-gone" }),
    problem(400, "Not yet.", { code: "bad-request" }),
  ]) {
    assert.equal((await run(t, { "POST /v1/rollback": refusal }, ["rollback", "7"])).code, 1);
  }
});

test("confirm keeps the change that is named, or the one that waits", async (t) => {
  const answers = { "POST /v1/confirm": [200, { change: "c7" }] } as const;
  const named = await run(t, answers, ["confirm", "c7"]);
  assert.deepEqual([named.code, named.out, named.asked[0]?.body], [0, "Change c7 stays.\n", { change: "c7" }]);
  assert.deepEqual((await run(t, answers, ["confirm"])).asked[0]?.body, {});
  const none = await run(t, { "POST /v1/confirm": problem(404, "No change waits for confirmation.") }, ["confirm"]);
  assert.deepEqual([none.code, none.err], [1, "headgate: No change waits for confirmation.\n"]);
});

for (const args of [
  ["rollback", "x"],
  ["rollback", "0"],
  ["rollback"],
  ["history", "--limit", "all"],
  ["history", "things"],
]) {
  test(`headgate ${args.join(" ")} is called wrongly: 2`, async (t) => {
    const { code, asked, err } = await run(t, {}, args);
    assert.deepEqual([code, asked], [2, []]);
    assert.notEqual(err, "");
  });
}
