import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { backoffMs, nextStep, type Step, type View } from "./plan.ts";

const kept: View = { confirmedAtMs: 1_000, ttlMs: 9_000, isAnnounced: true, hasReport: false, notBeforeMs: 0 };

const cases: readonly [name: string, view: Partial<View>, nowMs: number, step: Step][] = [
  ["without a lease it registers", { confirmedAtMs: undefined, isAnnounced: false }, 1_000, { do: "register" }],
  ["a fresh lease is left alone for a third of its time", {}, 1_500, { do: "wait", delayMs: 2_500 }],
  ["after a third it is renewed", {}, 4_000, { do: "keep-alive" }],
  ["one that was not renewed is still tried just before it ends", {}, 9_999, { do: "keep-alive" }],
  ["one whose time is over is taken out anew", {}, 10_000, { do: "register" }],
  ["a changed announcement goes out at once", { isAnnounced: false }, 1_500, { do: "announce" }],
  ["a changed announcement goes before a renewal", { isAnnounced: false }, 4_000, { do: "announce" }],
  ["a report is sent between renewals", { hasReport: true }, 1_500, { do: "report" }],
  ["a renewal goes before a report", { hasReport: true }, 4_000, { do: "keep-alive" }],
  ["a back-off holds everything up", { isAnnounced: false, notBeforeMs: 1_700 }, 1_500, { do: "wait", delayMs: 200 }],
  [
    "a back-off holds registering up too",
    { confirmedAtMs: undefined, notBeforeMs: 1_700 },
    1_500,
    { do: "wait", delayMs: 200 },
  ],
];

for (const [name, view, nowMs, step] of cases) {
  test(name, () => assert.deepEqual(nextStep({ ...kept, ...view }, nowMs), step));
}

test("a back-off is spread from 0 to a bound that doubles from 100 ms up to a third of the lease, a second at most", () => {
  const bounds = (ttlMs: number) => [1, 2, 3, 4, 5, 6, 1_000].map((failures) => backoffMs(failures, ttlMs, () => 1));
  assert.deepEqual(bounds(30_000), [100, 200, 400, 800, 1_000, 1_000, 1_000]);
  assert.deepEqual(bounds(1_500), [100, 200, 400, 500, 500, 500, 500]);
  fc.assert(
    fc.property(
      fc.nat(200),
      fc.integer({ min: 1_000, max: 3_600_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (n, ttl, r) => {
        const delayMs = backoffMs(n + 1, ttl, () => r);
        return delayMs >= 0 && delayMs <= 1_000 && delayMs <= ttl / 3;
      },
    ),
  );
});
