import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../../tests/kit/fake-timers.ts";
import { redisMissing, startRedis, type Redis } from "../../../../../../tests/kit/redis.ts";
import { ManualScope } from "../../../../../../tests/kit/scope.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { silentLog, type Log } from "../../../core/log.ts";
import { systemTimers, type Timers } from "../../../core/timers.ts";
import { queueModelSuite } from "../queue-model.suite.ts";
import { failure, hourMs, newMessage, plenty } from "../queue.fixtures.ts";
import { queueSuite } from "../queue.suite.ts";
import type { QueueLimits } from "../queue.ts";
import { RedisConnection } from "./connection.ts";
import { RedisQueue } from "./redis-queue.ts";

const skip = redisMissing ?? false;
const scope = new ManualScope();
let redis: Redis;

before(async () => {
  if (redisMissing === undefined) redis = await startRedis(scope);
});
after(() => scope.close());

let opened = 0;

interface Connecting {
  readonly server?: Redis;
  readonly prefix: string;
  readonly consumer?: string;
  readonly limits?: QueueLimits;
  readonly timers?: Timers;
  readonly log?: Log;
}

async function connect(
  t: TestContext,
  { server = redis, prefix, consumer = "a", limits = plenty, ...rest }: Connecting,
) {
  const connection = new RedisConnection({ url: server.url, timers: systemTimers, log: silentLog, ...rest });
  t.after(() => connection.close());
  await waitFor(() => connection.send(["PING"]).catch(() => undefined), { what: "the connection" });
  return new RedisQueue({ connection, limits, prefix, consumer });
}

/** A queue of its own in the Redis of this file. */
async function open(t: TestContext, limits: QueueLimits) {
  const prefix = `test:{${++opened}}:`;
  const queue = await connect(t, { prefix, limits });
  return { prefix, queue, reopen: () => connect(t, { prefix, limits, consumer: "b" }) };
}

/** The keys below a prefix, without it. */
async function keysOf(prefix: string): Promise<string[]> {
  const answer = await redis.command("KEYS", `${prefix.replaceAll(/[{}]/g, "?")}*`);
  return answer.split("\r\n").flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []));
}

queueSuite("redis", open, { skip });
queueModelSuite("redis", open, 40, { skip });

test("of messages that are gone nothing is left but counts, and keys that end by themselves", { skip }, async (t) => {
  const { queue, prefix } = await open(t, plenty);
  const ids: string[] = [];
  for (let count = 0; count < 12; count++) {
    const once = { scope: `k${count}`, request: "r" };
    const message = newMessage({ service: `s${count % 3}`, ...(count % 2 === 0 ? { once } : {}) });
    await queue.enqueue(message);
    ids.push(message.id);
  }
  const taken = (await Promise.all(["s0", "s1", "s2"].map((name) => queue.reserve(name, 4, Infinity, hourMs)))).flat();
  for (const [at, { lease }] of taken.entries()) {
    if (at % 3 === 0) await queue.ack(lease);
    else if (at % 3 === 1) await queue.nack(lease, hourMs, failure("503"));
    else await queue.bury(lease, "refused", failure("404"));
  }
  await queue.purge({}, 100);
  assert.deepEqual((await queue.list({ limit: 100 })).messages, []);
  const left = await keysOf(prefix);
  assert.ok(
    left.every((key) => key === "counters" || key === "done" || key.startsWith("once:")),
    left.join(),
  );
  const kept = left.filter((key) => key.startsWith("once:"));
  assert.ok(kept.length > 0);
  for (const key of kept) assert.match(await redis.command("PTTL", prefix + key), /^:[1-9]/, key);
  assert.equal(ids.length, 12);
});

test("a gateway that dies leaves its messages to the others, once their time is over", { skip }, async (t) => {
  const { queue, prefix } = await open(t, plenty);
  const other = await connect(t, { prefix, consumer: "b" });
  const messages = Array.from({ length: 6 }, () => newMessage());
  for (const message of messages) await queue.enqueue(message);
  const [mine, dying] = [await other.reserve("s", 3, Infinity, hourMs), await queue.reserve("s", 3, Infinity, 50)];
  assert.deepEqual([mine.length, dying.length], [3, 3]);
  assert.deepEqual(await other.reserve("s", 6, Infinity, hourMs), []);
  const got = new Set<string>();
  await waitFor(async () => {
    for (const { lease } of await other.reserve("s", 6, Infinity, hourMs)) got.add(lease.id);
    return got.size === 3;
  });
  assert.deepEqual(got, new Set(dying.map(({ lease }) => lease.id)));
});

