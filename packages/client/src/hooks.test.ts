import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import fastify from "fastify";
import { portOf } from "../../../tests/kit/ports.ts";
import { deferred, waitFor } from "../../../tests/kit/wait.ts";
import { expressMeasure, fastifyMeasure, honoMeasure, koaMeasure, measure } from "./hooks.ts";
import { createMeter, type Meter } from "./meter.ts";

test("a meter gives the mean of what ended since the last look, and counts what runs", () => {
  let nowMs = 100;
  const meter = createMeter(() => nowMs);
  assert.deepEqual([meter.isUsed, meter.inFlight, meter.takeMeanMs()], [false, 0, undefined]);
  const [first, second] = [meter.begin(), meter.begin()];
  assert.deepEqual([meter.isUsed, meter.inFlight, meter.takeMeanMs()], [true, 2, undefined]);
  nowMs = 110;
  meter.end(first);
  nowMs = 130;
  meter.end(second);
  assert.deepEqual([meter.inFlight, meter.takeMeanMs(), meter.takeMeanMs()], [0, 20, undefined]);
});

async function serve(t: { after(cleanup: () => void): void }, answered: Promise<void>, meter: Meter): Promise<string> {
  const server = createServer((request, response) => {
    void answered.then(() => response.end(request.url));
  });
  measure(server, meter);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${portOf(server)}`;
}

test("node:http: a request counts until its answer is out", async (t) => {
  const meter = createMeter();
  const answer = deferred();
  const url = await serve(t, answer.promise, meter);
  const asked = fetch(`${url}/a`);
  await waitFor(() => meter.inFlight === 1);
  answer.resolve();
  assert.equal(await (await asked).text(), "/a");
  await waitFor(() => meter.inFlight === 0);
  assert.ok((meter.takeMeanMs() ?? 0) > 0);
});

test("node:http: a request counts until its client goes away", async (t) => {
  const meter = createMeter();
  const url = await serve(t, new Promise(() => undefined), meter);
  const client = new AbortController();
  const asked = fetch(url, { signal: client.signal });
  await waitFor(() => meter.inFlight === 1);
  client.abort();
  await assert.rejects(asked);
  await waitFor(() => meter.inFlight === 0);
});

test("fastify: one line counts every route, also those registered in another plugin", async (t) => {
  const meter = createMeter();
  const answer = deferred();
  const app = fastify();
  await app.register(fastifyMeasure, { meter });
  await app.register(async (inner) => {
    inner.get("/a", async () => {
      await answer.promise;
      return { ok: true };
    });
  });
  t.after(() => app.close());
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const asked = fetch(`${url}/a`);
  await waitFor(() => meter.inFlight === 1);
  answer.resolve();
  assert.equal(await (await asked).text(), '{"ok":true}');
  await waitFor(() => meter.inFlight === 0);
  assert.ok((meter.takeMeanMs() ?? 0) > 0);
});

test("fastify: the hook needs no options", async (t) => {
  const app = fastify();
  await app.register(fastifyMeasure);
  t.after(() => app.close());
  app.get("/", () => "ok");
  assert.equal((await app.inject("/")).body, "ok");
});

// The frameworks below are not installed here; these call the hook as theirs are called.

test("express: a request counts from the hook to the response's close, and the chain goes on at once", () => {
  const meter = createMeter();
  const response = new EventEmitter();
  let nexts = 0;
  expressMeasure(meter)({}, response, () => nexts++);
  assert.deepEqual([nexts, meter.inFlight], [1, 1]);
  response.emit("close");
  assert.equal(meter.inFlight, 0);
});

test("koa: a request counts until the response's close, and the chain's promise is passed on", async () => {
  const meter = createMeter();
  const res = new EventEmitter();
  assert.equal(await koaMeasure(meter)({ res }, () => Promise.resolve("downstream")), "downstream");
  assert.equal(meter.inFlight, 1);
  res.emit("close");
  assert.equal(meter.inFlight, 0);
});

test("hono: a request counts until the chain has made its response, also if it throws", async () => {
  const meter = createMeter();
  const chain = deferred();
  const counted = honoMeasure(meter)({}, () => chain.promise);
  assert.equal(meter.inFlight, 1);
  chain.resolve();
  await counted;
  assert.equal(meter.inFlight, 0);
  await assert.rejects(
    honoMeasure(meter)({}, () => Promise.reject(new Error("thrown"))),
    /thrown/,
  );
  assert.equal(meter.inFlight, 0);
});
