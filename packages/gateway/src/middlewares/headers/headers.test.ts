import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../../core/errors.ts";
import { runMiddleware } from "../../testing.ts";
import headers from "./index.ts";

test("removes, then sets, then adds on the request", async () => {
  const { exchange } = await runMiddleware(
    headers,
    {
      request: {
        remove: ["X-Debug", "x-gone"],
        set: { "X-Team": "blue", "x-version": 2, "x-client": "${client.ip}", "x-id": "${param.id}/${route}" },
        add: { "x-tag": "b", "X-Team": "red" },
      },
    },
    { headers: { "x-debug": "1", "x-team": "a", "x-tag": "a", "x-stays": "1" } },
    { params: { id: "7" } },
  );
  const { headers: sent } = exchange.request;
  assert.equal(sent.has("x-debug"), false);
  assert.deepEqual(sent.getAll("x-team"), ["blue", "red"]);
  assert.deepEqual(sent.getAll("x-tag"), ["a", "b"]);
  assert.equal(sent.get("x-version"), "2");
  assert.equal(sent.get("x-client"), "192.0.2.1");
  assert.equal(sent.get("x-id"), "7/test-route");
  assert.equal(sent.get("x-stays"), "1");
});

test("a variable without a value sends no field, and not the client's own either", async () => {
  const { exchange } = await runMiddleware(
    headers,
    { request: { set: { "x-user": "${consumer}", host: "${param.none}" }, add: { "x-sub": "${user.sub}" } } },
    { headers: { "x-user": "admin", host: "a.example" } },
  );
  assert.equal(exchange.request.headers.has("x-user"), false);
  assert.equal(exchange.request.headers.has("x-sub"), false);
  assert.equal(exchange.request.headers.get("host"), "a.example");
});

test("changes the instance's answer after it came", async () => {
  const { response } = await runMiddleware(
    headers,
    { response: { remove: ["server"], set: { "x-status": "${response.status}" }, add: { "set-cookie": "b=2" } } },
    {},
    { upstream: { status: 203, headers: { Server: "x", "set-cookie": "a=1" } } },
  );
  assert.equal(response.headers.has("server"), false);
  assert.equal(response.headers.get("x-status"), "203");
  assert.deepEqual(response.headers.getAll("set-cookie"), ["a=1", "b=2"]);
});

test("the gateway's own errors carry the answer's fields too", async () => {
  const failing = (): never => {
    throw new GatewayError("HG_UPSTREAM_CONNECT");
  };
  const { response, error } = await runMiddleware(
    headers,
    {
      response: {
        set: {
          "strict-transport-security": "max-age=1",
          "x-status": "${response.status}",
          "Content-Type": "text/html",
          "cache-control": "max-age=60",
        },
      },
    },
    {},
    { upstream: failing },
  );
  assert.equal(error?.code, "HG_UPSTREAM_CONNECT");
  assert.equal(response.headers.get("strict-transport-security"), "max-age=1");
  assert.equal(response.headers.get("x-status"), "502");
  // An error is another body than the one those were written for.
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(response.headers.has("cache-control"), false);
});

test("a value from the request cannot start another header line", async () => {
  const { exchange } = await runMiddleware(
    headers,
    { request: { set: { "x-q": "${request.query.q}" } } },
    { url: "/?q=a%0d%0aevil:%201" },
  );
  assert.equal(exchange.request.headers.get("x-q"), "aevil: 1");
});

test("refuses fields of the wire, bad names, control characters and unknown variables, and says why", async () => {
  const table: [unknown, RegExp][] = [
    [{ request: { set: { "Content-Length": "1" } } }, /delimits bodies itself/],
    [{ request: { remove: ["transfer-encoding"] } }, /delimits bodies itself/],
    [{ response: { add: { Connection: "close" } } }, /manages its connections itself/],
    [{ request: { set: { te: "trailers" } } }, /one connection/],
    [{ request: { add: { host: "b" } } }, /use "rewrite: \{ host/],
    [{ request: { remove: ["Host"] } }, /use "rewrite: \{ host/],
    [{ request: { set: { "a b": "1" } } }, /not a valid header name/],
    [{ request: { set: { a: "1\r\nb: 2" } } }, /control character/],
    [{ request: { set: { a: "${client.pi}" } } }, /did you mean/],
    [{ request: { set: { a: "${response.status}" } } }, /not known before/],
    [{ requests: {} }, /requests/],
  ];
  for (const [settings, message] of table) await assert.rejects(runMiddleware(headers, settings), message);
});

test("an issue about a name points at that name", () => {
  const parsed = headers.config.safeParse({ request: { set: { te: "x" }, remove: ["a", "upgrade"] } });
  assert.deepEqual(
    parsed.error?.issues.map((issue) => issue.path.join(".")),
    ["request.set.te", "request.remove.1"],
  );
});
