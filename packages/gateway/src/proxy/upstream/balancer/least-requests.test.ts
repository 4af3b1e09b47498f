import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import type { FakeInstance } from "./balancer.fixtures.ts";
import { chiSquare, chiSquareLimit, contextOf, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer } from "./balancer.ts";

function leastOf(instances: readonly FakeInstance[], seed = 3) {
  return createBalancer({ policy: "least-requests" }, instances, {
    random: seededRandom(seed),
    preferZone: true,
    panicThreshold: 0,
  });
}

test("of two instances the one with less under way is picked, always", () => {
  const instances = instancesOf([1, 1]);
  const [busy, idle] = instances;
  busy?.busy(2);
  idle?.busy(1);
  const balancer = leastOf(instances);
  for (let i = 0; i < 200; i++) assert.equal(balancer.pick(contextOf()), idle);
});

test("of many, the one with most under way is never picked", () => {
  const instances = instancesOf([1, 1, 1, 1, 1]);
  instances[2]?.busy(1);
  const balancer = leastOf(instances);
  for (let i = 0; i < 2_000; i++) assert.notEqual(balancer.pick(contextOf()), instances[2]);
});

test("idle instances are picked at random, as often as their weights say", () => {
  for (const weights of [
    [1, 1, 1, 1],
    [1, 2, 3],
    [95, 5],
    [10, 1, 1, 1, 1],
  ]) {
    const instances = instancesOf(weights);
    const balancer = leastOf(instances);
    const counts = weights.map(() => 0);
    for (let i = 0; i < 20_000; i++) {
      const index = instances.indexOf(balancer.pick(contextOf()) as FakeInstance); // there is one
      counts[index] = (counts[index] ?? 0) + 1;
    }
    const value = chiSquare(counts, weights);
    assert.ok(value < (chiSquareLimit[weights.length - 2] ?? 0), `${weights.join()}: ${counts.join()}, ${value}`);
  }
});

test("what is under way is spread as the weights say", () => {
  for (const weights of [
    [1, 1, 1, 1, 1],
    [1, 2, 3],
    [95, 5],
    [10, 1, 1, 1, 1],
  ]) {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const instances = instancesOf(weights);
    const balancer = leastOf(instances);
    for (let i = 0; i < sum * 20; i++) balancer.pick(contextOf())?.load.begin(0);
    for (const [i, { load }] of instances.entries()) {
      const expected = (weights[i] ?? 0) * 20;
      const off = Math.abs(load.active() - expected);
      assert.ok(off <= 3 + 0.05 * expected, `${weights.join()}: ${load.active()} of ${expected} at ${i}`);
    }
  }
});

test("a slow instance is given as little as it gets done", () => {
  // Each round one request ends at each instance but the slow one, where one ends every fourth round.
  const instances = instancesOf([1, 1, 1]);
  const balancer = leastOf(instances);
  const counts = instances.map(() => 0);
  for (let round = 0; round < 3_000; round++) {
    for (let i = 0; i < 2; i++) {
      const picked = balancer.pick(contextOf());
      picked?.load.begin(0);
      const index = instances.indexOf(picked as FakeInstance); // there is one
      counts[index] = (counts[index] ?? 0) + 1;
    }
    for (const [i, { load }] of instances.entries())
      if (load.active() > 0 && (i > 0 || round % 4 === 0)) load.end(false);
  }
  const share = (counts[0] ?? 0) / 6_000;
  assert.ok(share > 0.1 && share < 0.13, `${share}: it can do 1 of 8 requests`);
});
