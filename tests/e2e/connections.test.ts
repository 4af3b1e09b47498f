import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { RawClient, requestText } from "../kit/client.ts";
import { echoUpstream, type EchoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import { answerAll, scriptedUpstream } from "../kit/upstream.ts";

const scope = new ManualScope();
let echo: EchoUpstream;
let gateway: GatewayProcess;

before(async () => {
  echo = await echoUpstream(scope);
  gateway = await startGateway(scope, { document: simpleDocument(echo.address) });
});
after(() => scope.close());

test("many requests of one client use one connection to the instance", async (t) => {
  const upstream = await scriptedUpstream(t, answerAll);
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  for (let i = 0; i < 20; i++) {
    client.send(requestText(`/${i}`));
    assert.equal((await client.response()).text, `GET /${i} `);
  }
  assert.equal(upstream.connections.length, 1);
});

test("pipelined requests are answered in their order, also when later ones would be ready first", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const before = echo.seen.length;
  client.send(
    requestText("/first/slow") + requestText("/second") + requestText("/third", { method: "POST", body: "x" }),
  );
  await echo.release();
  for (const url of ["/first/slow", "/second", "/third"]) {
    assert.equal((JSON.parse((await client.response()).text) as { url: string }).url, url);
  }
  assert.equal(echo.seen.length - before, 3);
});

test("a hundred pipelined requests in one packet get a hundred answers in order", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(Array.from({ length: 100 }, (_, i) => requestText("/", { headers: { "x-id": String(i) } })).join(""));
  for (let i = 0; i < 100; i++) assert.equal((await client.response()).get("x-id"), String(i));
});

test("requests are understood however they are split over packets", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const chunked =
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n";
  await client.sendBytewise(requestText("/a") + chunked + requestText("/b", { method: "PUT", body: "12345" }));
  const seen: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    const { url, bodyBytes } = JSON.parse((await client.response()).text) as { url: string; bodyBytes: number };
    seen.push([url, bodyBytes]);
  }
  assert.deepEqual(seen, [
    ["/a", 0],
    ["/c", 5],
    ["/b", 5],
  ]);
});

test("an answer is understood however the instance splits it", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    await connection.sendBytewise(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n",
    );
    await answerAll(connection);
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(requestText("/"));
  assert.equal((await client.finalResponse()).text, "abc");
  client.send(requestText("/again"));
  assert.equal((await client.finalResponse()).text, "GET /again ");
  assert.equal(upstream.connections.length, 1, "the instance's connection is used again");
});

test("Connection: close is honoured and said", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/", { headers: { connection: "close" } }));
  const response = await client.response();
  assert.equal(response.status, 200);
  assert.equal(response.get("connection")?.toLowerCase(), "close");
  assert.equal(await client.waitClosed(), "end");
});

test("an HTTP/1.0 client gets its answer without chunked coding, then the end", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send("GET /chunked HTTP/1.0\r\nHost: a\r\n\r\n");
  assert.equal(await client.waitClosed(), "end");
  const response = await client.response();
  assert.equal(response.get("transfer-encoding"), undefined);
  assert.equal(response.text, "one two three");
});

test("a client that ends its side still gets the answer to what it asked", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const count = echo.seen.length;
  client.send(requestText("/half/slow"));
  client.end();
  await echo.arrived(count + 1);
  await echo.release();
  assert.equal((await client.response()).status, 200);
  assert.equal(await client.waitClosed(), "end");
});

test("a body that ends with the instance's connection arrives whole and is marked as ended", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end");
    connection.end();
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(requestText("/"));
  const response = await client.response();
  assert.equal(response.text, "until the end");
  assert.ok(response.framing === "chunked" || response.framing === "close");
});

test("OPTIONS * is answered or passed on, and CONNECT is refused", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.ok((await client.response()).status < 500);
  client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
  const refused = await client.response();
  assert.equal(refused.status, 501);
  assert.equal((JSON.parse(refused.text) as { code: string }).code, "HG_METHOD_NOT_IMPLEMENTED");
});
