import assert from "node:assert/strict";
import test from "node:test";
import type { Middleware } from "../../packages/gateway/src/proxy/middleware.ts";
import { RawClient, request, requestText } from "../kit/client.ts";
import { startProxy } from "../kit/proxy.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import { deferred, waitFor } from "../kit/wait.ts";

/** Answers every request of every connection at once. */
const polite = (t: test.TestContext) =>
  scriptedUpstream(t, async (connection) => {
    for (;;) {
      await connection.request();
      connection.ok("from the instance");
    }
  });

test("a step that calls next after the client has gone sends nothing to the instance", async (t) => {
  const upstream = await polite(t);
  const gate = deferred();
  const entered = deferred();
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: async (_, next) => {
      entered.resolve();
      await gate.promise;
      await next();
    },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  await entered.promise;
  client.reset();
  await waitFor(() => proxy.finished.length === 1);
  gate.resolve();
  await proxy.atRest();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(upstream.connections.length, 0);
  assert.equal(proxy.gauge("upstream_connections active"), 0);
});

test("a step that calls next after the exchange's time is over sends nothing to the instance", async (t) => {
  const upstream = await polite(t);
  const gate = deferred();
  const entered = deferred();
  const proxy = await startProxy(t, {
    instance: upstream.address,
    route: { timeoutMs: 1_000 },
    step: async (_, next) => {
      entered.resolve();
      await gate.promise;
      await next();
    },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  await entered.promise;
  proxy.pass(1_200);
  assert.equal((await client.response()).status, 504);
  gate.resolve();
  await proxy.atRest();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(upstream.connections.length, 0);
});

const rejections: [string, Middleware][] = [
  ["calls next without waiting for it", async (_, next) => void next()],
  ["calls next later and does not wait for it", (_, next) => void setImmediate(() => void next())],
  [
    "answers while next still runs",
    async (exchange, next) => {
      void next();
      exchange.respond({ status: 200 });
    },
  ],
];
for (const [what, step] of rejections) {
  test(`a step that ${what} costs its exchange, not the process`, async (t) => {
    const upstream = await scriptedUpstream(t, async (connection) => {
      await connection.request();
      connection.reset();
    });
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", onUnhandled);
    t.after(() => process.off("unhandledRejection", onUnhandled));
    const proxy = await startProxy(t, { instance: upstream.address, step });
    const { status } = await request(t, proxy.port, "/");
    assert.ok(status === 500 || status === 200 || status === 502, String(status));
    await proxy.atRest();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(unhandled, []);
  });
}

for (const target of ["/a b", "/a\r\nx: y", "/a HTTP/1.1\r\nHost: b\r\n\r\nGET /b", "no-slash", "/é", "/\u0100", ""]) {
  test(`a step that makes the path ${JSON.stringify(target)} is answered 500, and nothing of it is sent`, async (t) => {
    const upstream = await polite(t);
    const proxy = await startProxy(t, {
      instance: upstream.address,
      step: ({ request: asked }, next) => {
        asked.path = target;
        return next();
      },
    });
    const client = await RawClient.connect(t, proxy.port);
    client.send(requestText("/"));
    assert.equal((await client.response()).status, 500);
    await proxy.atRest();
    assert.equal(upstream.requests().length, 0);
    assert.match(proxy.logged.join(), /path/);
  });
}

test("a query that a step sets is checked like the path", async (t) => {
  const upstream = await polite(t);
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: ({ request: asked }, next) => {
      asked.search = "?a=1 HTTP/1.1\r\nx: y";
      return next();
    },
  });
  assert.equal((await request(t, proxy.port, "/")).status, 500);
  assert.equal(upstream.requests().length, 0);
});

for (const status of [0, -1, 1.5, Number.NaN, 99, 100, 101, 199, 1000]) {
  test(`a step that answers with the status ${status} is answered 500`, async (t) => {
    const proxy = await startProxy(t, { step: (exchange) => exchange.respond({ status }) });
    assert.equal((await request(t, proxy.port, "/")).status, 500);
    await proxy.atRest();
  });
}

