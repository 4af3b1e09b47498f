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

test("instances shows those of all services, or of one, with their health", async (t) => {
  const health = { metrics: { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 44.6 } };
  const a = { address: "a:1", status: "UP", weight: 1, zone: "z", leased: true, source: "registry", health };
  const b = { address: "b:1", status: "UP", weight: 0, leased: false, held: true, source: "registry" };
  const answers = {
    "GET /v1/instances": [200, { services: { users: [a, b] } }],
    "GET /v1/instances/users": [200, { instances: [a] }],
  } as const;
  const all = await run(t, answers, ["instances"]);
  assert.deepEqual(all.out.split("\n"), [
    "SERVICE  ADDRESS  STATUS        WEIGHT  ZONE  VERSION  SOURCE    CPU  MEMORY  LATENCY",
    "users    a:1      UP            1       z     -        leased    65%  72%     45 ms",
    "users    b:1      UP, vanished  0       -     -        registry  -    -       -",
    "",
  ]);
  const one = await run(t, answers, ["instances", "users", "-o", "json"]);
  assert.deepEqual([one.code, JSON.parse(one.out)], [0, { instances: [a] }]);
  const none = await run(t, { "GET /v1/instances/user": problem(404, "There is no service user.") }, [
    "instances",
    "user",
  ]);
  assert.equal(none.code, 1);
});
