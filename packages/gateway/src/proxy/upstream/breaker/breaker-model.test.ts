import assert from "node:assert/strict";
import { test } from "node:test";
import type { CircuitBreakerSettings } from "@headgate/schema";
import fc from "fast-check";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import { Bench, settings } from "./breaker.fixtures.ts";
import { BreakerModel, type ModelPermit } from "./breaker.model.ts";

const trialMs = 700;

type Step =
  | { readonly do: "acquire"; readonly count: number }
  | {
      readonly do: "record";
      readonly which: number;
      readonly outcome: "success" | "failure" | "ignored";
      readonly ms: number;
    }
  | { readonly do: "run"; readonly count: number; readonly outcome: "success" | "failure"; readonly ms: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "set"; readonly settings: CircuitBreakerSettings }
  | { readonly do: "force"; readonly to: "open" | "closed" | undefined };

const durations = fc.constantFrom(1, 1, 100, 501);
// Small figures, so that every way to open is met; windows and open times of the same size, so that they cross.
const settingsMet: fc.Arbitrary<CircuitBreakerSettings> = fc
  .record({
    failureRatio: fc.constantFrom(0.2, 0.5, 0.55, 1),
    windowMs: fc.constantFrom(100, 105, 1_000, 3_000),
    minRequests: fc.integer({ min: 1, max: 12 }),
    consecutive: fc.constantFrom(0, 0, 2, 5),
    openMs: fc.constantFrom(10, 300, 1_000),
    openMaxMs: fc.constantFrom(10, 1_000, 2_500),
    slow: fc.constantFrom(undefined, 500),
    slowRatio: fc.constantFrom(0.3, 0.8, 1),
    halfOpenRequests: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ slow, ...rest }) => (slow === undefined ? rest : { ...rest, slowCallMs: slow }));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("acquire" as const), count: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("record" as const),
      which: fc.nat(40),
      outcome: fc.constantFrom("success" as const, "success" as const, "failure" as const, "ignored" as const),
      ms: durations,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("run" as const),
      count: fc.integer({ min: 1, max: 8 }),
      outcome: fc.constantFrom("success" as const, "failure" as const),
      ms: durations,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.oneof(fc.constantFrom(0.4, 10, 10.5, 100, 299, 700, 1_000, 3_000, 30_000, 86_400_000), fc.nat(1_500)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("set" as const), settings: settingsMet }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("force" as const),
      to: fc.constantFrom("open", "closed", undefined, undefined),
    }),
  },
);

/** Breaker and model side by side, with the permits that are out. */
class Pair {
  readonly bench: Bench;
  readonly model: BreakerModel;
  readonly out: [permit: number, of: ModelPermit][] = [];
  /** What was met, so that a test can tell that it met it. */
  readonly met = new Map<string, number>();

  constructor(first: CircuitBreakerSettings, startMs: number) {
    this.bench = new Bench(first, startMs, seededRandom(1));
    this.bench.settings = first; // without the settings of the bench, some of which may be absent
    this.model = new BreakerModel(seededRandom(1));
  }

  do(now: Step): void {
    switch (now.do) {
      case "acquire":
        for (let i = 0; i < now.count; i++) this.acquire();
        break;
      case "record": {
        const [pair] = this.out.splice(now.which % Math.max(1, this.out.length), 1);
        if (pair !== undefined) this.record(pair, now.outcome, now.ms);
        break;
      }
      case "run":
        for (let i = 0; i < now.count; i++) {
          this.acquire();
          const pair = this.out.pop();
          if (pair !== undefined) this.record(pair, now.outcome, now.ms);
        }
        break;
      case "wait":
        this.bench.nowMs += now.ms;
        break;
      case "set":
        this.bench.settings = now.settings;
        break;
      case "force":
        this.bench.breaker.force(now.to);
        this.model.force(now.to);
        break;
    }
    this.compare();
  }

  acquire(): void {
    const { nowMs } = this.bench;
    const permit = this.bench.acquire(trialMs);
    const of = this.model.acquire(this.bench.settings, nowMs, trialMs);
    assert.equal(permit > 0, of !== undefined, "refuses what the model refuses");
    if (of !== undefined) this.out.push([permit, of]);
  }

  record([permit, of]: [number, ModelPermit], outcome: "success" | "failure" | "ignored", ms: number): void {
    const change = this.bench.record(permit, outcome, ms);
    const expected = this.model.record(of, outcome, ms, this.bench.settings, this.bench.nowMs);
    assert.equal(change?.reason, expected);
    if (expected !== undefined) this.met.set(expected, (this.met.get(expected) ?? 0) + 1);
  }

  compare(): void {
    const { nowMs, breaker } = this.bench;
    assert.equal(breaker.state(nowMs), this.model.state(nowMs));
    assert.equal(breaker.refuses(nowMs), this.model.refuses(nowMs));
    assert.equal(breaker.forced, this.model.forced);
    const openMs = breaker.opensForMs(nowMs);
    const expectedMs = this.model.opensForMs(nowMs);
    assert.ok(openMs === expectedMs || Math.abs(openMs - expectedMs) < 0.001, `${openMs} ms, not ${expectedMs}`);
  }
}

test("does what a plain model does, with any sequence of requests, late answers, gaps, settings and orders", () => {
  const met = new Map<string, number>();
  const startMs = fc.constantFrom(1_000, 1_000.5, 2 ** 36 - 900);
  fc.assert(
    fc.property(settingsMet, startMs, fc.array(step, { maxLength: 120, size: "max" }), (first, start, steps) => {
      const pair = new Pair(first, start);
      for (const each of steps) pair.do(each);
      for (const [reason, times] of pair.met) met.set(reason, (met.get(reason) ?? 0) + times);
    }),
    { numRuns: 1_500 },
  );
  const reasons = ["consecutive", "failure-ratio", "slow-ratio", "trial-failed", "trials-slow", "trials-succeeded"];
  for (const reason of reasons) assert.ok((met.get(reason) ?? 0) > 5, `${reason}: met ${met.get(reason) ?? 0} times`);
});

test("the model itself knows an idle gap, a late answer and a lost trial", () => {
  const model = new BreakerModel(() => 0);
  const fail = (nowMs: number): void => {
    const permit = model.acquire(settings, nowMs, trialMs);
    if (permit !== undefined) model.record(permit, "failure", 1, settings, nowMs);
  };
  for (let i = 0; i < 9; i++) fail(0);
  const late = model.acquire(settings, 0, trialMs);
  fail(10_000);
  assert.equal(model.state(10_000), "closed");
  for (let i = 0; i < 9; i++) fail(10_000);
  assert.equal(model.state(10_000), "open");
  for (let i = 0; i < 3; i++) assert.ok(model.acquire(settings, 11_000, trialMs));
  if (late !== undefined) model.record(late, "failure", 1, settings, 11_000);
  assert.equal(model.state(11_000), "half-open");
  assert.equal(model.acquire(settings, 11_000, trialMs), undefined);
  assert.ok(model.acquire(settings, 11_000 + trialMs, trialMs));
});
