import assert from "node:assert/strict";
import test from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";

const limit = 100;

function start(t: test.TestContext, settings: object, workers: number): Promise<GatewayProcess> {
  const route = { match: { path: "/*" }, use: [{ "rate-limit": settings }], respond: { status: 200, body: "through" } };
  return startGateway(t, { document: { routes: { limited: route } }, workers });
}

test("four workers together let exactly the limit through, under load far above it", async (t) => {
  const gateway = await start(t, { limit, per: "1s", by: "route" }, 4);
  const startedMs = performance.now();
  const untilMs = startedMs + 2_500;
  const clients = Array.from({ length: 16 }, async () => {
    const client = await RawClient.connect(t, gateway.port);
    const count = { passed: 0, limited: 0 };
    const batch = requestText("/").repeat(8);
    while (performance.now() < untilMs) {
      client.send(batch);
      for (let i = 0; i < 8; i++) {
        const { status } = await client.response();
        if (status === 200) count.passed++;
        else if (status === 429) count.limited++;
        else assert.fail(`status ${status}`);
      }
    }
    client.close();
    return count;
  });
  const counts = await Promise.all(clients);
  const seconds = (performance.now() - startedMs) / 1000;
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  const limited = counts.reduce((sum, count) => sum + count.limited, 0);
  // A full burst at the start, then the sustained rate.
  assert.ok(passed <= limit * (seconds + 1) + 1, `${passed} passed in ${seconds} s`);
  assert.ok(passed >= limit * seconds * 0.8, `only ${passed} passed in ${seconds} s`);
  assert.ok(limited > passed, `the load was not above the limit: ${limited} refused, ${passed} passed`);
  assert.equal(await gateway.metric("headgate_rate_limited_total", { route: "limited" }), limited);
});

test("a refused request says when to come again", async (t) => {
  const gateway = await start(t, { limit: 2, per: "1h" }, 1);
  for (let i = 0; i < 2; i++) assert.equal((await request(t, gateway.port, "/")).status, 200);
  const refused = await request(t, gateway.port, "/");
  assert.equal(refused.status, 429);
  assert.equal((JSON.parse(refused.text) as { code: string }).code, "HG_RATE_LIMITED");
  assert.ok(Number(refused.get("retry-after")) > 0);
  assert.match(refused.get("ratelimit") ?? "", /r=0/);
  assert.match(refused.get("ratelimit-policy") ?? "", /q=2/);
});

test("a limit outlives a reload", async (t) => {
  const gateway = await start(t, { limit: 1, per: "1h", by: "route" }, 2);
  assert.equal((await request(t, gateway.port, "/")).status, 200);
  assert.equal((await request(t, gateway.port, "/")).status, 429);
  const route = {
    match: { path: "/*" },
    use: [{ "rate-limit": { limit: 1, per: "1h", by: "route" } }],
    respond: { status: 200, body: "other" },
  };
  await gateway.reload({ routes: { limited: route } });
  assert.equal((await request(t, gateway.port, "/")).status, 429);
});
