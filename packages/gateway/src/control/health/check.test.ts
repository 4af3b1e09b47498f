import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../tests/kit/fake-timers.ts";
import { deadPort } from "../../../../../tests/kit/ports.ts";
import { scriptedUpstream, type UpstreamConnection } from "../../../../../tests/kit/upstream.ts";
import { checkOver } from "./check.ts";
import type { CheckResult } from "./check-state.ts";
import { settingsOf } from "./health.fixtures.ts";

const never = new AbortController().signal;

/** Checks an instance that answers with these bytes. Time stands still: nothing here is decided by a timeout. */
async function answered(t: TestContext, written: object, bytes: string) {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send(bytes);
    connection.end();
  });
  const check = checkOver(fakeTimers(new FakeClock()));
  const result = await check(settingsOf(written), upstream.address, never);
  await upstream.connections[0]?.waitClosed();
  return { result: textOf(result), upstream };
}

function textOf(result: CheckResult): string {
  return result.passed ? "passed" : result.reason;
}

function response(status: string, body = "", fields = ""): string {
  return `HTTP/1.1 ${status}\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`;
}

const healthz = { path: "/healthz" };

for (const [what, written, bytes, expected] of [
  ["a status in the range passes", healthz, response("204 No Content"), "passed"],
  ["a redirect passes and is not followed", healthz, response("302 Found", "", "location: /x\r\n"), "passed"],
  ["a status outside fails", healthz, response("500 Oops"), "GET /healthz answered 500"],
  ["one of a list passes", { ...healthz, status: ["2xx", 418] }, response("418 T"), "passed"],
  ["none of a list fails", { ...healthz, status: [200, "500-599"] }, response("201 C"), "GET /healthz answered 201"],
  ["a text in the body passes", { ...healthz, body: "well" }, response("200 OK", "all is well"), "passed"],
  [
    "a body without the text fails",
    { ...healthz, body: "well" },
    response("200 OK", "ill"),
    'GET /healthz answered 200 without "well" in its first 64 KiB',
  ],
  [
    "a text behind the first 64 KiB is not seen",
    { ...healthz, body: "well" },
    response("200 OK", `${"x".repeat(64 * 1024 - 3)}well`),
    'GET /healthz answered 200 without "well" in its first 64 KiB',
  ],
  [
    "a text at the end of the first 64 KiB is",
    { ...healthz, body: "well" },
    response("200 OK", `${"x".repeat(64 * 1024 - 4)}well and more`),
    "passed",
  ],
  ["an answer that is no HTTP fails", healthz, "SSH-2.0-x\r\n\r\n", "GET /healthz: the answer is no HTTP/1.1"],
  ["no answer at all fails", healthz, "", "GET /healthz: the connection was closed before an answer"],
  [
    "a body that breaks off before the text fails",
    { ...healthz, body: "well" },
    "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nall is",
    "GET /healthz: the connection was closed before an answer",
  ],
  ["a HEAD request is answered without a body", { ...healthz, method: "HEAD" }, response("200 OK"), "passed"],
] as const) {
  test(what, async (t) => assert.equal((await answered(t, written, bytes)).result, expected));
}

test("the request is the one that was asked for, on a connection of its own", async (t) => {
  const written = { path: "/a?b=c", method: "OPTIONS", host: "users.internal", headers: { "X-Probe": "1" } };
  const { upstream } = await answered(t, written, response("200 OK"));
  const [request] = upstream.requests();
  assert.deepEqual([request?.method, request?.target], ["OPTIONS", "/a?b=c"]);
  const head = upstream.connections[0]?.received.toLowerCase() ?? "";
  for (const field of [
    "host: users.internal",
    "x-probe: 1",
    "user-agent: headgate-health-check",
    "connection: close",
  ]) {
    assert.ok(head.includes(`\r\n${field}\r\n`), `${field} in ${head}`);
  }
  assert.equal(head.match(/\r\nhost:/g)?.length, 1);
});