test("a gateway that is started again takes up what it had, and nothing of the others'", { skip }, async (t) => {
  const { queue, prefix } = await open(t, plenty);
  const other = await connect(t, { prefix, consumer: "b" });
  const [mine, theirs] = [newMessage(), newMessage()];
  for (const message of [mine, theirs]) await queue.enqueue(message);
  const [lease] = (await queue.reserve("s", 1, Infinity, hourMs)).map((taken) => taken.lease);
  assert.equal((await other.reserve("s", 1, Infinity, hourMs)).length, 1);
  assert.deepEqual(await other.due(), []);
  const again = await connect(t, { prefix, consumer: "a" });
  assert.deepEqual(await again.due(), [{ service: "s", inMs: 0 }]);
  const taken = await again.reserve("s", 5, Infinity, hourMs);
  assert.deepEqual(
    taken.map((one) => one.lease.id),
    [lease?.id],
  );
  assert.deepEqual(await again.due(), []);
});

test("a Redis that forgets scripts, groups or everything is served on", { skip }, async (t) => {
  const { queue, prefix } = await open(t, plenty);
  await queue.enqueue(newMessage());
  await redis.command("SCRIPT", "FLUSH");
  await queue.enqueue(newMessage());
  const [first] = await queue.reserve("s", 1, Infinity, 1);
  assert.match(await redis.command("XGROUP", "DESTROY", `${prefix}ready:s`, "gateways"), /^:1/);
  const got = new Set<string>();
  await waitFor(async () => {
    for (const { lease } of await queue.reserve("s", 5, Infinity, hourMs)) got.add(lease.id);
    return got.size === 2;
  });
  assert.ok(got.has(first?.lease.id ?? ""));
  await redis.command("FLUSHALL");
  assert.deepEqual(await queue.due(), []);
  await queue.enqueue(newMessage());
  assert.equal((await queue.reserve("s", 5, Infinity, hourMs)).length, 1);
});

test(
  "while Redis is away calls are refused at once, and go through when it is back, with all that was there",
  { skip },
  async (t) => {
    const server = await startRedis(t);
    const said: string[] = [];
    const log: Log = { ...silentLog, error: (_, text) => said.push(text), info: (_, text) => said.push(text) };
    const queue = await connect(t, { server, prefix: "p:", log });
    const message = newMessage();
    await queue.enqueue(message);
    await server.kill();
    await waitFor(() =>
      queue.stats().then(
        () => false,
        () => true,
      ),
    );
    await assert.rejects(queue.enqueue(newMessage()), {
      name: "QueueError",
      code: "away",
      message: /^Redis is away\. /,
    });
    await server.restart();
    await waitFor(
      () =>
        queue.stats().then(
          () => true,
          () => false,
        ),
      { what: "Redis to be back" },
    );
    assert.equal((await queue.reserve("s", 1, Infinity, hourMs))[0]?.lease.id, message.id);
    assert.match(said.join("\n"), /^Redis is away: .*\nRedis is back$/);
  },
);

test(
  "a Redis that takes calls and does not answer is given up after five seconds, and taken up again",
  { skip },
  async (t) => {
    const server = await startRedis(t);
    const clock = new FakeClock();
    const queue = await connect(t, { server, prefix: "p:", timers: fakeTimers(clock) });
    server.stop();
    const waiting = queue.enqueue(newMessage());
    const refused = assert.rejects(waiting, { code: "away" });
    clock.advance(4_999);
    clock.advance(1);
    await refused;
    await assert.rejects(queue.stats(), { code: "away", message: /did not answer within 5 s/ });
    server.cont();
    await waitFor(
      () =>
        queue.stats().then(
          () => true,
          () => false,
        ),
      { what: "Redis to answer" },
    );
  },
);

test("a Redis without memory refuses messages and says why; what makes room goes through", { skip }, async (t) => {
  const server = await startRedis(t, ["--maxmemory", "5mb"]);
  const queue = await connect(t, { server, prefix: "p:" });
  let stored = 0;
  await assert.rejects(
    async () => {
      for (; stored < 100; stored++) await queue.enqueue(newMessage({ body: Buffer.alloc(200_000, "x") }));
    },
    { code: "away", message: /^Redis refuses: OOM/ },
  );
  assert.ok(stored > 3);
  const taken = await queue.reserve("s", 3, Infinity, hourMs);
  const [first, second, third] = taken.map(({ lease }) => lease);
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await queue.ack(first);
  await queue.nack(second, hourMs, failure("503"));
  await queue.bury(third, "refused", failure("404"));
  assert.equal(await queue.purge({ state: "waiting" }, 2), 2);
  const { waiting, dead, bytes } = await queue.stats();
  assert.deepEqual([waiting, dead, bytes], [stored - 4, 1, (stored - 4) * 200_060]);
  await queue.enqueue(newMessage({ body: Buffer.alloc(200_000, "x") }));
});

test("a Redis that may lose messages is warned of", { skip }, async (t) => {
  const server = await startRedis(t, ["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
  const said: string[] = [];
  await connect(t, { server, prefix: "p:", log: { ...silentLog, warn: (_, text) => said.push(text) } });
  await waitFor(() => said.length === 2);
  assert.match(said.join("\n"), /appendonly yes[^]*noeviction/);
});
