import assert from "node:assert/strict";
import { test } from "node:test";
import { runMiddleware } from "../../testing.ts";
import respond from "./index.ts";

test("answers as told and asks no service", async () => {
  const { response, nextCalls } = await runMiddleware(respond, {
    status: 503,
    headers: { "Retry-After": 120, "Content-Type": "text/html" },
    body: "<p>back soon",
  });
  assert.equal(response.status, 503);
  assert.equal(response.body, "<p>back soon");
  assert.deepEqual(
    [...response.headers],
    [
      ["Retry-After", "120"],
      ["Content-Type", "text/html"],
    ],
  );
  assert.equal(nextCalls, 0);
});

test("text is the body of a 200 in plain text; nothing at all is an empty 200", async () => {
  const text = await runMiddleware(respond, "hi é");
  assert.equal(text.response.status, 200);
  assert.equal(text.response.body, "hi é");
  assert.equal(text.response.headers.get("content-type"), "text/plain; charset=utf-8");
  const empty = await runMiddleware(respond, {});
  assert.deepEqual([empty.response.status, empty.response.body, [...empty.response.headers]], [200, "", []]);
});

test("refuses answers that HTTP does not have", async () => {
  const table: unknown[] = [
    { status: 101 },
    { status: 600 },
    { headers: { "content-length": 5 } },
    { headers: { "a b": "x" } },
    { text: "x" },
  ];
  for (const settings of table)
    assert.equal(respond.config.safeParse(settings).success, false, JSON.stringify(settings));
  await assert.rejects(runMiddleware(respond, { status: 204, body: "x" }), /status 204 has no body/);
});
