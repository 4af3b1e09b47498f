import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Wheel, WheelTimer } from "./wheel.ts";

test("a timer fires once, at its deadline or up to one tick later, and never early", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 40 }), (deadlines) => {
      const wheel = new Wheel(0, 50);
      let now = 0;
      const fired: { deadline: number; at: number }[] = [];
      for (const deadline of deadlines) {
        wheel.arm(new WheelTimer(() => fired.push({ deadline, at: now })), deadline);
      }
      for (now = 0; now <= 100_100; now += 50) wheel.advance(now);
      assert.equal(fired.length, deadlines.length);
      for (const { deadline, at } of fired) assert.ok(at >= deadline && at < deadline + 50, `${deadline} at ${at}`);
    }),
    { numRuns: 30 },
  );
});

test("a disarmed timer does not fire and a re-armed one fires at its new deadline only", () => {
  const wheel = new Wheel(0, 50);
  const fired: string[] = [];
  const gone = new WheelTimer(() => fired.push("gone"));
  const moved = new WheelTimer(() => fired.push("moved"));
  wheel.arm(gone, 100);
  wheel.arm(moved, 100);
  wheel.disarm(gone);
  wheel.arm(moved, 100 + 50 * 512);
  wheel.advance(200);
  assert.deepEqual(fired, []);
  wheel.advance(100 + 50 * 512);
  assert.deepEqual(fired, ["moved"]);
});

test("a timer that disarms its neighbour and arms itself again while firing keeps the wheel whole", () => {
  const wheel = new Wheel(0, 50);
  const fired: string[] = [];
  const b = new WheelTimer(() => fired.push("b"));
  const c = new WheelTimer(() => fired.push("c"));
  const a: WheelTimer = new WheelTimer(() => {
    fired.push("a");
    wheel.disarm(b);
    if (fired.length < 3) wheel.arm(a, 200);
  });
  wheel.arm(b, 100);
  wheel.arm(c, 100);
  wheel.arm(a, 100);
  wheel.advance(100);
  wheel.advance(250);
  assert.deepEqual(fired.sort(), ["a", "a", "c"]);
});

test("after a pause longer than a turn every due timer fires", () => {
  const wheel = new Wheel(0, 50);
  let count = 0;
  for (let at = 50; at <= 50 * 600; at += 50) wheel.arm(new WheelTimer(() => count++), at);
  wheel.advance(50 * 5000);
  assert.equal(count, 600);
});
