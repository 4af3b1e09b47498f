import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test, type TestContext } from "node:test";
import { RawClient } from "../../../../tests/kit/client.ts";
import { startProxy, type ProxyInit } from "../../../../tests/kit/proxy.ts";
import { waitFor } from "../../../../tests/kit/wait.ts";
import { Seal, sealKeyBytes } from "../core/seal.ts";
import { idempotencyKeyLengthMax } from "./enqueue.ts";
import { isMessageId, openBody, openHead, type NewMessage, type QueueFromWorker } from "./message.ts";

type Enqueue = Extract<QueueFromWorker, { type: "enqueue" }>;

const delivery = { deadlineMs: 60_000, backoffMs: 1_000, backoffMaxMs: 8_000, bodyBytesMax: 1_000 };
const key = randomBytes(sealKeyBytes);

async function open(t: TestContext, init: ProxyInit = {}) {
  const handed: Enqueue[] = [];
  const proxy = await startProxy(t, {
    // Nothing listens there: what is queued is not sent.
    instance: "127.0.0.1:1",
    queueKey: key,
    ...init,
    route: { delivery, ...init.route },
    queue: (message) => {
      if (message.type === "enqueue") handed.push(message);
    },
  });
  const nth = async (count: number): Promise<Enqueue> => {
    await waitFor(() => handed.length >= count, { what: `message ${count}` });
    const found = handed[count - 1];
    assert.ok(found !== undefined);
    return found;
  };
  const queued = ({ message: { id } }: Enqueue): void =>
    proxy.receive({ type: "enqueued", messageId: id, result: { kind: "queued", id } });
  return { proxy, handed, nth, queued, client: await RawClient.connect(t, proxy.port) };
}

function opened(message: NewMessage, seal = new Seal(key)) {
  const { id, head, body } = message;
  return { head: openHead(seal, id, head), body: body === undefined ? undefined : openBody(seal, id, body).toString() };
}

function post(body: string, fields = ""): string {
  return `POST /orders?a=1 HTTP/1.1\r\nHost: shop.example\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

test("a request is answered 202 once it is durable, and not before", async (t) => {
  const { client, nth, queued } = await open(t);
  client.send(post('{"n":1}'));
  const enqueue = await nth(1);
  assert.equal(client.received, "");
  queued(enqueue);
  const response = await client.response();
  assert.equal(response.status, 202);
  assert.deepEqual(JSON.parse(response.body.toString()), { id: enqueue.message.id, status: "queued" });
  assert.ok(isMessageId(enqueue.message.id));
});

test("what is queued is what would have been sent, without what belongs to a connection", async (t) => {
  const fields =
    "Authorization: Bearer t\r\nIdempotency-Key: own\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nTE: trailers\r\nX-Kept: yes\r\n";
  const { client, nth } = await open(t, {
    step: async (exchange, next) => {
      exchange.request.path = "/rewritten";
      exchange.request.headers.set("x-consumer", "alice");
      await next();
    },
  });
  client.send(post("text", fields));
  const { message } = await nth(1);
  const { head, body } = opened(message);
  assert.deepEqual([head.method, head.target, body], ["POST", "/rewritten?a=1", "text"]);
  const names = head.lines.split("\r\n").map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
  for (const name of ["host", "authorization", "x-kept", "x-consumer", "x-forwarded-for", "via", "x-request-id"]) {
    assert.ok(names.includes(name), `${name} is missing`);
  }
  for (const name of ["connection", "idempotency-key", "x-hop", "te", "content-length", "transfer-encoding"]) {
    assert.ok(!names.includes(name), `${name} is stored`);
  }
  assert.deepEqual([message.route, message.service], ["all", "s"]);
  assert.deepEqual([message.deadlineMs, message.backoffMs, message.backoffMaxMs], [60_000, 1_000, 8_000]);
  assert.equal(head.key, "own");
});

test("nothing of the request can be read without the key", async (t) => {
  const { client, nth } = await open(t);
  client.send(post("secret body", "Authorization: Bearer secret\r\nIdempotency-Key: secret-key\r\n"));
  const { message } = await nth(1);
  const stored = Buffer.concat([
    message.head,
    message.body ?? Buffer.alloc(0),
    Buffer.from(JSON.stringify(message.once)),
  ]);
  for (const text of ["secret", "orders", "shop.example"]) assert.equal(stored.includes(text), false, text);
});

test("without a key credentials are left out, and the rest is kept", async (t) => {
  const { client, nth } = await open(t, { queueKey: undefined });
  client.send(post("text", "Authorization: Bearer t\r\nCookie: a=b\r\nX-Api-Key: k\r\nX-Kept: yes\r\n"));
  const { head } = opened((await nth(1)).message, new Seal(undefined));
  assert.match(head.lines, /x-kept: yes/i);
  assert.doesNotMatch(head.lines, /authorization|cookie|api-key/i);
});

test("a chunked body is stored as its data, whatever its chunks", async (t) => {
  const { client, nth, queued } = await open(t);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  await client.sendBytewise("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n");
  const enqueue = await nth(1);
  const { head, body } = opened(enqueue.message);
  assert.equal(body, "abcde");
  assert.doesNotMatch(head.lines, /transfer-encoding|trailer/i);
  queued(enqueue);
  assert.equal((await client.response()).status, 202);
});

test("a client that waits for 100 Continue is told to go on", async (t) => {
  const { client, nth } = await open(t);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  await waitFor(() => client.received.startsWith("HTTP/1.1 100 "), { what: "100 Continue" });
  client.send("ok");
  const { head, body } = opened((await nth(1)).message);
  assert.equal(body, "ok");
  assert.doesNotMatch(head.lines, /expect/i);
});

test("a body over the limit is refused before and while it comes, and nothing is queued", async (t) => {
  const { client, proxy, handed } = await open(t);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
  assert.equal((await client.response()).status, 413);
  const second = await RawClient.connect(t, proxy.port);
  second.send(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n${"x".repeat(1_000)}\r\n`);
  second.send("1\r\nx\r\n0\r\n\r\n");
  assert.equal((await second.response()).status, 413);
  assert.equal(handed.length, 0);
});

