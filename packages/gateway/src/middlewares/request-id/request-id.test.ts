import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../../core/errors.ts";
import { runMiddleware } from "../../testing.ts";
import requestId from "./index.ts";

const clientSends = (value: string) => ({ headers: { "X-Request-Id": value } });

test("names the exchange, the request to the instance and the answer", async () => {
  const run = await runMiddleware(requestId, undefined);
  assert.equal(run.exchange.id, "generated-id");
  assert.deepEqual(run.exchange.request.headers.getAll("x-request-id"), ["generated-id"]);
  assert.deepEqual(run.response.headers.getAll("x-request-id"), ["generated-id"]);
});

test("a client's id is not taken by default", async () => {
  const run = await runMiddleware(requestId, {}, clientSends("mine"));
  assert.equal(run.exchange.id, "generated-id");
  assert.deepEqual(run.exchange.request.headers.getAll("x-request-id"), ["generated-id"]);
});

for (const [name, sent, expected] of [
  ["a plain one", "abc-123", "abc-123"],
  ["one of 128 characters", "x".repeat(128), "x".repeat(128)],
  ["one that is too long", "x".repeat(129), "generated-id"],
  ["one with a space", "a b", "generated-id"],
  ["one beyond ASCII", "caf\u00e9", "generated-id"],
  ["an empty one", "", "generated-id"],
] as const) {
  test(`with trust, of a client's id, ${name}: ${expected === sent ? "taken" : "replaced"}`, async () => {
    const run = await runMiddleware(requestId, { trust: true }, clientSends(sent));
    assert.equal(run.exchange.id, expected);
    assert.deepEqual(run.exchange.request.headers.getAll("x-request-id"), [expected]);
    assert.equal(run.response.headers.get("x-request-id"), expected);
  });
}

test("with trust, two ids are replaced by one of our own", async () => {
  const headers = [
    ["x-request-id", "one"],
    ["x-request-id", "two"],
  ] as const;
  const run = await runMiddleware(requestId, { trust: true }, { headers });
  assert.deepEqual(run.exchange.request.headers.getAll("x-request-id"), ["generated-id"]);
});

test("replaces the id an instance answers with", async () => {
  const run = await runMiddleware(
    requestId,
    {},
    {},
    { upstream: { status: 200, headers: { "X-Request-Id": "other" } } },
  );
  assert.deepEqual(run.response.headers.getAll("x-request-id"), ["generated-id"]);
});

test("error answers carry it too", async () => {
  const upstream = () => Promise.reject(new GatewayError("HG_UPSTREAM_CONNECT"));
  const run = await runMiddleware(requestId, { header: "x-correlation-id" }, {}, { upstream });
  assert.equal(run.response.status, 502);
  assert.equal(run.response.headers.get("x-correlation-id"), "generated-id");
});

for (const header of ["bad name", "connection", "Host", ""]) {
  test(`refuses "${header}" as its header`, async () => {
    await assert.rejects(runMiddleware(requestId, { header }), /request-id\.header/);
  });
}
