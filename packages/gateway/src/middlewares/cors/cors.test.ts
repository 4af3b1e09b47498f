import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../../core/errors.ts";
import type { TestRequest } from "../../testing.ts";
import { runMiddleware } from "../../testing.ts";
import cors from "./index.ts";

const app = "https://app.example.com";
const preflight = (origin = app, headers: Record<string, string> = {}): TestRequest => ({
  method: "OPTIONS",
  headers: { origin, "access-control-request-method": "PUT", ...headers },
});

test("answers preflights itself", async () => {
  const { response, nextCalls } = await runMiddleware(
    cors,
    { origins: [app], methods: ["GET", "PUT"], headers: ["x-a", "x-b"], credentials: true, maxAge: "10m" },
    preflight(),
  );
  assert.equal(nextCalls, 0);
  assert.equal(response.status, 204);
  assert.deepEqual(Object.fromEntries(response.headers), {
    vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    "access-control-allow-origin": app,
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "x-a, x-b",
    "access-control-max-age": "600",
  });
});

test("with * it allows what the browser asks for, valid names only", async () => {
  const { response } = await runMiddleware(
    cors,
    { methods: ["*"] },
    preflight(app, { "access-control-request-headers": "x-a,, X-B ,b@d" }),
  );
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(response.headers.get("access-control-allow-methods"), "PUT");
  assert.equal(response.headers.get("access-control-allow-headers"), "x-a, X-B");
});

test("an OPTIONS request that is no preflight goes to the service", async () => {
  for (const headers of [{}, { origin: app }, { "access-control-request-method": "PUT" }]) {
    assert.equal((await runMiddleware(cors, {}, { method: "OPTIONS", headers })).nextCalls, 1);
  }
});

test("origins are exact, patterns of whole labels, or regular expressions", async () => {
  const rules = [app, "https://*.example.org", { regex: "^http://localhost:\\d+$" }];
  const table: [string, boolean][] = [
    [app, true],
    ["https://app.example.com:8443", false],
    ["http://app.example.com", false],
    ["https://evilapp.example.com", false],
    ["https://a.example.org", true],
    ["https://a.b.example.org", true],
    ["https://example.org", false],
    ["https://evil.com/.example.org", false],
    ["https://evil.com?.example.org", false],
    ["https://.example.org", false],
    ["https://aexample.org", false],
    ["https://a.example.org.evil.com", false],
    ["http://localhost:3000", true],
    ["http://localhost:3000.evil.com", false],
    ["null", false],
  ];
  for (const [origin, allowed] of table) {
    const expected = allowed ? origin : undefined;
    const actual = await runMiddleware(cors, { origins: rules }, { headers: { origin } });
    assert.equal(actual.response.headers.get("access-control-allow-origin"), expected, origin);
    assert.equal(actual.response.status, 200);
    assert.equal(actual.response.headers.get("vary"), "Origin");
    const asked = await runMiddleware(cors, { origins: rules }, preflight(origin));
    assert.equal(asked.response.headers.get("access-control-allow-origin"), expected, origin);
    assert.equal(asked.response.headers.has("access-control-allow-methods"), allowed, origin);
    assert.equal(asked.response.status, 204);
  }
});

test("never sends * with credentials: it echoes the origin, but not that of a sandboxed frame", async () => {
  const shared = await runMiddleware(cors, { credentials: true }, { headers: { origin: app } });
  assert.equal(shared.response.headers.get("access-control-allow-origin"), app);
  assert.equal(shared.response.headers.get("access-control-allow-credentials"), "true");
  assert.equal(shared.response.headers.get("vary"), "Origin");
  const sandboxed = await runMiddleware(cors, { credentials: true }, { headers: { origin: "null" } });
  assert.equal(sandboxed.response.headers.has("access-control-allow-origin"), false);
  const named = await runMiddleware(cors, { origins: ["null"], credentials: true }, { headers: { origin: "null" } });
  assert.equal(named.response.headers.get("access-control-allow-origin"), "null");
});

test("replaces the instance's own CORS fields, and keeps its Vary", async () => {
  const upstream = {
    status: 200,
    headers: {
      "Access-Control-Allow-Origin": "*",
      "Access-Control-Allow-Credentials": "true",
      Vary: "Accept-Encoding",
    },
  };
  const allowed = await runMiddleware(
    cors,
    { origins: [app], expose: ["x-a"] },
    { headers: { origin: app } },
    { upstream },
  );
  assert.deepEqual(allowed.response.headers.getAll("access-control-allow-origin"), [app]);
  assert.equal(allowed.response.headers.has("access-control-allow-credentials"), false);
  assert.equal(allowed.response.headers.get("access-control-expose-headers"), "x-a");
  assert.deepEqual(allowed.response.headers.getAll("vary"), ["Accept-Encoding", "Origin"]);
  const unknown = await runMiddleware(cors, app, { headers: { origin: "https://evil.com" } }, { upstream });
  assert.equal(unknown.response.headers.has("access-control-allow-origin"), false);
  const varied = await runMiddleware(
    cors,
    [app],
    {},
    { upstream: { status: 200, headers: { vary: "Accept, origin" } } },
  );
  assert.deepEqual(varied.response.headers.getAll("vary"), ["Accept, origin"]);
});

test("* without credentials is the same answer for every request, so caches need not tell them apart", async () => {
  const { response } = await runMiddleware(cors, {});
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(response.headers.has("vary"), false);
});

test("the gateway's own errors can be read by the page", async () => {
  const upstream = (): never => {
    throw new GatewayError("HG_UNAUTHENTICATED", { headers: { "www-authenticate": "Bearer", vary: "Cookie" } });
  };
  const { response } = await runMiddleware(cors, { origins: [app] }, { headers: { origin: app } }, { upstream });
  assert.equal(response.status, 401);
  assert.equal(response.headers.get("access-control-allow-origin"), app);
  assert.equal(response.headers.get("www-authenticate"), "Bearer");
  assert.equal(response.headers.get("vary"), "Cookie, Origin");
});

test("refuses origins that no browser sends, and other settings that cannot be meant", async () => {
  const table: unknown[] = [
    "app.example.com",
    "https://app.example.com/",
    "https://*",
    "https://a.*.example.com",
    "HTTPS://app.example.com",
    { origins: [] },
    { origins: [{ regex: "(" }] },
    { methods: ["a b"] },
    { maxAge: 600 },
    { credentials: "yes" },
    { origin: [app] },
  ];
  for (const settings of table) assert.equal(cors.config.safeParse(settings).success, false, JSON.stringify(settings));
  await assert.rejects(runMiddleware(cors, { credentials: true, expose: ["*"] }), /cannot be \* with credentials/);
});
