import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../core/errors.ts";
import { compose } from "./compose.ts";
import { Exchange, ExchangeRequest } from "./exchange.ts";
import { Fields } from "./http1/fields.ts";
import type { Middleware } from "./middleware.ts";

function exchangeOf(): Exchange {
  const request = new ExchangeRequest({
    method: "GET",
    target: "/",
    host: "a",
    headers: new Fields(),
    matchPath: "/",
    path: "/",
    search: "",
    framing: "none",
    contentLength: -1,
  });
  const client = { ip: "127.0.0.1", port: 1, peer: "127.0.0.1", scheme: "http", localPort: 80 } as const;
  return new Exchange(request, client, () => "id");
}

test("the first step is outermost: code before next runs in order, code after it in reverse", async () => {
  const seen: string[] = [];
  const step = (name: string) => ({
    handle: (async (_, next) => {
      seen.push(`${name} before`);
      await next();
      seen.push(`${name} after`);
    }) satisfies Middleware,
  });
  await compose([step("a"), step("b")], async () => void seen.push("last"))(exchangeOf());
  assert.deepEqual(seen, ["a before", "b before", "last", "b after", "a after"]);
});

test("a step that does not call next ends the chain", async () => {
  let reached = false;
  await compose([{ handle: () => {} }], async () => void (reached = true))(exchangeOf());
  assert.equal(reached, false);
});

test("a step that calls next without returning it still waits for the answer", async () => {
  let answered = false;
  const last = () => new Promise<void>((resolve) => setImmediate(() => resolve(void (answered = true))));
  await compose([{ handle: (_, next) => void next() }], last)(exchangeOf());
  assert.equal(answered, true);
});

test("what a step throws synchronously reaches the steps outside as a rejection", async () => {
  const seen: unknown[] = [];
  const outer: Middleware = (_, next) => next().catch((error: unknown) => void seen.push(error));
  const error = new GatewayError("HG_FORBIDDEN");
  const inner: Middleware = () => {
    throw error;
  };
  await compose([{ handle: outer }, { handle: inner }], async () => {})(exchangeOf());
  assert.deepEqual(seen, [error]);
});

test("next called twice is an error and runs the rest once", async () => {
  let runs = 0;
  const twice: Middleware = async (_, next) => {
    await next();
    await next();
  };
  await assert.rejects(compose([{ handle: twice }], async () => void runs++)(exchangeOf()), { code: "HG_INTERNAL" });
  assert.equal(runs, 1);
});

test("a step whose condition is false is passed over", async () => {
  const seen: string[] = [];
  const step = (name: string, when: boolean) => ({
    when: () => when,
    handle: ((_, next) => {
      seen.push(name);
      return next();
    }) satisfies Middleware,
  });
  await compose([step("no", false), step("yes", true)], async () => {})(exchangeOf());
  assert.deepEqual(seen, ["yes"]);
});
