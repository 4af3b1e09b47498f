import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DeliveryOutcome } from "../../proxy/message.ts";
import type { Reserved } from "./queue.ts";
import { judge } from "./verdict.ts";

const message: Reserved = {
  lease: { id: "m", token: "t" },
  route: "r",
  service: "s",
  head: Buffer.alloc(0),
  bytes: 0,
  attempts: 0,
  backoffMs: 1_000,
  backoffMaxMs: 600_000,
};

const answer = (status: number, retryAfterMs?: number): DeliveryOutcome => ({
  kind: "answer",
  status,
  instance: "i",
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

const error = (code: Extract<DeliveryOutcome, { kind: "error" }>["code"], retryAfterMs?: number): DeliveryOutcome => ({
  ...{ kind: "error", code, nothingSent: false, detail: "It is so.", instance: "i" },
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

for (const [outcome, expected] of [
  [answer(200), "ack"],
  [answer(204), "ack"],
  [answer(299), "ack"],
  [answer(302), "ack"],
  [answer(303), "ack"],
  [answer(304), "ack"],
  [answer(301), "bury"],
  [answer(307), "bury"],
  [answer(308), "bury"],
  [answer(400), "bury"],
  [answer(401), "bury"],
  [answer(404), "bury"],
  [answer(410), "bury"],
  [answer(422), "bury"],
  [answer(408), "retry"],
  [answer(425), "retry"],
  [answer(429), "retry"],
  [answer(500), "retry"],
  [answer(501), "retry"],
  [answer(503), "retry"],
  [answer(599), "retry"],
  [error("HG_UPSTREAM_CONNECT"), "retry"],
  [error("HG_UPSTREAM_RESET"), "retry"],
  [error("HG_UPSTREAM_TIMEOUT"), "retry"],
  [error("HG_UPSTREAM_PROTOCOL"), "retry"],
  [error("HG_TIMEOUT"), "retry"],
  [error("HG_INTERNAL"), "retry"],
  [error("HG_NO_INSTANCE"), "wait"],
  [error("HG_CIRCUIT_OPEN", 4_000), "wait"],
  [error("HG_OVERLOADED"), "wait"],
  [{ kind: "unreadable", detail: "it is damaged" }, "bury"],
] as const) {
  const name = outcome.kind === "answer" ? outcome.status : outcome.kind === "error" ? outcome.code : outcome.kind;
  test(`${name}: ${expected}`, () => {
    const verdict = judge(outcome, message, () => 0.5);
    assert.equal(verdict.do, expected);
    if (verdict.do === "retry") assert.ok(verdict.text.length > 0);
    if (verdict.do === "bury") assert.equal(verdict.cause, outcome.kind === "unreadable" ? "unreadable" : "refused");
  });
}

test("an open breaker's time is the service's", () => {
  assert.deepEqual(
    judge(error("HG_CIRCUIT_OPEN", 4_000), message, () => 1),
    { do: "wait", serviceWaitMs: 4_000 },
  );
});

test("the wait before the next try is anywhere up to twice the one before, and never more than the most", () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempts, chance) => {
      const verdict = judge(answer(500), { ...message, attempts }, () => chance);
      assert.ok(verdict.do === "retry");
      const most = Math.min(600_000, 1_000 * 2 ** Math.min(attempts, 50));
      assert.equal(verdict.delayMs, Math.ceil(chance * most));
    }),
  );
});

test("an instance that says when to come again is not asked before, within a day", () => {
  const asked = judge(answer(503, 90_000), message, () => 0.5);
  assert.ok(asked.do === "retry");
  assert.deepEqual([asked.delayMs, asked.serviceWaitMs], [90_000, 90_000]);
  const longer = judge(answer(503, 1_000), { ...message, attempts: 9 }, () => 1);
  assert.ok(longer.do === "retry");
  assert.equal(longer.delayMs, 512_000);
  const absurd = judge(answer(429, 1e12), message, () => 0);
  assert.ok(absurd.do === "retry");
  assert.equal(absurd.delayMs, 24 * 3_600_000);
});
