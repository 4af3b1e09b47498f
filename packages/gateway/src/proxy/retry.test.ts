import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GatewayError } from "../core/errors.ts";
import type { AttemptState, Failure } from "./retry.ts";
import { decideRetry, retryAfterOf } from "./retry.ts";

const policy = { attempts: 1, on: ["connect", "reset", "503"] as const, budgetRatio: 0.2, backoffMs: 25 };
const fresh: AttemptState = {
  method: "GET",
  replayable: true,
  retries: 0,
  staleConnections: 0,
  remainingMs: Infinity,
};
const connect: Failure = { error: new GatewayError("HG_UPSTREAM_CONNECT"), stale: false };
const reset: Failure = { error: new GatewayError("HG_UPSTREAM_RESET"), stale: false };
const stale: Failure = { error: new GatewayError("HG_UPSTREAM_RESET"), stale: true };
const timeout: Failure = { error: new GatewayError("HG_UPSTREAM_TIMEOUT"), stale: false };
const connectTimeout: Failure = { error: new GatewayError("HG_UPSTREAM_TIMEOUT", { nothingSent: true }), stale: false };
const busy = (retryAfterMs?: number): Failure => ({ status: 503, retryAfterMs });
const noRoom: Failure = { error: new GatewayError("HG_OVERLOADED", { nothingSent: true }), stale: false };
const protocol: Failure = { error: new GatewayError("HG_UPSTREAM_PROTOCOL"), stale: false };

const cases: readonly [string, Failure, Partial<AttemptState>, "retry" | "fail"][] = [
  ["a refused connection of a GET", connect, {}, "retry"],
  ["a refused connection of a POST: nothing was sent", connect, { method: "POST" }, "retry"],
  ["a connection that timed out, of a POST", connectTimeout, { method: "POST" }, "retry"],
  ["a wait for a connection in vain, of a POST", noRoom, { method: "POST" }, "retry"],
  ["a reset GET", reset, {}, "retry"],
  ["a reset POST: it may have acted", reset, { method: "POST" }, "fail"],
  ["a reset PUT", reset, { method: "PUT" }, "retry"],
  ["a reset POST with a key that tells when it comes twice", reset, { method: "POST", carriesKey: true }, "retry"],
  ["a body that cannot be sent again", connect, { replayable: false }, "fail"],
  ["a second retry", reset, { retries: 1 }, "fail"],
  ["a keep-alive race", stale, {}, "retry"],
  ["a keep-alive race after the retries are spent", stale, { retries: 1 }, "retry"],
  ["a keep-alive race of a POST", stale, { method: "POST" }, "fail"],
  ["the fourth keep-alive race after the retries are spent", stale, { staleConnections: 3, retries: 1 }, "fail"],
  ["a silent instance, which the policy does not name", timeout, {}, "fail"],
  ["an answer that is not HTTP, of a GET", protocol, {}, "retry"],
  ["an answer that is not HTTP, of a POST", protocol, { method: "POST" }, "fail"],
  ["a status the policy names", busy(), {}, "retry"],
  ["a status the policy does not name", { status: 500, retryAfterMs: undefined }, {}, "fail"],
  ["a status, of a POST", busy(), { method: "POST" }, "fail"],
  ["a busy instance that asks for a moment", busy(2_000), {}, "retry"],
  ["a busy instance that asks for longer than clients should be held", busy(6_000), {}, "fail"],
  ["a busy instance that asks for longer than there is time", busy(2_000), { remainingMs: 1_900 }, "fail"],
  ["less time than the back-off", reset, { remainingMs: 10 }, "fail"],
  ["more time than the back-off", reset, { remainingMs: 40 }, "retry"],
  ["no time at all, and nothing was sent", connect, { remainingMs: 0 }, "fail"],
];

for (const [what, failure, state, expected] of cases) {
  test(`${what}: ${expected}`, () => {
    assert.equal(decideRetry(failure, policy, { ...fresh, ...state }, () => 0.5).do, expected);
  });
}

test("the wait is random, grows with each retry and stays within ten times the base; nothing sent waits not at all", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (retries, random) => {
        const decision = decideRetry(reset, { ...policy, attempts: 9999 }, { ...fresh, retries }, () => random);
        assert.equal(decision.do, "retry");
        if (decision.do === "retry")
          assert.ok(decision.waitMs >= 0 && decision.waitMs <= Math.min(2 ** (retries + 1) - 1, 10) * 25);
        const at = decideRetry(connect, policy, fresh, () => random);
        assert.ok(at.do === "retry" && at.waitMs === 0);
      },
    ),
  );
});

test("the wait that an instance asks for comes before the random one", () => {
  const decision = decideRetry(busy(2_000), policy, fresh, () => 0.5);
  assert.ok(decision.do === "retry" && decision.waitMs === 2_000 + 0.5 * 25);
});

test("Retry-After is seconds or a date, and what is neither asks for nothing", () => {
  const wallMs = Date.UTC(2026, 0, 1);
  for (const [value, expected] of [
    ["3", 3_000],
    ["0", 0],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5_000],
    ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
    ["-1", undefined],
    ["soon", undefined],
    [undefined, undefined],
  ] as const) {
    assert.equal(retryAfterOf(value, wallMs), expected, value);
  }
});
