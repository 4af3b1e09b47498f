import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import type { FakeInstance } from "./balancer.fixtures.ts";
import { contextOf, instancesOf } from "./balancer.fixtures.ts";
import type { BalancerOptions } from "./balancer.ts";
import type { Balancer, PickContext } from "./candidate.ts";

type Create = (candidates: readonly FakeInstance[], options: BalancerOptions) => Balancer<FakeInstance>;

/** What every policy does. `key`: the text of the requests, of which there are many different ones. */
export function balancerSuite(name: string, create: Create, key: (request: number) => string | undefined): void {
  const balancerOf = (instances: readonly FakeInstance[], options: Partial<BalancerOptions> = {}) =>
    create(instances, { random: seededRandom(7), preferZone: true, panicThreshold: 0, ...options });

  /** How often each of them is picked, with requests that are answered at once. */
  const countsOf = (
    instances: readonly FakeInstance[],
    options: Partial<BalancerOptions> = {},
    context: Partial<PickContext> = {},
    picks = 3_000,
  ): number[] => {
    const balancer = balancerOf(instances, options);
    const counts = instances.map(() => 0);
    for (let i = 0; i < picks; i++) {
      const nowMs = i;
      const picked = balancer.pick(contextOf({ nowMs, key: key(i), ...context }));
      if (picked === undefined) continue;
      picked.load.begin(nowMs);
      picked.load.observe(5, nowMs);
      picked.load.end(true);
      const index = instances.indexOf(picked);
      counts[index] = (counts[index] ?? 0) + 1;
    }
    return counts;
  };
  const used = (counts: readonly number[]): boolean[] => counts.map((count) => count > 0);

  for (const size of [1, 2, 5, 16, 17, 100, 101, 300]) {
    test(`${name}: ${size} equal instances get about the same`, () => {
      const each = size > 20 ? 200 : 1_000;
      const counts = countsOf(instancesOf(Array.from({ length: size }, () => 1)), {}, {}, size * each);
      for (const count of counts) assert.ok(Math.abs(count - each) < 7 * Math.sqrt(each), counts.join(" "));
    });
  }

  test(`${name}: shares are those of the weights, and a weight of 0 gets nothing`, () => {
    for (const weights of [
      [1, 2, 3],
      [5, 0, 5],
      [100, 1, 1, 1],
      [95, 5],
      [0, 1],
    ]) {
      const picks = 20_000;
      const counts = countsOf(instancesOf(weights), {}, {}, picks);
      const sum = weights.reduce((total, weight) => total + weight, 0);
      for (const [i, weight] of weights.entries()) {
        const share = (counts[i] ?? 0) / picks;
        assert.ok(Math.abs(share - weight / sum) <= 0.15 * (weight / sum), `${weights.join()}: ${counts.join(" ")}`);
      }
    }
  });

  test(`${name}: without instances, with none of a weight or none available there is none`, () => {
    assert.deepEqual(countsOf([]), []);
    assert.deepEqual(countsOf(instancesOf([0, 0])), [0, 0]);
    const instances = instancesOf([1, 1]);
    for (const instance of instances) instance.up = false;
    assert.deepEqual(countsOf(instances), [0, 0]);
  });

  for (const size of [3, 40]) {
    test(`${name}: of ${size}, what is not available gets nothing from the next pick on, and something when it is back`, () => {
      const instances = instancesOf(Array.from({ length: size }, () => 1));
      const balancer = balancerOf(instances);
      const [first] = instances;
      assert.ok(first !== undefined);
      const picked = (from: number): Set<FakeInstance | undefined> =>
        new Set(
          Array.from({ length: 40 * size }, (_, i) => balancer.pick(contextOf({ nowMs: from + i / 4, key: key(i) }))),
        );
      assert.ok(picked(0).has(first));
      first.up = false;
      const without = picked(10 * size);
      assert.ok(!without.has(first) && !without.has(undefined));
      first.up = true;
      assert.ok(picked(20 * size).has(first));
    });
  }

  test(`${name}: what was tried is not picked again; with all tried there is none`, () => {
    const instances = instancesOf([1, 1, 1]);
    const excluded = new Set(instances.slice(0, 2));
    assert.deepEqual(used(countsOf(instances, {}, { excluded })), [false, false, true]);
    assert.deepEqual(used(countsOf(instances, {}, { excluded: new Set(instances) })), [false, false, false]);
    // Not even in panic.
    for (const instance of instances) instance.up = false;
    assert.deepEqual(used(countsOf(instances, { panicThreshold: 0.5 }, { excluded })), [false, false, true]);
  });

  test(`${name}: in panic all are used but those that are barred`, () => {
    const instances = instancesOf([1, 1, 1, 1, 0]);
    for (const instance of instances.slice(1)) instance.up = false;
    assert.deepEqual(used(countsOf(instances, { panicThreshold: 0.25 })), [true, false, false, false, false]);
    assert.deepEqual(used(countsOf(instances, { panicThreshold: 0.26 })), [true, true, true, true, false]);
    for (const instance of instances.slice(1, 2)) instance.forcedOff = true;
    assert.deepEqual(used(countsOf(instances, { panicThreshold: 0.26 })), [true, false, true, true, false]);
  });

  test(`${name}: the choice does not depend on how the load of others was counted before`, () => {
    // A balancer that is made anew, as at each change of the configuration, goes on with the load that is there.
    const instances = instancesOf([1, 1, 1]);
    const before = countsOf(instances);
    const after = countsOf(instances);
    for (const [i, count] of after.entries()) assert.ok(Math.abs(count - (before[i] ?? 0)) < 300, after.join(" "));
  });
}