test("a client's own key names the request, the same for the same request only", async (t) => {
  const { client, nth, queued } = await open(t);
  const onces: (NewMessage["once"] | undefined)[] = [];
  const sent = [
    post("a", "Idempotency-Key: k1\r\n"),
    post("a", "Idempotency-Key: k1\r\n"),
    post("b", "Idempotency-Key: k1\r\n"),
  ];
  sent.push(post("a", "Idempotency-Key: k2\r\n"), post("a", "Idempotency-Key: k1\r\nAuthorization: Bearer other\r\n"));
  for (const [at, text] of sent.entries()) {
    client.send(text);
    const enqueue = await nth(at + 1);
    onces.push(enqueue.message.once);
    queued(enqueue);
    await client.response();
  }
  const [first, again, otherBody, otherKey, otherAsker] = onces;
  assert.deepEqual(again, first);
  assert.equal(otherBody?.scope, first?.scope);
  assert.notEqual(otherBody?.request, first?.request);
  assert.notEqual(otherKey?.scope, first?.scope);
  assert.notEqual(otherAsker?.scope, first?.scope);
});

test("what the queue knows already is answered 202 with the id it has", async (t) => {
  const { client, nth, proxy } = await open(t);
  client.send(post("a", "Idempotency-Key: k\r\n"));
  proxy.receive({ type: "enqueued", messageId: (await nth(1)).message.id, result: { kind: "known", id: "FIRST" } });
  const response = await client.response();
  assert.deepEqual([response.status, JSON.parse(response.body.toString())], [202, { id: "FIRST", status: "queued" }]);
  assert.equal(response.get("idempotent-replayed"), "true");
});

for (const [what, fields] of [
  ["twice", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n"],
  ["too long", `Idempotency-Key: ${"k".repeat(idempotencyKeyLengthMax + 1)}\r\n`],
  ["empty", "Idempotency-Key:\r\n"],
  ["not ASCII", "Idempotency-Key: \xe4\r\n"],
] as const) {
  test(`a key that is ${what} is refused`, async (t) => {
    const { client, handed } = await open(t);
    client.send(post("a", fields));
    assert.equal((await client.response()).status, 400);
    assert.equal(handed.length, 0);
  });
}

test("a refusal is answered with its code, and an overloaded queue with when to come again", async (t) => {
  const { client, nth, proxy } = await open(t);
  client.send(post("a"));
  const refuse = ({ message: { id } }: Enqueue, code: "HG_OVERLOADED" | "HG_IDEMPOTENCY_CONFLICT"): void =>
    proxy.receive({ type: "enqueued", messageId: id, result: { kind: "refused", code, detail: "It is so." } });
  refuse(await nth(1), "HG_OVERLOADED");
  const full = await client.response();
  assert.deepEqual([full.status, full.get("retry-after")], [503, "1"]);
  assert.match(full.body.toString(), /It is so.*HG_OVERLOADED/);
  client.send(post("a"));
  refuse(await nth(2), "HG_IDEMPOTENCY_CONFLICT");
  assert.equal((await client.response()).status, 422);
});

test("a queue that does not answer costs the client 503 and not its patience", async (t) => {
  const { client, nth, proxy } = await open(t);
  client.send(post("a"));
  await nth(1);
  proxy.pass(15_100);
  const response = await client.response();
  assert.equal(response.status, 503);
  assert.match(response.body.toString(), /does not answer/);
});

test("a client that goes away in the middle of its body leaves nothing in the queue", async (t) => {
  const { client, handed, proxy } = await open(t);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it");
  await waitFor(() => proxy.gauge("connections active") === 1, { what: "the exchange" });
  client.reset();
  await waitFor(() => proxy.finished.length === 1, { what: "the end" });
  await proxy.atRest();
  assert.equal(handed.length, 0);
});

test("a client that goes away before the answer leaves nothing that waits", async (t) => {
  const { client, nth, proxy, queued } = await open(t);
  client.send(post("a"));
  const enqueue = await nth(1);
  client.reset();
  await waitFor(() => proxy.finished.length === 1, { what: "the end" });
  queued(enqueue);
  await proxy.atRest();
});
