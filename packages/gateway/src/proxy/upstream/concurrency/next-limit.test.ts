import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LimitState, LimitWindow } from "./next-limit.ts";
import { effectiveLimit, nextLimit } from "./next-limit.ts";

const bounds = { min: 2, max: 200, initial: 20 };
const measuring: LimitState = { limit: 100, baselineMs: 50, phase: 1 };
const window: LimitWindow = { rttMs: 50, samples: 100, dropped: 0, full: true, inFlight: 100 };

const cases: readonly [string, Partial<LimitState>, Partial<LimitWindow>, "up" | "down" | "same"][] = [
  ["answers take as long as the baseline", {}, {}, "up"],
  ["answers take a little longer", {}, { rttMs: 58 }, "up"],
  ["answers take a third longer", {}, { rttMs: 67 }, "down"],
  ["answers take ten times as long", {}, { rttMs: 500 }, "down"],
  ["a tenth is not answered in time", {}, { dropped: 10 }, "up"],
  ["more than a tenth is not answered in time", {}, { dropped: 11 }, "down"],
  ["the window follows a change", { phase: 0 }, { rttMs: 500 }, "same"],
  ["queues drain", { phase: -2 }, { rttMs: 500 }, "same"],
  ["the baseline is measured", { phase: -1 }, { rttMs: 500 }, "same"],
  ["nobody is refused and half of it is not used", {}, { full: false, inFlight: 49 }, "same"],
  ["nobody is refused and most of it is used", {}, { full: false, inFlight: 90 }, "up"],
];

for (const [when, state, seen, expected] of cases) {
  test(`${when}: ${expected}`, () => {
    const next = nextLimit({ ...measuring, ...state }, { ...window, ...seen }, bounds).limit;
    assert.equal(next > 100 ? "up" : next < 100 ? "down" : "same", expected);
  });
}

test("new memory begins with the configured limit and learns nothing from the first window", () => {
  const fresh = { limit: 0, baselineMs: 0, phase: 0 };
  assert.deepEqual(nextLimit(fresh, window, bounds), { limit: 20, baselineMs: 0, phase: 0 });
});

test("eight windows are measured, then the limit is lowered by a quarter for two, one of which sets the baseline", () => {
  let state = measuring;
  const phases: number[] = [];
  const effective: number[] = [];
  for (let i = 0; i < 13; i++) {
    const before = state.baselineMs;
    state = nextLimit(state, { ...window, rttMs: 60 }, { ...bounds, max: 100 });
    phases.push(state.phase);
    effective.push(effectiveLimit({ ...state, limit: 100 }, bounds));
    assert.equal(state.baselineMs !== before, i === 9, `window ${i}`);
  }
  assert.deepEqual(phases, [2, 3, 4, 5, 6, 7, 8, -2, -1, 0, 1, 2, 3]);
  assert.deepEqual(effective, [100, 100, 100, 100, 100, 100, 100, 75, 75, 100, 100, 100, 100]);
});

test("without refusals there is no drain: the baseline is what is seen", () => {
  let state = measuring;
  for (let i = 0; i < 100; i++) {
    state = nextLimit(state, { ...window, rttMs: 80, full: false, inFlight: 10 }, bounds);
    assert.ok(state.phase > 0);
  }
  assert.ok(Math.abs(state.baselineMs - 80) < 1, String(state.baselineMs));
});

test("whatever is seen, the limit stays within its bounds and is a number", () => {
  const seen = fc.record({
    rttMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    samples: fc.integer({ min: 1, max: 1e6 }),
    dropped: fc.nat(1e6),
    full: fc.boolean(),
    inFlight: fc.nat(1e6),
  });
  fc.assert(
    fc.property(fc.array(seen, { maxLength: 60 }), (windows) => {
      let state: LimitState = { limit: 0, baselineMs: 0, phase: 0 };
      for (const each of windows) {
        state = nextLimit(state, each, bounds);
        assert.ok(state.limit >= bounds.min && state.limit <= bounds.max, String(state.limit));
        assert.ok(effectiveLimit(state, bounds) >= bounds.min);
        assert.ok(Number.isFinite(state.baselineMs));
      }
    }),
  );
});
