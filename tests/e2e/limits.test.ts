import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { RawClient, request, requestText } from "../kit/client.ts";
import { startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { deadPort } from "../kit/ports.ts";
import { ManualScope } from "../kit/scope.ts";
import { scriptedUpstream, type ScriptedUpstream } from "../kit/upstream.ts";
import type { WireResponse } from "../kit/wire.ts";

const scope = new ManualScope();
let silent: ScriptedUpstream;
let gateway: GatewayProcess;

before(async () => {
  silent = await scriptedUpstream(scope);
  const stalling = await scriptedUpstream(scope, async (connection) => {
    await connection.request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning");
  });
  const cutting = await scriptedUpstream(scope, async (connection) => {
    await connection.request();
    connection.reset();
  });
  const lying = await scriptedUpstream(scope, async (connection) => {
    await connection.request();
    connection.send("this is not HTTP\r\n\r\n");
  });
  const dead = await deadPort();
  const service = (address: string, more: object = {}): object => ({ instances: [{ address }], ...more });
  const route = (name: string, more: object = {}): object => ({ match: { path: `/${name}/*` }, to: name, ...more });
  gateway = await startGateway(scope, {
    document: {
      gateway: {
        timeouts: { requestHead: "500ms", requestBodyIdle: "500ms", keepAlive: "500ms" },
        limits: { requestHead: "4KiB", headers: 20, uri: "1KiB" },
      },
      routes: {
        silent: route("silent"),
        brief: { match: { path: "/brief/*" }, to: "patient", timeout: "300ms" },
        patient: route("patient"),
        stalling: route("stalling"),
        cutting: route("cutting"),
        lying: route("lying"),
        dead: route("dead"),
        hello: { match: { path: "/hello" }, respond: { status: 200, body: "hi" } },
      },
      services: {
        silent: service(silent.address, { timeouts: { firstByte: "300ms" } }),
        patient: service(silent.address, { timeouts: { firstByte: "30s" } }),
        stalling: service(stalling.address, { timeouts: { idle: "300ms" } }),
        cutting: service(cutting.address),
        lying: service(lying.address),
        dead: service(`127.0.0.1:${dead}`),
      },
    },
  });
});
after(() => scope.close());

function assertProblem(response: WireResponse, status: number, code: string): void {
  assert.equal(response.status, status, response.text);
  assert.equal(response.get("content-type"), "application/problem+json");
  const problem = JSON.parse(response.text) as Record<string, unknown>;
  assert.equal(problem["code"], code);
  assert.equal(problem["status"], status);
  assert.equal(problem["type"], `urn:headgate:error:${code.slice(3).toLowerCase().replaceAll("_", "-")}`);
  assert.equal(typeof problem["title"], "string");
  assert.match(String(problem["requestId"]), /\S/);
}

const refusals: readonly { what: string; send: string; status: number; code: string }[] = [
  { what: "a target over the limit", send: requestText(`/${"x".repeat(1100)}`), status: 414, code: "HG_URI_TOO_LONG" },
  {
    what: "a target over the limit that never ends",
    send: `GET /${"x".repeat(1100)}`,
    status: 414,
    code: "HG_URI_TOO_LONG",
  },
  {
    what: "a head over the limit",
    send: requestText("/", { headers: { "x-big": "x".repeat(5000) } }),
    status: 431,
    code: "HG_HEADERS_TOO_LARGE",
  },
  {
    what: "a head over the limit that never ends",
    send: `GET / HTTP/1.1\r\nX: ${"x".repeat(5000)}`,
    status: 431,
    code: "HG_HEADERS_TOO_LARGE",
  },
  {
    what: "more fields than the limit",
    send: requestText("/", { headers: Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`x-${i}`, "1"])) }),
    status: 431,
    code: "HG_HEADERS_TOO_LARGE",
  },
  {
    what: "a head that stops in the middle",
    send: "GET / HTTP/1.1\r\nHost: a\r\n",
    status: 408,
    code: "HG_REQUEST_TIMEOUT",
  },
  { what: "a head of which only a byte comes", send: "G", status: 408, code: "HG_REQUEST_TIMEOUT" },
  { what: "a later HTTP version", send: "GET / HTTP/2.0\r\nHost: a\r\n\r\n", status: 505, code: "HG_HTTP_VERSION" },
  {
    what: "an unknown expectation",
    send: requestText("/", { headers: { expect: "a-miracle" } }),
    status: 417,
    code: "HG_EXPECTATION_FAILED",
  },
  {
    what: "what is not HTTP",
    send: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    status: 400,
    code: "HG_BAD_REQUEST",
  },
];

for (const { what, send, status, code } of refusals) {
  test(`${what} is answered ${status} ${code} and the connection closed`, async (t) => {
    const client = await RawClient.connect(t, gateway.port);
    client.send(send);
    assertProblem(await client.response(), status, code);
    assert.equal(await client.waitClosed(), "end");
  });
}

test("a body that stops in the middle is answered 408 and the instance's connection ended", async (t) => {
  const count = silent.connections.length;
  const client = await RawClient.connect(t, gateway.port);
  client.send("POST /patient/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  assertProblem(await client.response(), 408, "HG_REQUEST_TIMEOUT");
  assert.equal(await client.waitClosed(), "end");
  await (await silent.connection(count)).waitClosed();
});

test("an idle connection is closed without a word, before and after a request", async (t) => {
  const used = await RawClient.connect(t, gateway.port);
  used.send(requestText("/hello"));
  assert.equal((await used.response()).text, "hi");
  await used.waitClosed();
  assert.equal(used.unread, "");
});

const failures: readonly { path: string; status: number; code: string }[] = [
  { path: "/silent/x", status: 504, code: "HG_UPSTREAM_TIMEOUT" },
  { path: "/brief/x", status: 504, code: "HG_TIMEOUT" },
  { path: "/cutting/x", status: 502, code: "HG_UPSTREAM_RESET" },
  { path: "/lying/x", status: 502, code: "HG_UPSTREAM_PROTOCOL" },
  { path: "/dead/x", status: 502, code: "HG_UPSTREAM_CONNECT" },
];

for (const { path, status, code } of failures) {
  test(`${path}: what goes wrong behind the gateway is answered ${status} ${code}, and the connection goes on`, async (t) => {
    const client = await RawClient.connect(t, gateway.port);
    client.send(requestText(path));
    assertProblem(await client.response(), status, code);
    client.send(requestText("/hello"));
    assert.equal((await client.response()).text, "hi");
  });
}

test("an answer that stalls in the middle is cut", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/stalling/x"));
  await client.until("beginning");
  await client.waitClosed();
});

test("an error answer to HEAD has no body", async (t) => {
  const client = await RawClient.connect(t, gateway.port);
  client.send(requestText("/dead/x", { method: "HEAD" }) + requestText("/hello"));
  assert.equal((await client.response("HEAD")).status, 502);
  assert.equal((await client.response()).text, "hi");
});

test("the instance's error is told neither in the answer's text nor its fields", async (t) => {
  const response = await request(t, gateway.port, "/dead/x");
  assert.ok(!/127\.0\.0\.1|ECONN/.test(response.text + JSON.stringify(response.fields)));
});