const statusChanges: [number, string, number, string][] = [
  // from, body, to, what the client reads
  [200, "hello", 204, ""],
  [200, "hello", 304, ""],
  [200, "hello", 299, "hello"],
  [204, "", 200, ""],
  [304, "", 200, ""],
];
for (const [from, body, to, read] of statusChanges) {
  test(`an instance's ${from} made ${to} by a step keeps the connection in step`, async (t) => {
    const upstream = await scriptedUpstream(t, async (connection) => {
      for (;;) {
        await connection.request();
        // A 304 may declare the length that a 200 would have.
        const length =
          from === 304 ? "content-length: 99\r\n" : from === 204 ? "" : `content-length: ${body.length}\r\n`;
        connection.send(`HTTP/1.1 ${from} X\r\n${length}x-from: instance\r\n\r\n${body}`);
      }
    });
    const proxy = await startProxy(t, {
      instance: upstream.address,
      step: async (exchange, next) => {
        await next();
        exchange.response.status = to;
      },
    });
    const client = await RawClient.connect(t, proxy.port);
    for (let i = 0; i < 2; i++) {
      client.send(requestText("/"));
      const answer = await client.response();
      assert.deepEqual([answer.status, answer.text, answer.get("x-from")], [to, read, "instance"]);
    }
    client.close();
    await proxy.atRest();
  });
}

test("a status that a step breaks after the instance answered is answered 500", async (t) => {
  const upstream = await polite(t);
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: async (exchange, next) => {
      await next();
      exchange.response.status = 101;
    },
  });
  assert.equal((await request(t, proxy.port, "/")).status, 500);
  await proxy.atRest();
});

test("what a step of JavaScript puts on the answer in place of bytes ends in 500, not in the process' end", async (t) => {
  const proxy = await startProxy(t, {
    step: (exchange) => {
      exchange.respond({ status: 200 });
      Object.assign(exchange.response, { body: { length: 3 }, headers: { "x-a": "1" } });
    },
  });
  assert.equal((await request(t, proxy.port, "/")).status, 500);
  await proxy.atRest();
});

test("a step that returns no promise is answered 500", async (t) => {
  const proxy = await startProxy(t, { step: (() => 5) as unknown as Middleware }); // as a step of JavaScript might
  assert.equal((await request(t, proxy.port, "/")).status, 500);
  assert.equal(proxy.finished.length, 1);
});

test("an attempt hook that calls next twice sends once", async (t) => {
  const upstream = await polite(t);
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: {
      handle: (_, next) => next(),
      attempt: async (_, next) => {
        await Promise.allSettled([next(), next()]);
      },
    },
  });
  assert.equal((await request(t, proxy.port, "/")).text, "from the instance");
  await proxy.atRest();
  assert.equal(upstream.requests().length, 1);
});

test("an attempt hook that calls next after the client has gone sends nothing", async (t) => {
  const upstream = await polite(t);
  const gate = deferred();
  const entered = deferred();
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: {
      handle: (_, next) => next(),
      attempt: async (_, next) => {
        entered.resolve();
        await gate.promise;
        await next();
      },
    },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  await entered.promise;
  client.reset();
  await waitFor(() => proxy.finished.length === 1);
  gate.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  await proxy.atRest();
  assert.equal(upstream.connections.length, 0);
});

test("an attempt hook that does not wait for next costs nothing when the attempt fails", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.reset();
  });
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  t.after(() => process.off("unhandledRejection", onUnhandled));
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: { handle: (_, next) => next(), attempt: (_, next) => void next() },
  });
  assert.equal((await request(t, proxy.port, "/")).status, 502);
  await proxy.atRest();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

test("a field that a step and an attempt hook both set is sent once, as the hook set it", async (t) => {
  const upstream = await polite(t);
  const proxy = await startProxy(t, {
    instance: upstream.address,
    step: {
      handle: ({ request: asked }, next) => {
        asked.headers.set("authorization", "step");
        asked.headers.set("x-forwarded-proto", "https");
        return next();
      },
      attempt: (attempt, next) => {
        attempt.setHeader("Authorization", "hook");
        return next();
      },
    },
  });
  await request(t, proxy.port, "/", { headers: { authorization: "client" } });
  const [seen] = upstream.requests();
  assert.deepEqual(seen?.getAll("authorization"), ["hook"]);
  assert.deepEqual(seen?.getAll("x-forwarded-proto"), ["https"]);
});

for (const altered of [false, true]) {
  test(`a hook that sets Host replaces the client's${altered ? ", also where a step changed other fields" : ""}`, async (t) => {
    const upstream = await polite(t);
    const proxy = await startProxy(t, {
      instance: upstream.address,
      step: {
        handle: (exchange, next) => {
          if (altered) exchange.request.headers.delete("x-gone");
          return next();
        },
        attempt: (attempt, next) => {
          attempt.setHeader("Host", "instance.example");
          return next();
        },
      },
    });
    await request(t, proxy.port, "/", { headers: { "x-before": "1", "x-gone": "1", "x-after": "1" } });
    const [arrived] = upstream.requests();
    assert.deepEqual(arrived?.getAll("host"), ["instance.example"]);
    assert.deepEqual(arrived.getAll("x-after"), ["1"]);
  });
}
