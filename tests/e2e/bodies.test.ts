import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import test, { after, before } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { RawClient, request, requestText } from "../kit/client.ts";
import { echoUpstream, patternBytes, type Echo, type EchoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import { scriptedUpstream } from "../kit/upstream.ts";
import { deferred } from "../kit/wait.ts";

const run = promisify(execFile);
const scope = new ManualScope();
let echo: EchoUpstream;
let gateway: GatewayProcess;

before(async () => {
  echo = await echoUpstream(scope);
  const document = simpleDocument(echo.address, {
    routes: {
      all: { match: { path: "/*" }, to: "s" },
      limited: { match: { path: "/limited/*" }, use: [{ "body-limit": "1KiB" }], to: "s" },
    },
  });
  gateway = await startGateway(scope, { document });
});
after(() => scope.close());

test("curl uploads with Expect: 100-continue", async () => {
  const file = path.join(gateway.directory, "upload");
  await writeFile(file, patternBytes(300_000));
  const args = [
    "-sS",
    "-v",
    "-T",
    file,
    "-H",
    "Expect: 100-continue",
    "--expect100-timeout",
    "20",
    `${gateway.url}/upload`,
  ];
  const { stdout, stderr } = await run("curl", args);
  assert.equal((JSON.parse(stdout) as Echo).bodyBytes, 300_000);
  assert.match(stderr, /< HTTP\/1\.1 100/);
});

test("a client that waits for 100 Continue is told to go on", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  assert.equal((await client.response()).status, 100);
  client.send("abc");
  const answer = await client.response();
  assert.equal((JSON.parse(answer.text) as Echo).bodyBytes, 3);
});

test("a body that will be refused is not asked for", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send("POST /limited/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n");
  const first = await client.response();
  assert.equal(first.status, 413);
  assert.equal((JSON.parse(first.text) as { code: string }).code, "HG_BODY_TOO_LARGE");
});

test("a chunked body over the limit is cut off where it passes the limit", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const chunk = `400\r\n${"x".repeat(1024)}\r\n`;
  client.send(`POST /limited/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`);
  const response = await client.response();
  assert.equal(response.status, 413);
  assert.equal((JSON.parse(response.text) as { code: string }).code, "HG_BODY_TOO_LARGE");
});

test("a chunked body just within the limit passes", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(
    `POST /limited/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n${"x".repeat(1024)}\r\n0\r\n\r\n`,
  );
  assert.equal((JSON.parse((await client.response()).text) as Echo).bodyBytes, 1024);
});

test("trailers of the instance reach the client", async () => {
  const response = await request(scope, gateway.port, "/trailers");
  assert.equal(response.text, "body with trailers");
  assert.deepEqual(response.trailers, [["x-checksum", "abc123"]]);
});

test("trailers of the client reach the instance", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(
    "POST /x HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
  );
  const seen = JSON.parse((await client.response()).text) as Echo;
  assert.equal(seen.bodyBytes, 3);
  assert.deepEqual(seen.trailers, [["X-Sum", "7"]]);
});

test("a gzip'd answer passes byte for byte", async () => {
  const response = await request(scope, gateway.port, "/gzip", { headers: { "accept-encoding": "gzip" } });
  assert.equal(response.get("content-encoding"), "gzip");
  assert.equal(gunzipSync(response.body).toString(), "compressed by the instance\n".repeat(100));
});

test("the head of a request is sent on before its body is complete", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.head();
    seen.resolve();
    const { body } = await connection.request();
    connection.ok(`got ${body.length}`);
  });
  const seen = deferred();
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  await seen.promise;
  client.send("def");
  assert.equal((await client.response()).text, "got 6");
});

test("an instance that answers before it has the body ends the exchange, and the client sees the answer", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.head();
    connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    connection.end();
  });
  const own = await startGateway(t, { document: simpleDocument(upstream.address) });
  const client = await RawClient.connect(t, own.port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n${"x".repeat(100)}`);
  const response = await client.response();
  assert.equal(response.status, 403);
  assert.equal(response.text, "no");
});

test("a client that reads slowly holds the instance back instead of filling memory", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  const length = 64 * 1024 * 1024;
  const before = await gateway.metric("process_resident_memory_bytes");
  client.socket.pause();
  const count = echo.seen.length;
  client.send(requestText(`/bytes/${length}`, { headers: { connection: "close" } }));
  await echo.arrived(count + 1);
  // Another megabyte through the same worker: had it buffered the first answer, that would be in memory by now.
  for (let i = 0; i < 8; i++) await request(t, gateway.port, "/bytes/131072");
  const grown = (await gateway.metric("process_resident_memory_bytes")) - before;
  assert.ok(grown < 48 * 1024 * 1024, `grew by ${grown} bytes`);
  let received = 0;
  client.socket.removeAllListeners("data");
  client.socket.on("data", (chunk: Buffer) => void (received += chunk.length)).resume();
  await client.waitClosed();
  assert.ok(received > length, `${received} of ${length} bytes`);
});
