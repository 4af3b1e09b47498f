import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { GatewayError } from "./core/errors.ts";
import { defineMiddleware, type Middleware } from "./proxy/middleware.ts";
import { createTestChain, FakeClock, runMiddleware } from "./testing.ts";

const tag = defineMiddleware({
  name: "tag",
  config: z.strictObject({ value: z.string() }),
  build: (settings, kit) => ({
    handle: async (exchange, next) => {
      exchange.request.headers.set("x-tag", `${exchange.request.headers.get("x-tag") ?? ""}${settings.value}`);
      kit.counter("tags_total", { value: settings.value }).add(1);
      await next();
      exchange.response.headers.append("x-tag", settings.value);
      exchange.onFinish(() => kit.accessLog.write(`${exchange.response.status} ${kit.identity}`));
    },
    attempt: (attempt, next) => {
      attempt.setHeader("X-Try", String(attempt.number));
      return next();
    },
  }),
});

const step = (handle: Middleware) =>
  defineMiddleware({ name: "inline", config: z.looseObject({}), build: () => handle });

test("runs a middleware around a scripted service", async () => {
  const run = await runMiddleware(
    tag,
    { value: "a" },
    { url: "/p?q=1", method: "POST", body: "x", headers: { "X-Tag": "client" } },
    {
      upstream: ({ request }) => ({
        status: 201,
        headers: { seen: request.headers.get("x-tag") ?? "" },
        body: '{"a":1}',
      }),
    },
  );
  assert.equal(run.response.status, 201);
  assert.equal(run.response.headers.get("seen"), "clienta");
  assert.equal(run.response.headers.get("x-tag"), "a");
  assert.deepEqual(run.response.json(), { a: 1 });
  assert.equal(run.exchange.request.path, "/p");
  assert.equal(run.exchange.request.queryParam("q"), "1");
  assert.equal(run.exchange.request.headers.get("host"), "api.example.com");
  assert.deepEqual([run.exchange.requestBytes, run.exchange.responseBytes, run.nextCalls], [1, 7, 1]);
  assert.deepEqual(run.logLines, ["201 test"]);
  assert.equal(run.attemptHeaders.get("x-try"), "1");
  assert.equal(run.error, undefined);
});

test("runs several steps, the first outermost", async () => {
  const chain = createTestChain([
    [tag, { value: "a" }],
    [tag, { value: "b" }],
  ]);
  const run = await chain.run();
  assert.equal(run.exchange.request.headers.get("x-tag"), "ab");
  assert.deepEqual(run.response.headers.getAll("x-tag"), ["b", "a"]);
  assert.deepEqual(run.logLines, ["200 test/1", "200 test"]);
  await chain.run();
  assert.equal(chain.counters.get('tags_total{value="a"}'), 2);
});

test("answers a GatewayError as a problem with its fields", async () => {
  const failing = step(() => {
    throw new GatewayError("HG_RATE_LIMITED", { detail: "Later.", headers: { "retry-after": "1" } });
  });
  const run = await runMiddleware(failing, undefined);
  assert.equal(run.response.status, 429);
  assert.equal(run.response.headers.get("retry-after"), "1");
  assert.equal(run.nextCalls, 0);
  assert.deepEqual(run.response.json(), {
    type: "urn:headgate:error:rate-limited",
    title: "Too many requests",
    status: 429,
    code: "HG_RATE_LIMITED",
    detail: "Later.",
    requestId: "generated-id",
  });
});

for (const [name, failing] of [
  ["throws anything else", step(() => Promise.reject(new TypeError("bug")))],
  ["neither answers nor calls next()", step(() => {})],
  [
    "calls next() twice",
    step(async (_, next) => {
      await next();
      await next();
    }),
  ],
] as const) {
  test(`a step that ${name} ends in HG_INTERNAL`, async () => {
    const run = await runMiddleware(failing, {});
    assert.equal(run.response.status, 500);
    assert.equal(run.error?.code, "HG_INTERNAL");
  });
}

test("a body over what a step allows does not reach the service", async () => {
  const limited = step((exchange, next) => {
    exchange.request.limitBody(3);
    return next();
  });
  for (const framing of ["length", "chunked"] as const) {
    const run = await runMiddleware(limited, {}, { method: "POST", body: "four", framing });
    assert.equal(run.response.status, 413);
    assert.equal(run.exchange.requestBytes, 0);
  }
});

test("settings that do not validate are an error that names them", async () => {
  await assert.rejects(runMiddleware(tag, { value: 1 }), /tag\.value/);
});

test("time moves only when told", async () => {
  const clock = new FakeClock(5, 10);
  const slow = step(async (_, next) => {
    clock.advance(3);
    await next();
  });
  const { exchange } = await runMiddleware(slow, {}, {}, { clock });
  assert.deepEqual([exchange.startedMs, exchange.upstreamStartMs, exchange.finishedMs], [5, 8, 8]);
  assert.equal(clock.wall(), 13);
});
