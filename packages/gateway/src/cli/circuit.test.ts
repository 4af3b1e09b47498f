import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeAdmin, problem, run, startCommand } from "./cli.fixtures.ts";

const since = "2025-12-31T23:57:30.000Z";
const whole = { service: "users", state: "closed", since };
const tripped = {
  ...{ service: "users", instance: "a:1", state: "open", reason: "5 failures in a row", since },
  until: "2026-01-01T00:00:04.000Z",
};
const held = { service: "users", instance: "b:1", state: "closed", forced: "closed", by: "ann", since };

test("circuit lists breakers with their state, who holds them and why", async (t) => {
  const answers = { "GET /v1/circuits": [200, { circuits: [whole, tripped, held] }] } as const;
  const { code, out } = await run(t, answers, ["circuit"]);
  assert.equal(code, 0);
  assert.deepEqual(out.split("\n"), [
    "SERVICE  INSTANCE  STATE         FOR     HELD BY  WHY",
    "users    (all)     closed        2m 30s  -",
    "users    a:1       open          2m 30s  -        5 failures in a row, until 00:00:04Z",
    "users    b:1       closed, held  2m 30s  ann",
    "",
  ]);
  const none = await run(t, { "GET /v1/circuits/users": [200, { circuits: [] }] }, ["circuit", "users"]);
  assert.match(none.out, /^There are no circuit breakers: /);
});

for (const [args, path, state] of [
  [["users", "open"], "PUT /v1/circuits/users", "open"],
  [["users", "10.0.0.5:3001", "closed"], "PUT /v1/circuits/users/10.0.0.5:3001", "closed"],
  [["users", "[::1]:80", "auto"], "PUT /v1/circuits/users/[::1]:80", "auto"],
] as const) {
  test(`circuit ${args.join(" ")} says so to the gateway, with who says it, and prints what it is now`, async (t) => {
    const { address, asked } = await fakeAdmin(t, { [path]: [200, held] });
    const { done, said } = await startCommand(t, address, ["circuit", ...args, "-o", "json"]);
    assert.equal(await done, 0, said.err);
    assert.deepEqual(JSON.parse(said.out), held);
    assert.deepEqual(asked[0]?.body, { state });
    assert.ok((asked[0]?.headers["x-headgate-author"] ?? "") !== "");
  });
}

test("what the gateway does not know ends it in 1, and what makes no sense in 2", async (t) => {
  const gone = { "PUT /v1/circuits/orders": problem(404, "There is no service orders.") };
  assert.equal((await run(t, gone, ["circuit", "orders", "open"])).code, 1);
  for (const args of [
    ["users", "ajar"],
    ["users", "a:1"],
    ["users", "a:1", "ajar"],
    ["users", "open", "closed"],
  ]) {
    const wrong = await run(t, {}, ["circuit", ...args]);
    assert.equal(wrong.code, 2, args.join(" "));
  }
});
