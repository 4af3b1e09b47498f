import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { fakeAdmin, problem, run, runAgainst, startCommand, type Answer } from "./cli.fixtures.ts";

const put = "PUT /v1/instances/users/10.0.0.5:3001";
const remove = "DELETE /v1/instances/users/10.0.0.5:3001";
const fine: Answer = [200, { ttl: "9s" }];
const args = ["register", "users", "10.0.0.5:3001", "--ttl", "9s", "--weight", "3", "--zone", "a"];

test("register announces every third of the time, says when the gateway is away, and takes the instance away", async (t) => {
  const away = problem(503, "The store does not answer.");
  const answers = { [put]: [fine, fine, away, away, fine], [remove]: [200, {}] as const };
  const { asked, address } = await fakeAdmin(t, answers);
  const { done, said, clock, waits, interrupt } = await startCommand(t, address, args);
  for (const [count, delayMs] of [
    [1, 3_000],
    [2, 3_000],
    [3, 1_000],
    [4, 1_000],
    [5, 3_000],
  ] as const) {
    await waitFor(() => asked.length === count && waits().includes(delayMs) && waits().length === 1);
    if (count < 5) clock.advance(delayMs);
  }
  interrupt();
  await waitFor(() => asked.length === 6 && waits().includes(1_000) && waits().length === 1);
  clock.advance(1_000);
  assert.equal(await done, 0);
  assert.deepEqual(
    asked.map(({ method }) => method),
    ["PUT", "PUT", "PUT", "PUT", "PUT", "PUT", "DELETE"],
  );
  assert.deepEqual(asked[0]?.body, { ttl: "9s", weight: 3, zone: "a", status: "UP" });
  assert.deepEqual(asked[5]?.body, { ttl: "9s", weight: 3, zone: "a", status: "DRAINING" });
  assert.deepEqual(said.err.trim().split("\n"), [
    "users/10.0.0.5:3001 is registered.",
    "The store does not answer. It is tried again until it answers.",
    "users/10.0.0.5:3001 is registered again.",
    "users/10.0.0.5:3001 is taken away.",
  ]);
});

test("register ends where the gateway refuses, or the call makes no sense", async (t) => {
  const refused = await run(t, { [put]: problem(422, 'ttl is "1s": send 2s to 1h.') }, args);
  assert.deepEqual([refused.code, refused.err], [1, 'headgate: ttl is "1s": send 2s to 1h.\n']);
  const wrong = await runAgainst(t, "", ["register", "users", "a:1", "--weight", "-1"]);
  assert.equal(wrong.code, 2);
});
