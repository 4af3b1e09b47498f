import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test, type TestContext } from "node:test";
import { startProxy, type ProxyInit } from "../../../../tests/kit/proxy.ts";
import { scriptedUpstream, type UpstreamConnection } from "../../../../tests/kit/upstream.ts";
import { deferred, waitFor } from "../../../../tests/kit/wait.ts";
import { Seal, sealKeyBytes } from "../core/seal.ts";
import { sealBody, sealHead, type Delivery, type DeliveryOutcome, type MessageHead } from "./message.ts";

const key = randomBytes(sealKeyBytes);
const client = { ip: "192.0.2.9", port: 4000, peer: "192.0.2.9", scheme: "http", localPort: 80 } as const;
const id = "01ARYZ6S410000000000000000";

interface Message extends Partial<MessageHead> {
  readonly body?: string | Uint8Array;
  readonly route?: string;
  readonly service?: string;
}

function deliveryOf({ body, route = "all", service = "s", ...head }: Message, seal = new Seal(key)): Delivery {
  const whole = {
    method: "POST",
    target: "/orders?a=1",
    lines: "host: shop.example\r\nx-kept: yes\r\n",
    client,
    ...head,
  };
  const bytes = body === undefined ? {} : { body: sealBody(seal, id, Buffer.from(body)) };
  return { id, route, service, head: sealHead(seal, id, whole), ...bytes };
}

type Script = (connection: UpstreamConnection, index: number) => Promise<void>;

async function open(t: TestContext, script: Script, init: ProxyInit = {}) {
  const upstream = await scriptedUpstream(t, script);
  const outcomes = new Map<number, DeliveryOutcome>();
  const proxy = await startProxy(t, {
    instance: upstream.address,
    queueKey: key,
    ...init,
    queue: (message) => {
      if (message.type === "delivered") outcomes.set(message.call, message.outcome);
    },
  });
  let calls = 0;
  const begin = (delivery: Delivery): number => {
    proxy.receive({ type: "deliver", call: ++calls, delivery });
    return calls;
  };
  const ended = (call: number): Promise<DeliveryOutcome> => waitFor(() => outcomes.get(call), { what: "an outcome" });
  return { upstream, proxy, outcomes, begin, ended, deliver: (message: Message) => ended(begin(deliveryOf(message))) };
}

const answers =
  (...texts: readonly string[]): Script =>
  async (connection) => {
    for (const text of texts) {
      await connection.request();
      connection.send(text);
    }
  };

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

test("a message arrives as the request it was, with its key, and its answer's status is told", async (t) => {
  const { upstream, deliver, proxy } = await open(t, answers(ok, ok));
  const outcome = await deliver({ body: "text" });
  assert.deepEqual(outcome, { kind: "answer", status: 200, instance: upstream.address });
  await deliver({ method: "GET", key: "own" });
  const [first, second] = upstream.requests();
  assert.equal(first?.startLine, "POST /orders?a=1 HTTP/1.1");
  assert.deepEqual(
    first.fields.map(([name, value]) => `${name}: ${value}`),
    ["host: shop.example", "x-kept: yes", `idempotency-key: ${id}`, "content-length: 4"],
  );
  assert.equal(first.text, "text");
  assert.deepEqual(second?.getAll("idempotency-key"), ["own"]);
  assert.equal(second.get("content-length"), undefined);
  // The connection was kept for the second.
  assert.equal(upstream.connections.length, 1);
  await proxy.atRest();
});

