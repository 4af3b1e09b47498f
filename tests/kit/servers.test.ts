import assert from "node:assert/strict";
import test from "node:test";
import { RawClient, request, requestText } from "./client.ts";
import { echoUpstream, patternBytes } from "./echo.ts";
import { faultProxy } from "./fault-proxy.ts";
import { answerAll, scriptedUpstream } from "./upstream.ts";

test("the raw client and the scripted upstream see each other's bytes exactly", async (t) => {
  const upstream = await scriptedUpstream(t, answerAll);
  const client = await RawClient.connect(t, upstream.port);
  const text = requestText("/x", { method: "POST", body: "hello" });
  await client.sendBytewise(text);
  client.send(text);
  assert.equal((await client.response()).text, "POST /x hello");
  assert.equal((await client.response()).text, "POST /x hello");
  assert.equal(upstream.connections[0]?.received, text + text);
  assert.equal(upstream.requests().length, 2);
});

test("the echo upstream describes the request and sends patterns", async (t) => {
  const echo = await echoUpstream(t);
  const described = await request(t, echo.port, "/any?x=1", { method: "PUT", body: "12345", headers: { "X-Id": "7" } });
  assert.equal((JSON.parse(described.text) as { bodyBytes: number }).bodyBytes, 5);
  assert.equal(described.get("x-id"), "7");
  assert.deepEqual((await request(t, echo.port, "/bytes/70000")).body, patternBytes(70_000));
  assert.deepEqual((await request(t, echo.port, "/trailers")).trailers, [["x-checksum", "abc123"]]);
});

test("a held answer comes when it is released, and an aborted one is noticed", async (t) => {
  const echo = await echoUpstream(t);
  const answer = request(t, echo.port, "/slow");
  await echo.release();
  assert.equal((await answer).status, 200);
  const client = await RawClient.connect(t, echo.port);
  client.send(requestText("/slow"));
  await echo.arrived(2);
  client.close();
  await echo.aborts(1);
  assert.deepEqual(echo.aborted, ["GET /slow"]);
});

test("the fault proxy holds bytes back, lets them go on, and cuts", async (t) => {
  const echo = await echoUpstream(t);
  const proxy = await faultProxy(t, echo.port);
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/1"));
  assert.equal((await client.response()).status, 200);
  proxy.stall();
  client.send(requestText("/2"));
  // A request past the proxy is answered, which shows that the stalled one had its chance to arrive.
  await request(t, echo.port, "/direct");
  assert.deepEqual(echo.seen, ["GET /1", "GET /direct"]);
  proxy.resume();
  assert.equal((await client.response()).status, 200);
  proxy.cut();
  assert.equal(await client.waitClosed(), "reset");
});
