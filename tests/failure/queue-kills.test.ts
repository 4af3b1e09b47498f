import assert from "node:assert/strict";
import test from "node:test";
import { redisMissing, startRedis } from "../kit/redis.ts";
import { newestFirst } from "../kit/scope.ts";
import { killQueue } from "./queue-kills-run.ts";
import { steps } from "./queue-ledger.ts";

const skip = redisMissing;

test("a gateway that is killed at any step loses no request that it has accepted, and sends none twice but with its key", async (t) => {
  const report = await killQueue(newestFirst(t), { messages: 120, kills: steps.length, seed: 7, workers: 1 });
  t.diagnostic(JSON.stringify(report));
  assert.ok(report.accepted >= 120 && report.dead > 0 && report.waitedAfterKills > 0, JSON.stringify(report));
  assert.ok(Object.keys(report.kills).length >= steps.length - 2, JSON.stringify(report.kills));
});

test(
  "two gateways that share a queue in Redis lose nothing when one of them is killed at any step, or Redis",
  { skip },
  async (t) => {
    const scope = newestFirst(t);
    const redis = await startRedis(scope);
    const report = await killQueue(scope, { messages: 120, kills: steps.length, seed: 7, workers: 1, redis });
    t.diagnostic(JSON.stringify(report));
    assert.ok(report.accepted >= 120 && report.dead > 0 && report.redisKills === 3, JSON.stringify(report));
  },
);
