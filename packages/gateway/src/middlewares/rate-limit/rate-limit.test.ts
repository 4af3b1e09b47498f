import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { createLimiterMemory, SharedLimiter } from "../../proxy/limiter.ts";
import { defineMiddleware } from "../../proxy/middleware.ts";
import { createTestChain, FakeClock, runMiddleware } from "../../testing.ts";
import rateLimit from "./index.ts";

test("lets the limit through at once, then at the rate", async () => {
  const chain = createTestChain([[rateLimit, { limit: 3, per: "3s" }]]);
  const status = async () => (await chain.run()).response.status;
  assert.deepEqual([await status(), await status(), await status(), await status()], [200, 200, 200, 429]);
  chain.clock.advance(999);
  assert.equal(await status(), 429);
  chain.clock.advance(1);
  assert.deepEqual([await status(), await status()], [200, 429]);
  chain.clock.advance(60_000);
  assert.deepEqual([await status(), await status(), await status(), await status()], [200, 200, 200, 429]);
});

test("burst says how many may come at once", async () => {
  const chain = createTestChain([[rateLimit, { limit: 100, burst: 2 }]]);
  const seen = [await chain.run(), await chain.run(), await chain.run()];
  assert.deepEqual(
    seen.map(({ response }) => response.status),
    [200, 200, 429],
  );
});

test("a passed answer says what is left", async () => {
  const { response } = await runMiddleware(rateLimit, { limit: 100, per: "1m" });
  assert.equal(response.headers.get("ratelimit-policy"), '"default";q=100;w=60');
  assert.equal(response.headers.get("ratelimit"), '"default";r=99;t=1');
});

test("a refused one says when to come back, does not reach the service, and is counted by route", async () => {
  const chain = createTestChain([[rateLimit, { limit: 1, per: "1m" }]], { route: "orders" });
  await chain.run();
  chain.clock.advance(500);
  const { response, error, nextCalls } = await chain.run();
  assert.equal(response.status, 429);
  assert.equal(error?.code, "HG_RATE_LIMITED");
  assert.equal(response.headers.get("retry-after"), "60");
  assert.equal(response.headers.get("ratelimit"), '"default";r=0;t=60');
  assert.equal(response.headers.get("ratelimit-policy"), '"default";q=1;w=60');
  assert.equal(nextCalls, 0);
  assert.deepEqual([...chain.counters], [['rate_limited_total{route="orders"}', 1]]);
});

test("Retry-After is at least one second", async () => {
  const chain = createTestChain([[rateLimit, { limit: 1000, burst: 1 }]]);
  await chain.run();
  assert.equal((await chain.run()).response.headers.get("retry-after"), "1");
});

for (const [per, limit, policy] of [
  ["1s", 100, '"default";q=100;w=1'],
  ["250ms", 10, '"default";q=40;w=1'],
  ["1500ms", 3, '"default";q=4;w=2'],
  ["1h", 5, '"default";q=5;w=3600'],
] as const) {
  test(`states ${limit} per ${per} in whole seconds`, async () => {
    const { response } = await runMiddleware(rateLimit, { limit, per });
    assert.equal(response.headers.get("ratelimit-policy"), policy);
  });
}

const identify = defineMiddleware({
  name: "identify",
  config: z.looseObject({}),
  build: () => (exchange, next) => {
    const name = exchange.request.headers.get("x-who");
    if (name !== undefined) exchange.consumer = { name, groups: [] };
    return next();
  },
});

for (const [name, by, requests, expected] of [
  ["client: one address", "client", [{}, {}], [200, 429]],
  [
    "consumer: each its own",
    "consumer",
    [{ headers: { "x-who": "a" } }, { headers: { "x-who": "b" } }, { headers: { "x-who": "a" } }],
    [200, 200, 429],
  ],
  ["consumer: nobody is the client", "consumer", [{}, {}, { headers: { "x-who": "192.0.2.1" } }], [200, 429, 200]],
  [
    "header: each value its own",
    { header: "x-team" },
    [{ headers: { "X-Team": "a" } }, { headers: { "x-team": "b" } }, { headers: { "x-team": "a" } }],
    [200, 200, 429],
  ],
  [
    "header: absent is the client",
    { header: "x-team" },
    [{}, {}, { headers: { "x-team": "192.0.2.1" } }],
    [200, 429, 200],
  ],
  ["route: all clients together", "route", [{ headers: { "x-who": "a" } }, { headers: { "x-who": "b" } }], [200, 429]],
] as const) {
  test(`by ${name}`, async () => {
    const chain = createTestChain([[identify], [rateLimit, { limit: 1, by }]]);
    const seen: number[] = [];
    for (const request of requests) seen.push((await chain.run(request)).response.status);
    assert.deepEqual(seen, expected);
  });
}

for (const [first, second, expected] of [
  ["192.0.2.1", "192.0.2.2", 200],
  ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 429],
  ["2001:db8:1:2::1", "2001:db8:1:3::1", 200],
] as const) {
  test(`${first} and ${second} ${expected === 429 ? "share a limit" : "have a limit each"}`, async () => {
    const limiter = new SharedLimiter(createLimiterMemory(64), new FakeClock());
    const one = createTestChain([[rateLimit, { limit: 1 }]], { client: { ip: first }, limiter });
    const two = createTestChain([[rateLimit, { limit: 1 }]], { client: { ip: second }, limiter });
    assert.equal((await one.run()).response.status, 200);
    assert.equal((await two.run()).response.status, expected);
  });
}

test("two places where it is configured do not share", async () => {
  const chain = createTestChain([
    [rateLimit, { limit: 2 }],
    [rateLimit, { limit: 1 }],
  ]);
  assert.equal((await chain.run()).response.status, 200);
  const { response } = await chain.run();
  assert.equal(response.status, 429);
});

test("of two limits the client is told of the tighter one", async () => {
  for (const limits of [
    [5, 50],
    [50, 5],
  ]) {
    const chain = createTestChain(limits.map((limit) => [rateLimit, { limit }] as const));
    const { response } = await chain.run();
    assert.deepEqual(response.headers.getAll("ratelimit"), ['"default";r=4;t=1']);
    assert.deepEqual(response.headers.getAll("ratelimit-policy"), ['"default";q=5;w=1']);
  }
});

for (const [settings, message] of [
  [{}, /rate-limit\.limit/],
  [{ limit: 0 }, /rate-limit\.limit/],
  [{ limit: 1.5 }, /rate-limit\.limit/],
  [{ limit: 1, per: "soon" }, /rate-limit\.per/],
  [{ limit: 1, burst: 0 }, /rate-limit\.burst/],
  [{ limit: 1, by: "moon" }, /rate-limit\.by/],
  [{ limit: 1, scope: "redis" }, /not available in this version; remove "scope: redis"/],
  [{ limit: 1, onRedisFailure: "allow" }, /not available in this version; remove "onRedisFailure"/],
  [5, /rate-limit/],
  [{ limit: 1, windw: 1 }, /windw/],
] as const) {
  test(`refuses ${JSON.stringify(settings)}`, async () => {
    await assert.rejects(runMiddleware(rateLimit, settings), message);
  });
}
