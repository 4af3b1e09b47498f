import assert from "node:assert/strict";
import { test } from "node:test";
import { problem, run } from "./cli.fixtures.ts";

const health = { metrics: { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 44.6 } };
const a = {
  ...{ address: "a:1", status: "UP", weight: 1, zone: "z", leased: true, source: "registry", health },
  ...{ state: "unhealthy", reason: "3 checks failed: GET /healthz answered 500", since: "2025-12-31T23:57:30.000Z" },
};
const b = {
  ...{ address: "b:1", status: "UP", weight: 0, leased: false, held: true, source: "registry" },
  ...{ state: "held", reason: "it vanished", since: "2025-12-31T23:59:59.000Z", until: "2026-01-01T00:00:59.000Z" },
};
const c = { address: "c:1", status: "DRAINING", weight: 1, leased: true, source: "registry", state: "draining" };

test("instances shows those of all services, each with its one state and why", async (t) => {
  const all = await run(t, { "GET /v1/instances": [200, { services: { users: [a, b], orders: [c] } }] }, ["instances"]);
  assert.deepEqual(all.out.split("\n"), [
    "SERVICE  ADDRESS  STATUS    STATE      FOR     WEIGHT  ZONE  VERSION  SOURCE    CPU  MEMORY  LATENCY  WHY",
    "users    a:1      UP        unhealthy  2m 30s  1       z     -        leased    65%  72%     45 ms    3 checks failed: GET /healthz answered 500",
    "users    b:1      UP        held       1s      0       -     -        registry  -    -       -        it vanished, until 00:00:59Z",
    "orders   c:1      DRAINING  draining   -       1       -     -        leased    -    -       -",
    "",
  ]);
});

test("of one service it prints what the gateway says, for programs as it is", async (t) => {
  const one = await run(t, { "GET /v1/instances/users": [200, { instances: [a] }] }, [
    "instances",
    "users",
    "-o",
    "json",
  ]);
  assert.deepEqual([one.code, JSON.parse(one.out)], [0, { instances: [a] }]);
});

test("a service that is not there ends it in 1", async (t) => {
  const answers = { "GET /v1/instances/user": problem(404, "There is no service user.") };
  assert.equal((await run(t, answers, ["instances", "user"])).code, 1);
});
