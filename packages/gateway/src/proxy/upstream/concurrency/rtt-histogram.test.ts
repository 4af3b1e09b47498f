import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RttHistogram, rttBuckets } from "./rtt-histogram.ts";

function histogram(): RttHistogram {
  return new RttHistogram(new Int32Array(new SharedArrayBuffer(rttBuckets * 4)));
}

test("median and trimmed mean are right to a sixteenth, for every set of times from a microsecond to minutes", () => {
  const time = fc.double({ min: Math.log(0.02), max: Math.log(200_000), noNaN: true }).map(Math.exp);
  fc.assert(
    fc.property(fc.array(time, { minLength: 1, maxLength: 200 }), (times) => {
      const rtts = histogram();
      for (const ms of times) rtts.add(ms);
      const sorted = [...times].sort((a, b) => a - b);
      const kept = sorted.slice(0, Math.max(1, Math.floor(times.length * 0.9)));
      const mean = kept.reduce((sum, ms) => sum + ms, 0) / kept.length;
      const median = sorted[Math.ceil(times.length / 2) - 1] ?? 0;
      const { count, medianMs, trimmedMeanMs } = rtts.take();
      assert.equal(count, times.length);
      assert.ok(Math.abs(trimmedMeanMs / mean - 1) < 1 / 16, `${trimmedMeanMs} for ${mean}`);
      // A trimmed set may end before the middle of a very small one.
      if (times.length > 2) assert.ok(Math.abs(medianMs / median - 1) < 1 / 16, `${medianMs} for ${median}`);
    }),
  );
});

test("the slowest tenth does not count", () => {
  const rtts = histogram();
  for (let i = 0; i < 90; i++) rtts.add(10);
  for (let i = 0; i < 10; i++) rtts.add(30_000);
  const { trimmedMeanMs } = rtts.take();
  assert.ok(Math.abs(trimmedMeanMs - 10) < 0.5, String(trimmedMeanMs));
});

test("taken, it is empty", () => {
  const rtts = histogram();
  rtts.add(5);
  rtts.take();
  assert.deepEqual(rtts.take(), { count: 0, medianMs: 0, trimmedMeanMs: 0 });
});

for (const [what, ms, least, most] of [
  ["no time at all", 0, 0, 0.001],
  ["a time that went backwards", -5, 0, 0.001],
  ["an hour", 3_600_000, 250_000, 270_000],
] as const) {
  test(`${what} is counted at the end of the range`, () => {
    const rtts = histogram();
    rtts.add(ms);
    const { trimmedMeanMs } = rtts.take();
    assert.ok(trimmedMeanMs >= least && trimmedMeanMs <= most, String(trimmedMeanMs));
  });
}