test("a request that cannot be made fails like any other check", async () => {
  const check = checkOver(fakeTimers(new FakeClock()));
  const result = await check({ ...settingsOf(healthz), host: "a\r\nb" }, "127.0.0.1:1", never);
  assert.match(textOf(result), /^the check cannot be made: /);
});

test("without a host the instance's address is sent", async (t) => {
  const { upstream } = await answered(t, healthz, response("200 OK"));
  assert.ok(upstream.connections[0]?.received.toLowerCase().includes(`\r\nhost: ${upstream.address}\r\n`));
});

test("a text that comes a byte at a time is found", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    await connection.sendBytewise("HTTP/1.1 200 OK\r\n\r\nall is well");
    // Open: the check must not wait for the end.
  });
  const check = checkOver(fakeTimers(new FakeClock()));
  assert.equal(textOf(await check(settingsOf({ ...healthz, body: "well" }), upstream.address, never)), "passed");
});

/** A check of an instance that is silent after what `script` does; the clock is in the test's hands. */
async function hanging(t: TestContext, written: object, script: (connection: UpstreamConnection) => Promise<void>) {
  const upstream = await scriptedUpstream(t, script);
  const clock = new FakeClock();
  const stop = new AbortController();
  const result = checkOver(fakeTimers(clock))(settingsOf(written), upstream.address, stop.signal);
  return { upstream, clock, stop, result };
}

test("an instance that takes the request and says nothing fails after the timeout, and the connection is closed", async (t) => {
  const { upstream, clock, result } = await hanging(t, { ...healthz, timeout: "300ms" }, async (connection) => {
    await connection.request();
  });
  const connection = await upstream.connection(0);
  await connection.until("\r\n\r\n");
  clock.advance(299);
  assert.equal(clock.pending, 1);
  clock.advance(1);
  assert.equal(textOf(await result), "GET /healthz: no answer within 300ms");
  await connection.waitClosed();
  assert.equal(clock.pending, 0);
});

test("a head is enough where no text is asked for; a body that never ends is read until the timeout only", async (t) => {
  const { upstream, clock, result } = await hanging(t, healthz, async (connection) => {
    await connection.request();
    connection.send("HTTP/1.1 200 OK\r\n\r\nfor ever");
  });
  assert.equal(textOf(await result), "passed");
  clock.advance(1_000);
  await upstream.connections[0]?.waitClosed();
});

test("an endless body is hung up on after 64 KiB", async (t) => {
  const { upstream, result } = await hanging(t, { ...healthz, body: "well" }, async (connection) => {
    await connection.request();
    connection.send(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(100_000)}`);
  });
  assert.match(textOf(await result), /without "well"/);
  await upstream.connections[0]?.waitClosed();
});

test("a check that is stopped ends at once", async (t) => {
  const { upstream, clock, stop, result } = await hanging(t, healthz, () => Promise.resolve());
  const connection = await upstream.connection(0);
  stop.abort();
  assert.equal(textOf(await result), "GET /healthz: stopped");
  await connection.waitClosed();
  assert.equal(clock.pending, 0);
});

test("a TCP check passes where something listens and fails where nothing does", async (t) => {
  const upstream = await scriptedUpstream(t, (connection) => connection.end());
  const check = checkOver(fakeTimers(new FakeClock()));
  assert.equal(textOf(await check(settingsOf({ tcp: true }), upstream.address, never)), "passed");
  const dead = await deadPort();
  const refused = await check(settingsOf({ tcp: true }), `127.0.0.1:${dead}`, never);
  assert.equal(textOf(refused), "connecting: connection refused");
});

test("a port of its own is where the check goes, and the reason names it", async (t) => {
  const upstream = await scriptedUpstream(t, async (connection) => {
    await connection.request();
    connection.send(response("500 Oops"));
    connection.end();
  });
  const check = checkOver(fakeTimers(new FakeClock()));
  const found = await check(settingsOf({ ...healthz, port: upstream.port }), "127.0.0.1:1", never);
  assert.equal(textOf(found), `GET /healthz at port ${upstream.port} answered 500`);
});
