import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import test from "node:test";
import { RawClient, requestText } from "../kit/client.ts";
import { startProxy } from "../kit/proxy.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import { waitFor } from "../kit/wait.ts";

const big = 32 * 1024 * 1024;

test("a body of which not one byte comes is answered 408", async (t) => {
  const upstream = await scriptedUpstream(t);
  const proxy = await startProxy(t, { instance: upstream.address, timeouts: { requestBodyIdleMs: 5_000 } });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", { method: "POST", headers: { "content-length": "10" } }));
  await (await upstream.connection(0)).head();
  proxy.pass(6_000);
  assert.equal((await client.response()).status, 408);
  await proxy.atRest();
});

test("a slow client gets the whole last answer of its connection", async (t) => {
  const proxy = await startProxy(t, {
    step: (exchange) => exchange.respond({ status: 200, body: Buffer.alloc(big) }),
  });
  const socket = net.connect(proxy.port, "127.0.0.1").pause();
  t.after(() => socket.destroy());
  socket.write(requestText("/", { headers: { connection: "close" } }));
  await waitFor(() => proxy.finished.length === 1);
  proxy.pass(5_000);
  let received = 0;
  socket
    .on("data", (bytes: Buffer) => (received += bytes.length))
    .on("error", () => {})
    .resume();
  await once(socket, "close");
  assert.ok(received > big, `${received} bytes came`);
  await proxy.atRest();
});

test("a client that does not take its last answer is cut in the end", async (t) => {
  const proxy = await startProxy(t, {
    step: (exchange) => exchange.respond({ status: 200, body: Buffer.alloc(big) }),
  });
  const socket = net.connect(proxy.port, "127.0.0.1").pause();
  t.after(() => socket.destroy());
  socket.write(requestText("/", { headers: { connection: "close" } }));
  await waitFor(() => proxy.finished.length === 1);
  await waitFor(() => {
    proxy.pass(31_000);
    return proxy.gauge("connections idle") === 0;
  });
});

test("a flood of OPTIONS * is answered in full, one after the other", async (t) => {
  const proxy = await startProxy(t, {});
  const client = await RawClient.connect(t, proxy.port);
  const count = 4_000;
  client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count));
  for (let i = 0; i < count; i++) assert.equal((await client.response("OPTIONS")).status, 204);
});

test("a client over the limit of connections is told, and its connection does not stay", async (t) => {
  const proxy = await startProxy(t, { limits: { connections: 1 } });
  await RawClient.connect(t, proxy.port);
  await waitFor(() => proxy.gauge("connections idle") === 1);
  const refused = await RawClient.connect(t, proxy.port);
  assert.equal((await refused.response()).status, 503);
  // Its own side stays open: only the proxy's close ends the connection.
  proxy.pass(3_000);
  refused.send("GET / HTTP/1.1\r\n");
  await waitFor(() => {
    refused.send("x: y\r\n");
    return refused.socket.destroyed || refused.socket.errored !== null;
  });
});

test("a final head behind an interim one is read although it does not fit the first look", async (t) => {
  const fields = Array.from({ length: 20 }, (_, i) => `x-${i}: ${"v".repeat(1_000)}\r\n`).join("");
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send(
      `HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n${fields}content-length: 2\r\n\r\nok`,
    );
  });
  const proxy = await startProxy(t, { instance: upstream.address });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  const answer = await client.finalResponse();
  assert.deepEqual([answer.status, answer.text, answer.get("x-19")?.length], [200, "ok", 1_000]);
});

test("an HTTP/1.0 request without Host reaches the instance with one", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.ok();
  });
  const proxy = await startProxy(t, { instance: upstream.address });
  const client = await RawClient.connect(t, proxy.port);
  client.send("GET / HTTP/1.0\r\n\r\n");
  assert.equal((await client.response()).status, 200);
  assert.deepEqual(upstream.requests()[0]?.getAll("host"), [upstream.address]);
});

for (const value of ["h2c", "H2C", "websocket, h2c", "h2"]) {
  test(`an upgrade to ${value} is not passed on: it would tunnel requests past every route`, async (t) => {
    const upstream = await scriptedUpstream(t, async (connection) => {
      await connection.request();
      connection.ok();
    });
    const proxy = await startProxy(t, { instance: upstream.address });
    const client = await RawClient.connect(t, proxy.port);
    const headers = { connection: "Upgrade, HTTP2-Settings", upgrade: value, "http2-settings": "AAMAAABkAAQAoAAA" };
    client.send(requestText("/", { headers }));
    assert.equal((await client.response()).status, 200);
    const [seen] = upstream.requests();
    assert.deepEqual(
      [seen?.get("upgrade"), seen?.get("http2-settings"), seen?.get("connection")],
      Array(3).fill(undefined),
    );
  });
}

test("a retried status leaves its connection to the next request", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    for (let i = 0; ; i++) {
      await connection.request();
      if (i === 0) connection.send("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n");
      else connection.ok();
    }
  });
  const proxy = await startProxy(t, {
    instance: upstream.address,
    service: { retry: { attempts: 1, on: ["503"], budgetRatio: 1, backoffMs: 25 } },
  });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/"));
  assert.equal((await client.response()).status, 200);
  proxy.pass(1_000);
  client.send(requestText("/"));
  assert.equal((await client.response()).status, 200);
  assert.equal(upstream.connections.length, 1);
});

test("an instance that reads no body for long is what timed out, not the client", async (t) => {
  const upstream = await scriptedUpstream(t, (connection) => void connection.socket.pause());
  const proxy = await startProxy(t, { instance: upstream.address, timeouts: { requestBodyIdleMs: 5_000 } });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", { method: "POST", headers: { "content-length": String(big) } }));
  for (let i = 0; i < 500; i++) client.send(Buffer.alloc(64 * 1024));
  let written = -1;
  let still = 0;
  // Until the buffers of both kernels are full.
  await waitFor(() => {
    still =
      upstream.connections.length > 0 && written === client.socket.bytesWritten - client.socket.writableLength
        ? still + 1
        : 0;
    written = client.socket.bytesWritten - client.socket.writableLength;
    return still > 10;
  });
  proxy.pass(6_000);
  assert.equal((await client.response()).status, 504);
  await proxy.atRest();
});

test("a WebSocket that its client closes is booked with its bytes and without an error", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
    await connection.waitClosed();
  });
  const proxy = await startProxy(t, { instance: upstream.address });
  const client = await RawClient.connect(t, proxy.port);
  client.send(requestText("/", { headers: { connection: "upgrade", upgrade: "websocket" } }));
  await client.until("hello");
  client.reset();
  await waitFor(() => proxy.finished.length === 1);
  const [{ error, response, responseBytes } = assert.fail("nothing was booked")] = proxy.finished;
  assert.deepEqual([error?.code, response.status, responseBytes], [undefined, 101, 5]);
  await proxy.atRest();
});
