import assert from "node:assert/strict";
import { test } from "node:test";
import { secretTest } from "../../core/secrets.ts";
import { runMiddleware } from "../../testing.ts";
import keyAuth from "./index.ts";

const options = { consumers: { alice: { keys: ["k-alice"], groups: ["gold"] }, bob: { keys: ["k b+b"] } } };

test("lets a consumer in and names it", async () => {
  const run = await runMiddleware(keyAuth, undefined, { headers: { "X-Api-Key": "k-alice" } }, options);
  assert.equal(run.response.status, 200);
  assert.deepEqual(run.exchange.consumer, { name: "alice", groups: ["gold"] });
});

test("the key does not reach the instance, unless hide is false", async () => {
  const request = { url: "/p?a=%41&key=k-alice&b", headers: { "x-api-key": "k-alice" } };
  const hidden = await runMiddleware(keyAuth, { query: "key" }, request, options);
  assert.equal(hidden.exchange.request.headers.get("x-api-key"), undefined);
  assert.equal(hidden.exchange.request.search, "?a=%41&b");
  const kept = await runMiddleware(keyAuth, { query: "key", hide: false }, request, options);
  assert.equal(kept.exchange.request.headers.get("x-api-key"), "k-alice");
  assert.equal(kept.exchange.request.search, "?a=%41&key=k-alice&b");
});

for (const [url, search] of [
  ["/?key=k+b%2bb", ""],
  ["/?%6bey=k+b%2Bb&x=1", "?x=1"],
  ["/?x=1&key=k%20b%2Bb&key=other", "?x=1"],
] as const) {
  test(`takes the key from the query of ${url}`, async () => {
    const run = await runMiddleware(keyAuth, { query: "key" }, { url }, options);
    assert.equal(run.exchange.consumer?.name, "bob");
    assert.equal(run.exchange.request.search, search);
  });
}

test("its header and parameter are kept out of logs, whatever their names", async () => {
  const { exchange } = await runMiddleware(keyAuth, { header: "x-team", query: "k" }, {}, options);
  assert.deepEqual(["x-team", "k", "other"].map(secretTest(exchange)), [true, true, false]);
});

for (const [name, settings, request] of [
  ["without a key", {}, {}],
  ["with an empty key", {}, { headers: { "x-api-key": "" } }],
  ["with an unknown key", {}, { headers: { "x-api-key": "k-alic" } }],
  ["with a consumer's name", {}, { headers: { "x-api-key": "alice" } }],
  ["with the key in a query that is not asked for", {}, { url: "/?x-api-key=k-alice" }],
  [
    "with a wrong key in the header and a right one in the query",
    { query: "key" },
    { url: "/?key=k-alice", headers: { "x-api-key": "no" } },
  ],
  ["with the key in another header", { header: "x-key" }, { headers: { "x-api-key": "k-alice" } }],
  [
    "with two keys",
    {},
    {
      headers: [
        ["x-api-key", "k-alice"],
        ["x-api-key", "k-alice"],
      ] as const,
    },
  ],
] as const) {
  test(`answers 401 ${name}`, async () => {
    const run = await runMiddleware(keyAuth, settings, request, options);
    assert.equal(run.response.status, 401);
    assert.equal(run.error?.code, "HG_UNAUTHENTICATED");
    assert.match(run.response.headers.get("www-authenticate") ?? "", /^Key /);
    assert.equal(run.nextCalls, 0);
    assert.ok(!run.response.body.includes("k-alic"));
  });
}
