import assert from "node:assert/strict";
import { test } from "node:test";
import { HookedAttempt, runHooks } from "./attempt-hooks.ts";
import { Exchange, ExchangeRequest } from "./exchange.ts";
import { Fields } from "./http1/fields.ts";
import type { AttemptHook } from "./middleware.ts";

function attemptOf(): HookedAttempt {
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
  return new HookedAttempt(new Exchange(request, client, () => "id"), "s", "127.0.0.1:1");
}

test("hooks run around the attempt in order and set fields for this try only", async () => {
  const seen: string[] = [];
  const attempt = attemptOf();
  const hook =
    (name: string): AttemptHook =>
    async (seenAttempt, next) => {
      seenAttempt.setHeader(`X-${name}`, name);
      seen.push(`${name} before`);
      await next();
      seen.push(`${name} after`);
    };
  await runHooks([hook("a"), hook("b")], attempt, async () => void seen.push("sent"));
  assert.deepEqual(seen, ["a before", "b before", "sent", "b after", "a after"]);
  assert.deepEqual([attempt.names, attempt.lines], [["x-a", "x-b"], "X-a: a\r\nX-b: b\r\n"]);
});

test("a hook that throws, at once or later, ends in its error, and nothing is sent", async () => {
  const error = new Error("no key");
  const last = (): Promise<void> => assert.fail("sent");
  const thrower: AttemptHook = () => {
    throw error;
  };
  await assert.rejects(runHooks([thrower], attemptOf(), last), error);
  await assert.rejects(runHooks([() => Promise.reject(error)], attemptOf(), last), error);
});

test("a hook that does not call next is an error", async () => {
  await assert.rejects(
    runHooks([() => {}], attemptOf(), async () => {}),
    { code: "HG_INTERNAL" },
  );
});

test("a hook cannot smuggle lines into the head", async () => {
  assert.throws(() => {
    attemptOf().setHeader("x-a", "1\r\nHost: evil");
  }, TypeError);
});
