import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { Readable } from "node:stream";
import test, { after, before } from "node:test";
import { promisify } from "node:util";
import { Agent, Client, request as undici } from "undici";
import { echoUpstream, patternBytes, type Echo, type EchoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";

const run = promisify(execFile);
const scope = new ManualScope();
let echo: EchoUpstream;
let gateway: GatewayProcess;

before(async () => {
  echo = await echoUpstream(scope);
  gateway = await startGateway(scope, { document: simpleDocument(echo.address), workers: 2 });
});
after(() => scope.close());

test("undici: requests over a pool of connections, each with its own answer", async (t) => {
  const agent = new Agent({ connections: 8, pipelining: 4 });
  t.after(() => agent.close());
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const body = "x".repeat(i * 37);
      const {
        statusCode,
        headers,
        body: answer,
      } = await undici(`${gateway.url}/u/${i}`, {
        method: "POST",
        body,
        headers: { "x-id": String(i) },
        dispatcher: agent,
      });
      const seen = (await answer.json()) as Echo; // the kit's echo upstream
      return [statusCode, headers["x-id"], seen.url, seen.bodyBytes];
    }),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 200 }, (_, i) => [200, String(i), `/u/${i}`, i * 37]),
  );
});

test("undici: pipelined on one connection, trailers and a streamed upload", async (t) => {
  const client = new Client(gateway.url, { pipelining: 10 });
  t.after(() => client.close());
  const answers = await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      const { body } = await client.request({ path: `/bytes/${i * 1000}`, method: "GET" });
      return Buffer.from(await body.arrayBuffer()).equals(patternBytes(i * 1000));
    }),
  );
  assert.ok(answers.every(Boolean));
  const trailers = await client.request({ path: "/trailers", method: "GET" });
  assert.equal(await trailers.body.text(), "body with trailers");
  assert.deepEqual(trailers.trailers, { "x-checksum": "abc123" });
  const streamed = await client.request({
    path: "/up",
    method: "PUT",
    body: Readable.from(Array.from({ length: 50 }, (_, i) => Buffer.alloc(1000, i))),
  });
  assert.equal(((await streamed.body.json()) as Echo).bodyBytes, 50_000);
});

test("undici: an aborted request ends at the instance", async () => {
  const [seen, aborted] = [echo.seen.length, echo.aborted.length];
  const abort = new AbortController();
  const answer = undici(`${gateway.url}/slow`, { signal: abort.signal });
  answer.catch(() => undefined);
  await echo.arrived(seen + 1);
  abort.abort();
  await assert.rejects(answer);
  await echo.aborts(aborted + 1);
});

test("node's fetch: compressed answers are decoded by the client, and redirects are its own", async () => {
  const response = await fetch(`${gateway.url}/gzip`);
  assert.equal(await response.text(), "compressed by the instance\n".repeat(100));
});

test("curl: HEAD, a range of methods, and two URLs on one connection", async () => {
  const head = await run("curl", ["-sS", "-I", `${gateway.url}/bytes/77`]);
  assert.match(head.stdout, /^HTTP\/1\.1 200/);
  assert.match(head.stdout, /content-length: 77/i);
  const { stdout } = await run("curl", ["-sS", "-X", "PATCH", "-d", "a=b", `${gateway.url}/p`]);
  assert.deepEqual([(JSON.parse(stdout) as Echo).method, (JSON.parse(stdout) as Echo).bodyBytes], ["PATCH", 3]);
  const reused = await run("curl", [
    "-sS",
    "-o",
    "/dev/null",
    "-o",
    "/dev/null",
    "-w",
    "%{num_connects} ",
    `${gateway.url}/1`,
    `${gateway.url}/2`,
  ]);
  assert.equal(reused.stdout.trim(), "1 0");
});

test("curl: --http1.0, and a chunked upload from a pipe", async () => {
  const old = await run("curl", ["-sS", "--http1.0", `${gateway.url}/chunked`]);
  assert.equal(old.stdout, "one two three");
  const upload = run("curl", ["-sS", "-T", "-", `${gateway.url}/piped`]);
  upload.child.stdin?.end("from standard input");
  assert.equal((JSON.parse((await upload).stdout) as Echo).bodyBytes, 19);
});
