/**
 * `node tests/failure/queue-kills.ts --messages 1000`: exit 1 when a killed gateway lost or mixed up a message. With
 * `--redis` two gateways share a queue in Redis, and Redis is killed too.
 */
import { parseArgs } from "node:util";
import { startRedis } from "../kit/redis.ts";
import { ManualScope } from "../kit/scope.ts";
import { killQueue } from "./queue-kills-run.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000" },
    kills: { type: "string", default: "60" },
    redis: { type: "boolean", default: false },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

const scope = new ManualScope();
try {
  console.log(`seed ${values.seed}`);
  const { messages, kills, seed } = values;
  const report = await killQueue(scope, {
    ...{ messages: Number(messages), kills: Number(kills), seed: Number(seed) },
    ...(values.redis ? { redis: await startRedis(scope), leavesOneDead: true } : {}),
  });
  console.log(JSON.stringify(report, undefined, 2));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await scope.close();
}