test("a large body and a large answer go through; of an endless one only the status is waited for", async (t) => {
  const body = randomBytes(300_000);
  const endless = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n`;
  const { upstream, deliver } = await open(t, async (connection) => {
    await connection.request();
    connection.send(`HTTP/1.1 201 Created\r\ncontent-length: 500000\r\n\r\n${"x".repeat(500_000)}`);
    await connection.request();
    connection.send(endless + `186A0\r\n${"y".repeat(100_000)}\r\n`.repeat(12));
    await connection.waitClosed();
  });
  assert.equal((await deliver({ body })).kind, "answer");
  assert.ok(upstream.requests()[0]?.body.equals(body));
  assert.deepEqual(await deliver({ body: "b" }), { kind: "answer", status: 200, instance: upstream.address });
});

test("a failing status and when to come again are told", async (t) => {
  const text = "HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
  const { upstream, deliver } = await open(t, answers(text));
  const expected = { kind: "answer", status: 503, instance: upstream.address, retryAfterMs: 7_000 };
  assert.deepEqual(await deliver({}), expected);
});

test("an instance that hangs up, is silent, or breaks off its answer has failed", async (t) => {
  const { deliver, begin, ended, proxy, upstream } = await open(t, async (connection, index) => {
    await connection.request();
    if (index === 0) connection.reset();
    if (index === 1) await connection.waitClosed();
    if (index === 2) {
      connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
      connection.end();
    }
  });
  const codes: string[] = [];
  const note = (outcome: DeliveryOutcome): void => {
    assert.ok(outcome.kind === "error");
    codes.push(`${outcome.code} ${outcome.nothingSent}`);
  };
  note(await deliver({ body: "a" }));
  const silent = begin(deliveryOf({ body: "b" }));
  await waitFor(() => upstream.requests().length === 2, { what: "an attempt" });
  await waitFor(() => {
    proxy.pass(20_000);
    return proxy.gauge("upstream_connections active") === 0;
  });
  note(await ended(silent));
  note(await deliver({ body: "c" }));
  assert.deepEqual(codes, ["HG_UPSTREAM_RESET false", "HG_UPSTREAM_TIMEOUT false", "HG_UPSTREAM_RESET false"]);
});

test("nobody listens: nothing was sent", async (t) => {
  const { deliver } = await open(t, answers(ok), { instance: "127.0.0.1:1" });
  const outcome = await deliver({ body: "a" });
  assert.ok(outcome.kind === "error" && outcome.nothingSent);
  assert.deepEqual([outcome.code, outcome.instance], ["HG_UPSTREAM_CONNECT", "127.0.0.1:1"]);
});

test("a POST that met a connection the instance had closed is sent again at once: its key tells", async (t) => {
  const { upstream, deliver } = await open(t, async (connection, index) => {
    await connection.request();
    connection.ok();
    if (index > 0) return;
    await connection.request();
    connection.reset();
  });
  await deliver({ body: "a" });
  assert.equal((await deliver({ body: "b" })).kind, "answer");
  assert.deepEqual(
    upstream.requests().map(({ text }) => text),
    ["a", "b", "b"],
  );
});

test("the route's steps do not run again, but what they do at each attempt does", async (t) => {
  let chain = 0;
  const { upstream, deliver } = await open(t, answers(ok), {
    step: {
      handle: (_, next) => {
        chain++;
        return next();
      },
      attempt: (attempt, next) => {
        attempt.setHeader("x-signed", attempt.exchange.request.path);
        return next();
      },
    },
  });
  await deliver({ body: "a" });
  assert.equal(chain, 0);
  assert.equal(upstream.requests()[0]?.get("x-signed"), "/orders");
});

test("a message whose route is gone is delivered; one whose service is gone waits", async (t) => {
  const { deliver } = await open(t, answers(ok));
  assert.equal((await deliver({ route: "gone" })).kind, "answer");
  const outcome = await deliver({ service: "gone" });
  assert.ok(outcome.kind === "error");
  assert.equal(outcome.code, "HG_NO_INSTANCE");
});

test("the route's timeout ends a delivery, before the answer and in the middle of it", async (t) => {
  const { begin, ended, proxy, upstream } = await open(
    t,
    async (connection, index) => {
      await connection.request();
      if (index === 1) connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
      await connection.waitClosed();
    },
    { route: { timeoutMs: 1_000 } },
  );
  for (const index of [0, 1]) {
    const call = begin(deliveryOf({ body: "a" }));
    await (await upstream.connection(index)).until("a=1");
    await waitFor(() => upstream.requests().length === index + 1);
    await waitFor(() => {
      proxy.pass(1_100);
      return proxy.gauge("upstream_connections active") === 0;
    });
    const outcome = await ended(call);
    assert.ok(outcome.kind === "error");
    assert.equal(outcome.code, "HG_TIMEOUT");
  }
});

test("a request without Host gets the instance's address", async (t) => {
  const { upstream, deliver } = await open(t, answers(ok));
  await deliver({ lines: "x-kept: yes\r\n" });
  assert.equal(upstream.requests()[0]?.get("host"), upstream.address);
});

test("what a step made of the request is sent as it is, also where a client's would be refused", async (t) => {
  const { upstream, deliver } = await open(t, answers(ok));
  await deliver({ target: "/a%zz?b=%", lines: "Host:\todd_host:x \r\nX-Empty:\r\nX-Two: 1\r\nX-Two: 2\r\n", body: "" });
  const [arrived] = upstream.requests();
  assert.equal(arrived?.startLine, "POST /a%zz?b=% HTTP/1.1");
  assert.deepEqual(
    arrived.fields.map(([name, value]) => `${name}: ${value}`),
    ["Host: odd_host:x", "X-Empty: ", "X-Two: 1", "X-Two: 2", `idempotency-key: ${id}`, "content-length: 0"],
  );
});

test("what an attempt sets takes the place of what was stored", async (t) => {
  const { upstream, deliver } = await open(t, answers(ok), {
    step: {
      handle: (_, next) => next(),
      attempt: (attempt, next) => {
        attempt.setHeader("X-Kept", "new");
        attempt.setHeader("Host", "other");
        return next();
      },
    },
  });
  await deliver({ body: "a" });
  const [arrived] = upstream.requests();
  assert.deepEqual([arrived?.getAll("x-kept"), arrived?.getAll("host")], [["new"], ["other"]]);
});

test("what was sealed with another key is unreadable and sent nowhere", async (t) => {
  const { upstream, begin, ended } = await open(t, answers(ok));
  const other = await ended(begin(deliveryOf({ body: "a" }, new Seal(randomBytes(sealKeyBytes)))));
  assert.deepEqual(other, { kind: "unreadable", detail: "it was sealed with another key" });
  assert.equal(upstream.connections.length, 0);
});

test("draining waits for deliveries", async (t) => {
  const gate = deferred();
  const script: Script = async (connection) => {
    await connection.request();
    await gate.promise;
    connection.ok();
  };
  const { begin, ended, proxy, upstream } = await open(t, script, { timersWait: true });
  const call = begin(deliveryOf({ body: "a" }));
  await waitFor(() => upstream.requests().length === 1);
  let drained = false;
  const draining = proxy.drain(60_000).then(() => (drained = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drained, false);
  gate.resolve();
  assert.equal((await ended(call)).kind, "answer");
  await draining;
});
