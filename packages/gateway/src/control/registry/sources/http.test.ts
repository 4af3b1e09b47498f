import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../../tests/kit/fake-timers.ts";
import { portOf } from "../../../../../../tests/kit/ports.ts";
import { turns } from "../source.fixtures.ts";
import { askJson, askLines, BrokenStreamError, StatusError, type HttpQuestion } from "./http.ts";

async function serving(t: TestContext, listener: RequestListener) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const clock = new FakeClock();
  const abort = new AbortController();
  const question: HttpQuestion = {
    url: `http://127.0.0.1:${portOf(server)}/v1/a?token=hush`,
    ...{ timeoutMs: 10_000, signal: abort.signal, timers: fakeTimers(clock) },
  };
  return { question, clock, abort };
}

/** All that a stream said, and how it ended. */
async function linesOf(lines: AsyncIterable<string>): Promise<{ lines: string[]; error?: unknown }> {
  const all: string[] = [];
  try {
    for await (const line of lines) all.push(line);
    return { lines: all };
  } catch (error) {
    return { lines: all, error };
  }
}

const refusals: [string, RequestListener, RegExp][] = [
  [
    "a status with a text",
    (_, response) => response.writeHead(500).end("no leader\nat x"),
    /: answered 500 \(no leader\)$/,
  ],
  [
    "a status with a message in JSON",
    (_, response) => response.writeHead(403).end('{"kind":"Status","message":"forbidden"}'),
    /: answered 403 \(forbidden\)$/,
  ],
  ["a status with a page", (_, response) => response.writeHead(502).end("<html>\nbad"), /: answered 502$/],
  [
    "a status with a long text",
    (_, response) => response.writeHead(400).end("x".repeat(900)),
    /answered 400 \(x{200}\)$/,
  ],
  [
    "a redirect",
    (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    /: answered 302$/,
  ],
  ["no JSON", (_, response) => response.end("<html>"), /: did not answer with JSON$/],
  ["nothing", (_, response) => response.end(), /: did not answer with JSON$/],
  [
    "half an answer",
    (_, response) => {
      response.writeHead(200, { "content-length": 10 });
      response.write("[1,2", () => response.destroy());
    },
    /: broke the connection off$/,
  ],
  ["a connection that is cut", (request) => void request.destroy(), /: broke the connection off$/],
  [
    "more than 32 MiB",
    (_, response) => {
      const mebibyte = " ".repeat(1024 * 1024);
      for (let i = 0; i < 33; i++) response.write(mebibyte);
      response.end("[]");
    },
    /: answered more than 33554432 bytes$/,
  ],
];
for (const [what, listener, message] of refusals) {
  test(`${what} is refused, and told of without the query`, async (t) => {
    const { question, clock } = await serving(t, listener);
    await assert.rejects(askJson(question), (error: Error) => {
      assert.match(error.message, message);
      assert.match(error.message, /^http:\/\/127\.0\.0\.1:\d+\/v1\/a: /);
      assert.doesNotMatch(error.message, /hush/);
      return true;
    });
    assert.equal(clock.pending, 0);
  });
}

test("a status is told as a number too", async (t) => {
  const { question } = await serving(t, (_, response) => response.writeHead(410).end());
  await assert.rejects(askJson(question), (error) => error instanceof StatusError && error.status === 410);
  const { error } = await linesOf(askLines(question, 1_000));
  assert.ok(error instanceof StatusError && error.status === 410);
});

test("an answer whose body does not end has the time that the whole answer has", async (t) => {
  const { question, clock } = await serving(t, (_, response) => void response.write("["));
  const asked = assert.rejects(askJson(question), /: did not answer within 10 s$/);
  await turns();
  clock.advance(10_000);
  await asked;
});

test("who asks can leave, before the answer and while it comes", async (t) => {
  for (const listener of [() => undefined, (_, response) => void response.write("[")] satisfies RequestListener[]) {
    const { question, abort, clock } = await serving(t, listener);
    const asked = assert.rejects(askJson(question));
    await turns();
    abort.abort();
    await asked;
    assert.equal(clock.pending, 0);
    await assert.rejects(askJson(question));
  }
});

test("a stream is its lines, wherever it is cut", async (t) => {
  const text = '{"a":"ä€𝄞"}\n\n  \n{"b":1}\nrest';
  const { question } = await serving(t, (_, response) => {
    for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
    response.end();
  });
  assert.deepEqual(await linesOf(askLines(question, 1_000)), { lines: ['{"a":"ä€𝄞"}', '{"b":1}'] });
});

test("a stream on which nothing comes ends; each piece begins the time anew", async (t) => {
  let write: (text: string) => void = () => undefined;
  const { question, clock } = await serving(t, (_, response) => {
    response.flushHeaders();
    write = (text) => void response.write(text);
  });
  const read = linesOf(askLines(question, 60_000));
  for (const line of ["1\n", "2\n", "3"]) {
    await turns();
    clock.advance(59_000);
    write(line);
  }
  await turns();
  clock.advance(59_999);
  await turns();
  write("\n");
  await turns();
  clock.advance(60_000);
  assert.deepEqual(await read, { lines: ["1", "2", "3"] });
  assert.equal(clock.pending, 0);
});

test("a stream that breaks off says so", async (t) => {
  const { question } = await serving(t, (_, response) => void response.write("1\n2", () => response.destroy()));
  const { lines, error } = await linesOf(askLines(question, 1_000));
  assert.deepEqual(lines, ["1"]);
  assert.ok(error instanceof BrokenStreamError);
  assert.match(error.message, /\/v1\/a: broke the connection off$/);
});

test("a line without end is refused", async (t) => {
  const { question } = await serving(t, (_, response) => {
    for (let i = 0; i < 9; i++) response.write("x".repeat(1024 * 1024));
  });
  const { error } = await linesOf(askLines(question, 60_000));
  assert.match(String(error), /sent a line of more than 8388608 bytes$/);
});

test("who stops reading a stream closes it", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { question } = await serving(t, (_, response) => {
    response.write("1\n");
    response.on("close", resolve);
  });
  for await (const line of askLines(question, 1_000)) {
    assert.equal(line, "1");
    break;
  }
  await promise;
});

const openssl = "/usr/bin/openssl";
const noTls = existsSync(openssl) ? false : "openssl, which makes the certificate, is missing";

test("over TLS a server is believed that the named authority signed, and no other", { skip: noTls }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "headgate-tls-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"];
  const names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  execFileSync(openssl, ["req", "-x509", ...key, "-out", "cert.pem", ...names], { cwd: directory, stdio: "pipe" });
  const pem = (name: string): string => readFileSync(join(directory, name), "utf8");
  const server = createTlsServer({ key: pem("key.pem"), cert: pem("cert.pem") }, (_, response) => response.end("[1]"));
  server.listen(0, "127.0.0.1");
  t.after(() => void server.close());
  await once(server, "listening");
  const { question } = await serving(t, () => undefined);
  const secure = { ...question, url: `https://127.0.0.1:${portOf(server)}/` };
  assert.deepEqual((await askJson({ ...secure, ca: pem("cert.pem") })).json, [1]);
  await assert.rejects(askJson(secure), /signed by an authority that is not known: name it as "ca"$/);
  const otherName = { ...secure, ca: pem("cert.pem"), url: secure.url.replace("127.0.0.1", "localhost") };
  await assert.rejects(askJson(otherName), /does not match certificate|ECONNREFUSED/);
});
