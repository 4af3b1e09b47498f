import assert from "node:assert/strict";
import { test } from "node:test";
import type { BalanceSettings } from "@headgate/schema";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { contextOf, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer } from "./balancer.ts";
import { slowStartRamp } from "./slow-start.ts";

test("the ramp goes from 0 to 1 in proportion to the time", () => {
  for (const [sinceMs, slowStartMs, nowMs, expected] of [
    [1_000, 0, 1_000, 1],
    [1_000, 10_000, 1_000, 0],
    [1_000, 10_000, 6_000, 0.5],
    [1_000, 10_000, 11_000, 1],
    [1_000, 10_000, 60_000, 1],
    [1_000, 10_000, 999, 0],
  ] as const) {
    assert.equal(slowStartRamp(sinceMs, slowStartMs, nowMs), expected);
  }
});

for (const policy of ["round-robin", "least-requests", "peak-ewma"] as const) {
  test(`${policy}: a new instance among four gets a tenth of its share at first, and over its slow start half`, () => {
    const slowStartMs = 30_000;
    const instances = instancesOf([1, 1, 1, 1]);
    const [fresh] = instances;
    assert.ok(fresh !== undefined);
    const settings: BalanceSettings = { policy };
    const options = { random: seededRandom(5), preferZone: true, panicThreshold: 0.5 };
    const balancer = createBalancer(settings, instances, options);
    const perSecond: number[] = [];
    for (let nowMs = 0; nowMs < slowStartMs; nowMs++) {
      fresh.ramped = slowStartRamp(0, slowStartMs, nowMs);
      const picked = balancer.pick(contextOf({ nowMs }));
      picked?.load.begin(nowMs);
      picked?.load.observe(5, nowMs);
      picked?.load.end(true);
      const second = Math.floor(nowMs / 1_000);
      perSecond[second] = (perSecond[second] ?? 0) + (picked === fresh ? 1 : 0);
    }
    const total = perSecond.reduce((sum, count) => sum + count, 0);
    // Its weight is r = max(t, 0.1) to the others' 3: the integral of r / (3 + r) over the slow start.
    const integral = 0.1 * (0.1 / 3.1) + (0.9 - 3 * Math.log(4 / 3.1));
    assert.ok(Math.abs(total / slowStartMs - integral) < 0.1 * integral, `${total} of ${slowStartMs * integral}`);
    const first = perSecond.slice(0, 3).reduce((sum, count) => sum + count, 0);
    assert.ok(first > 50 && first < 150, `${first} in three seconds, not ${3_000 * (0.1 / 3.1)}`);
    const last = perSecond.slice(-3).reduce((sum, count) => sum + count, 0);
    assert.ok(last > 600 && last < 850, `${last} in the last three seconds`);
  });
}
