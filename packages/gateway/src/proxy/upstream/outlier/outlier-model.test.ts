import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutlierDetectionSettings } from "@headgate/schema";
import fc from "fast-check";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import { Bench } from "./outlier.fixtures.ts";
import { type ModelPermit, OutlierModel } from "./outlier.model.ts";

const trialMs = 400;

type Step =
  | { readonly do: "acquire"; readonly at: number; readonly count: number }
  | { readonly do: "record"; readonly which: number; readonly outcome: AttemptOutcome }
  | { readonly do: "run"; readonly at: number; readonly count: number; readonly failedOf: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "lift"; readonly at: number };

const settingsMet: fc.Arbitrary<OutlierDetectionSettings> = fc.record({
  maxEjectedRatio: fc.constantFrom(0.3, 0.5, 1),
  baseMs: fc.constantFrom(100, 300),
  maxMs: fc.constantFrom(300, 750),
  consecutive: fc.constantFrom(2, 4, 1_000),
  intervalMs: fc.constantFrom(250, 1_000),
});

const at = fc.nat(7);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("acquire" as const), at, count: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("record" as const),
      which: fc.nat(40),
      outcome: fc.constantFrom("success" as const, "failure" as const, "failure" as const, "ignored" as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("run" as const),
      at,
      count: fc.constantFrom(1, 5, 30, 110),
      failedOf: fc.constantFrom(1, 2, 1_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.oneof(fc.constantFrom(0.4, 99, 100, 250, 300, 400, 1_000, 2_000, 86_400_000), fc.nat(600)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lift" as const), at }) },
);

/** Detector and model side by side, with the permits that are out. */
class Pair {
  readonly bench: Bench;
  readonly model: OutlierModel;
  readonly out: [index: number, permit: number, of: ModelPermit][] = [];
  readonly met: string[] = [];

  constructor(settings: OutlierDetectionSettings, instances: number) {
    this.bench = new Bench(instances, settings, 2 ** 36 - 3_000);
    this.model = new OutlierModel(settings, instances);
  }

  do(now: Step): void {
    const index = "at" in now ? now.at % this.model.instances.length : 0;
    switch (now.do) {
      case "acquire":
        for (let i = 0; i < now.count; i++) this.acquire(index);
        break;
      case "record": {
        const [one] = this.out.splice(now.which % Math.max(1, this.out.length), 1);
        if (one !== undefined) this.record(one, now.outcome);
        break;
      }
      case "run":
        for (let i = 1; i <= now.count; i++) {
          if (!this.acquire(index)) continue;
          const one = this.out.pop();
          if (one !== undefined) this.record(one, i % now.failedOf === 0 ? "failure" : "success");
        }
        break;
      case "wait":
        this.bench.nowMs += now.ms;
        break;
      case "lift":
        assert.equal(this.bench.at(index).lift(), this.model.lift(this.instance(index)));
        break;
    }
    this.compare();
  }

  acquire(index: number): boolean {
    const { nowMs } = this.bench;
    const permit = this.bench.at(index).acquire(nowMs, trialMs);
    const of = this.model.acquire(this.instance(index), nowMs, trialMs);
    assert.equal(permit > 0, of !== undefined, "refuses what the model refuses");
    if (of !== undefined) this.out.push([index, permit, of]);
    return of !== undefined;
  }

  record([index, permit, of]: [number, number, ModelPermit], outcome: AttemptOutcome): void {
    const changes = (this.bench.record(index, outcome, permit) ?? []).map(({ reason }) => reason);
    assert.deepEqual(changes, this.model.record(this.instance(index), outcome, this.bench.nowMs, of));
    this.met.push(...changes);
  }

  compare(): void {
    const { nowMs } = this.bench;
    for (const [index, instance] of this.model.instances.entries()) {
      const outlier = this.bench.at(index);
      assert.equal(outlier.place(nowMs), this.model.place(instance, nowMs));
      assert.equal(outlier.ejected(nowMs), this.model.ejected(instance, nowMs));
      assert.equal(outlier.ejections, instance.ejections);
      const remainingMs = instance.place === "ejected" ? Math.max(0, instance.untilMs - nowMs) : 0;
      assert.ok(Math.abs(outlier.ejectedForMs(nowMs) - remainingMs) < 0.001);
    }
  }

  instance(index: number): OutlierModel["instances"][number] {
    const instance = this.model.instances[index];
    if (instance === undefined) throw new Error(`there is no instance ${index}`);
    return instance;
  }
}

test("does what a plain model does, with any sequence of requests, late answers, gaps and lifts", () => {
  const met = new Map<string, number>();
  const instances = fc.integer({ min: 1, max: 7 });
  fc.assert(
    fc.property(settingsMet, instances, fc.array(step, { maxLength: 100, size: "max" }), (settings, count, steps) => {
      const pair = new Pair(settings, count);
      for (const each of steps) pair.do(each);
      for (const reason of pair.met) met.set(reason, (met.get(reason) ?? 0) + 1);
    }),
    { numRuns: 1_000 },
  );
  for (const reason of ["consecutive", "failure-share", "trial-failed", "trial-succeeded"]) {
    assert.ok((met.get(reason) ?? 0) > 5, `${reason}: met ${met.get(reason) ?? 0} times`);
  }
});
