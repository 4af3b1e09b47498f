import assert from "node:assert/strict";
import { test } from "node:test";
import { defineMiddleware, z } from "headgate";
import { createTestChain, runMiddleware } from "headgate/testing";
import greet from "./greet.ts";

/** Stands in for an authenticator. */
const signIn = defineMiddleware({
  name: "sign-in",
  config: z.strictObject({ as: z.string() }),
  build:
    ({ as }) =>
    (exchange, next) => {
      exchange.consumer = { name: as, groups: [] };
      return next();
    },
});

test("greets a client nobody knows by address, towards the service and back", async () => {
  const { exchange, response } = await runMiddleware(greet, {}, { url: "/" }, { client: { ip: "192.0.2.7" } });
  assert.equal(exchange.request.headers.get("x-greeting"), "Hello, 192.0.2.7");
  assert.equal(response.headers.get("x-greeted"), "Hello, 192.0.2.7");
});

test("greets a consumer by name", async () => {
  const chain = createTestChain([
    [signIn, { as: "alice" }],
    [greet, { greeting: "Welcome" }],
  ]);
  const { exchange } = await chain.run();
  assert.equal(exchange.request.headers.get("x-greeting"), "Welcome, alice");
});

test("refuses a greeting without text", async () => {
  await assert.rejects(runMiddleware(greet, { greeting: "" }), /greet\.greeting/);
});
