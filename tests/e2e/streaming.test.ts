import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { RawClient, requestText } from "../kit/client.ts";
import { echoUpstream, type EchoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import { answerAll, scriptedUpstream } from "../kit/upstream.ts";
import { deferred } from "../kit/wait.ts";

const scope = new ManualScope();
let echo: EchoUpstream;
let gateway: GatewayProcess;

before(async () => {
  echo = await echoUpstream(scope);
  gateway = await startGateway(scope, { document: simpleDocument(echo.address) });
});
after(() => scope.close());

test("each server-sent event arrives before the next one is sent", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/sse/3"));
  await client.until("\r\n\r\n");
  for (let event = 1; event <= 3; event++) {
    assert.ok(!client.received.includes(`event ${event}`));
    await echo.release();
    await client.until(`data: event ${event}\n\n`);
  }
  const response = await client.response();
  assert.equal(response.get("content-type"), "text/event-stream");
  assert.equal(response.text.split("\n\n").length - 1, 3);
});

test("a client that goes away before the answer ends the instance's work", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const [seen, aborted] = [echo.seen.length, echo.aborted.length];
  client.send(requestText("/gone/slow"));
  await echo.arrived(seen + 1);
  client.reset();
  await echo.aborts(aborted + 1);
  assert.equal(echo.aborted.at(-1), "GET /gone/slow");
});

test("a client that goes away in the middle of an answer ends the instance's work", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const aborted = echo.aborted.length;
  client.send(requestText("/gone/sse/5"));
  await echo.release();
  await client.until("event 1");
  client.reset();
  await echo.aborts(aborted + 1);
  assert.equal(echo.aborted.at(-1), "GET /gone/sse/5");
});

test("a client that goes away in the middle of its upload ends the instance's connection", async (t) => {
  const started = deferred();
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.until("abc");
    started.resolve();
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
  await started.promise;
  client.reset();
  await upstream.connections[0]?.waitClosed();
  assert.equal(upstream.connections.length, 1, "half an upload is not tried again");
});

test("after an aborted exchange the next client gets its own answer", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection, index) => {
    if (index > 0) return answerAll(connection);
    await connection.request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    await connection.waitClosed();
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const first = await RawClient.connect(t, own.port);
  first.send(requestText("/first"));
  await first.until("half of it");
  first.reset();
  await upstream.connections[0]?.waitClosed();
  const second = await RawClient.connect(t, own.port);
  second.send(requestText("/second"));
  assert.equal((await second.response()).text, "GET /second ");
});

test("an instance that dies in the middle of an answer cuts the client, which cannot mistake it for whole", async (t) => {
  for (const head of ["Content-Length: 100", "Transfer-Encoding: chunked"]) {
    const part = head.startsWith("T") ? "4\r\npart\r\n" : "part";
    const upstream = await scriptedUpstream(t, async (connection) => {
      await connection.request();
      connection.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${part}`);
      await sawPart.promise;
      connection.reset();
    });
    const sawPart = deferred();
    const own = await startGateway(t, { document: simpleDocument(upstream.address) });
    const client = await RawClient.connect(t, own.port);
    client.send(requestText("/"));
    await client.until("part");
    sawPart.resolve();
    await client.waitClosed();
    await assert.rejects(client.response(), /closed before a whole response/);
  }
});
