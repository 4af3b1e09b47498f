import assert from "node:assert/strict";
import test from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { simpleDocument, startGateway } from "../kit/gateway.ts";
import { startProxy } from "../kit/proxy.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

const two = { concurrency: { type: "fixed", limit: 2 } } as const;

test("beyond the limit on concurrency the answer is 503 with Retry-After, at once, and a slot is free when an answer has ended", async (t) => {
  const upstream = await scriptedUpstream(t);
  const proxy = await startProxy(t, { instance: upstream.address, service: two });
  const [first, second] = [await RawClient.connect(t, proxy.port), await RawClient.connect(t, proxy.port)];
  for (const [index, client] of [first, second].entries()) {
    client.send(requestText("/"));
    await (await upstream.connection(index)).request();
  }
  const refused = await request(t, proxy.port, "/");
  assert.equal(refused.status, 503);
  assert.equal(refused.get("retry-after"), "1");
  assert.match(refused.text, /"code":"HG_OVERLOADED"/);
  // The head alone does not free it.
  (await upstream.connection(0)).send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
  await first.until("200 OK");
  assert.equal((await request(t, proxy.port, "/")).status, 503);
  (await upstream.connection(0)).send("ok");
  assert.equal((await first.response()).status, 200);
  first.send(requestText("/again"));
  assert.equal((await (await upstream.connection(0)).request()).target, "/again");
  // A client that goes away frees its own.
  second.reset();
  await waitFor(() => proxy.finished.length === 4);
  const third = await RawClient.connect(t, proxy.port);
  third.send(requestText("/third"));
  await (await upstream.connection(2)).request();
  assert.equal((await request(t, proxy.port, "/")).status, 503);
  assert.equal(proxy.underWay(), 2 + 2 + 2 + 2); // exchanges, slots, and attempts, which all wait for a head
});

test("a protocol that was switched to gives its slot back", async (t) => {
  const upstream = await scriptedUpstream(t);
  const service = { concurrency: { type: "fixed", limit: 1 } } as const;
  const proxy = await startProxy(t, { instance: upstream.address, service });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", { headers: { connection: "upgrade", upgrade: "test" } }));
  const connection = await upstream.connection(0);
  await connection.request();
  connection.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n");
  await client.until("101 Switching");
  const other = await RawClient.connect(t, proxy.port);
  other.send(requestText("/beside"));
  assert.equal((await (await upstream.connection(1)).request()).target, "/beside");
});

test("what a limit refuses is answered by the route's fallback, and pays nothing into the budget for retries", async (t) => {
  const upstream = await scriptedUpstream(t);
  const proxy = await startProxy(t, {
    instance: upstream.address,
    service: {
      concurrency: { type: "fixed", limit: 1 },
      retry: { attempts: 1, on: ["503"], budgetRatio: 0.2, backoffMs: 0 },
    },
    route: { fallback: { respond: { status: 200, headers: {}, body: "later" } } },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  const connection = await upstream.connection(0);
  await connection.request();
  for (let i = 0; i < 20; i++) assert.equal((await request(t, proxy.port, "/")).text, "later");
  const words = new Int32Array(proxy.memory.service);
  assert.deepEqual(
    [...words].filter((count) => count > 1),
    [],
  ); // one exchange, one slot, and nobody else was counted
});

test("instances that all fail get at most 1.2 times the requests of clients, and ten", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    for (;;) {
      await connection.request();
      connection.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
    }
  });
  const proxy = await startProxy(t, {
    instance: upstream.address,
    service: { retry: { attempts: 1, on: ["503"], budgetRatio: 0.2, backoffMs: 0 } },
  });
  const client = await RawClient.connect(t, proxy.port);
  const exchanges = 300;
  for (let i = 0; i < exchanges; i++) {
    client.send(requestText("/"));
    assert.equal((await client.response()).status, 503);
  }
  const attempts = upstream.requests().length;
  assert.ok(attempts <= exchanges * 1.2 + 10, `${attempts} attempts`);
  assert.ok(attempts >= exchanges * 1.18, `${attempts} attempts`);
});

const crasher = `
import { defineMiddleware } from "headgate";
import { z } from "zod";
export default defineMiddleware({
  name: "crasher",
  config: z.strictObject({}),
  build: () => () => new Promise(() => setImmediate(() => { throw new Error("crashed on purpose"); })),
});
`;

test("four workers keep to one limit, and one that dies gives back what it held", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
  });
  const gateway = await startGateway(t, {
    document: simpleDocument(upstream.address, {
      plugins: { crasher: "./crasher.ts" },
      routes: {
        all: { match: { path: "/*" }, to: "s" },
        crash: { match: { path: "/crash" }, use: ["crasher"], to: "s" },
      },
      services: { s: { instances: [{ address: upstream.address }], concurrency: 10, retry: { attempts: 0 } } },
    }),
    files: { "crasher.ts": crasher },
    workers: 4,
  });
  const inFlight = (): Promise<number> => gateway.metric("headgate_concurrency_in_flight", { service: "s" });
  const sendMany = async (): Promise<RawClient[]> => {
    const clients: RawClient[] = [];
    for (let i = 0; i < 40; i++) {
      const client = await RawClient.connect(t, gateway.port);
      client.send(requestText("/"));
      clients.push(client);
    }
    return clients;
  };
  const answered = (clients: readonly RawClient[]): number =>
    clients.filter((client) => client.received.startsWith("HTTP/1.1 503")).length;
  const clients = await sendMany();
  await waitFor(() => answered(clients) === 30 && upstream.requests().length === 10);
  assert.equal(await inFlight(), 10);

  const cut = new Set<RawClient>();
  for (const client of clients) void client.closed.then(() => cut.add(client));
  const crash = await RawClient.connect(t, gateway.port);
  crash.send(requestText("/crash"));
  await crash.waitClosed();
  await waitFor(async () => (await gateway.metric("headgate_worker_restarts_total")) === 1);
  await waitFor(async () => (await gateway.status()).workers.length === 4);
  const lost = (): number => [...cut].filter((client) => client.received === "").length;
  await waitFor(async () => (await inFlight()) === 10 - lost());
  const more = await sendMany();
  await waitFor(() => answered(more) === 40 - lost() && upstream.requests().length === 10 + lost());
  assert.equal(await inFlight(), 10);
});
