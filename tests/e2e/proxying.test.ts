import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test, { after, before } from "node:test";
import { request, type RequestInit } from "../kit/client.ts";
import { echoUpstream, patternBytes, type Echo, type EchoUpstream } from "../kit/echo.ts";
import { simpleDocument, startGateway, type GatewayProcess } from "../kit/gateway.ts";
import { ManualScope } from "../kit/scope.ts";
import type { WireResponse } from "../kit/wire.ts";

const scope = new ManualScope();
let echo: EchoUpstream;
let gateway: GatewayProcess;
let trusting: GatewayProcess;

before(async () => {
  echo = await echoUpstream(scope);
  const gatewaySection = { trustedProxies: ["127.0.0.1/32"] };
  [gateway, trusting] = await Promise.all([
    startGateway(scope, { document: simpleDocument(echo.address) }),
    startGateway(scope, { document: simpleDocument(echo.address, { gateway: gatewaySection }) }),
  ]);
});
after(() => scope.close());

async function send(
  target: string,
  init: RequestInit = {},
  through = gateway,
): Promise<{ response: WireResponse; echo: Echo }> {
  const response = await request(scope, through.port, target, init);
  assert.equal(response.status, 200, response.text);
  return { response, echo: JSON.parse(response.text) as Echo }; // what the kit's echo upstream sends
}

function sent(echo: Echo, name: string): string[] {
  return echo.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]) {
  test(`${method} reaches the instance as it was sent`, async () => {
    const body = method === "GET" || method === "OPTIONS" ? {} : { body: "some text" };
    const seen = await send(`/things/1?a=b&c=%20`, { method, ...body });
    assert.equal(seen.echo.method, method);
    assert.equal(seen.echo.url, "/things/1?a=b&c=%20");
    assert.equal(seen.echo.bodyBytes, body.body?.length ?? 0);
  });
}

test("an answer to HEAD has the length of the body it leaves out, and the connection goes on", async () => {
  const response = await request(scope, gateway.port, "/bytes/1234", { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(response.get("content-length"), "1234");
  assert.equal(response.body.length, 0);
});

for (const status of [201, 204, 206, 301, 304, 400, 404, 418, 429, 500, 503]) {
  test(`the instance's ${status} passes unchanged`, async () => {
    const response = await request(scope, gateway.port, `/status/${status}`);
    assert.equal(response.status, status);
    assert.equal(response.get("x-from"), "upstream");
    assert.equal(response.text, status === 204 || status === 304 ? "" : `status ${status}`);
  });
}

test("header fields keep their order, case and repetition", async () => {
  const { echo: seen } = await send("/", {
    headers: { "X-One": "1", "x-TWO": " two  words ", "X-one": "3", "X-Empty": "" },
  });
  const own = seen.headers.filter(([name]) => /^x-(one|two|empty)$/i.test(name));
  assert.deepEqual(own, [
    ["X-One", "1"],
    ["x-TWO", "two  words"],
    ["X-one", "3"],
    ["X-Empty", ""],
  ]);
});

test("hop-by-hop fields and those that Connection names stay here", async () => {
  const headers = {
    Connection: "x-hop, keep-alive",
    "X-Hop": "1",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "keep-alive",
    TE: "trailers",
    "Proxy-Authorization": "Basic eDp5",
    "X-Stays": "1",
  };
  const { echo: seen } = await send("/", { headers });
  for (const name of ["x-hop", "keep-alive", "proxy-connection", "te", "proxy-authorization", "upgrade"])
    assert.deepEqual(sent(seen, name), [], name);
  assert.deepEqual(sent(seen, "x-stays"), ["1"]);
  assert.ok(!sent(seen, "connection").join().includes("x-hop"));
});

test("Connection cannot name away what the gateway itself says about the client", async () => {
  const { echo: seen } = await send("/", { headers: { Connection: "x-forwarded-for, x-forwarded-proto, host, via" } });
  assert.deepEqual(sent(seen, "x-forwarded-for"), ["127.0.0.1"]);
  assert.deepEqual(sent(seen, "x-forwarded-proto"), ["http"]);
  assert.deepEqual(sent(seen, "host"), ["test.example"]);
  assert.equal(sent(seen, "via").length, 1);
});

test("the instance learns of the client, and the client's own claims are overwritten", async () => {
  const forged = {
    "X-Forwarded-For": "6.6.6.6",
    "x-forwarded-proto": "https",
    "X-Forwarded-Host": "evil",
    "X-Forwarded-Port": "1",
  };
  const { echo: seen } = await send("/", { headers: forged });
  assert.deepEqual(sent(seen, "x-forwarded-for"), ["127.0.0.1"]);
  assert.deepEqual(sent(seen, "x-forwarded-proto"), ["http"]);
  assert.deepEqual(sent(seen, "x-forwarded-host"), ["test.example"]);
  assert.deepEqual(sent(seen, "x-forwarded-port"), [String(gateway.port)]);
  assert.deepEqual(sent(seen, "host"), ["test.example"]);
  assert.match(sent(seen, "via").join(), /^1\.1 \S+$/);
  assert.equal(sent(seen, "x-request-id").length, 1);
});

test("a trusted proxy's word about the client is believed and passed on", async () => {
  const reported = { "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example" };
  const { echo: seen } = await send("/", { headers: reported }, trusting);
  assert.deepEqual(sent(seen, "x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
  assert.deepEqual(sent(seen, "x-forwarded-proto"), ["https"]);
  assert.deepEqual(sent(seen, "x-forwarded-host"), ["public.example"]);
});

test("Via of earlier proxies stays in front of ours", async () => {
  const { echo: seen } = await send("/", { headers: { Via: "1.0 first" } });
  assert.match(sent(seen, "via").join(", "), /^1\.0 first, 1\.1 \S+$/);
});

for (const [from, to] of [
  ["/a/../b", "/b"],
  ["/a/./b/", "/a/b/"],
  ["/%61/b", "/a/b"],
  ["/a%2fb", "/a%2fb"],
  ["/a//b", "/a//b"],
  ["/%2e%2e/b?x=/../y", "/b?x=/../y"],
  ["http://test.example/abs?q", "/abs?q"],
] as const) {
  test(`${from} is sent on as ${to}`, async () => {
    assert.equal((await send(from)).echo.url, to);
  });
}

test("a body of a mebibyte arrives whole in both directions", async () => {
  const body = "0123456789abcdef".repeat(65_536);
  const { echo: seen } = await send("/up", { method: "POST", body });
  assert.equal(seen.bodyBytes, body.length);
  assert.equal(seen.bodySha256, createHash("sha256").update(body).digest("hex"));
  const down = await request(scope, gateway.port, "/bytes/1048576");
  assert.ok(down.body.equals(patternBytes(1_048_576)));
});
