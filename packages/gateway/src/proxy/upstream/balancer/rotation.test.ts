import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FakeInstance } from "./balancer.fixtures.ts";
import { contextOf, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer } from "./balancer.ts";

function rotationOf(instances: readonly FakeInstance[], start = 0) {
  return createBalancer({ policy: "round-robin" }, instances, {
    random: () => start,
    preferZone: true,
    panicThreshold: 0,
  });
}

/** How often each is picked. */
function countsOf(instances: readonly FakeInstance[], picks: number, start = 0): number[] {
  const balancer = rotationOf(instances, start);
  const counts = instances.map(() => 0);
  for (let i = 0; i < picks; i++) {
    const index = instances.indexOf(balancer.pick(contextOf()) as FakeInstance); // there is one that is available
    counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts;
}

test("over one cycle each instance is picked exactly in proportion to its weight, whatever the start", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 8 }).filter((w) => w.some((x) => x > 0)),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (weights, start) => {
        const cycle = weights.reduce((sum, weight) => sum + weight, 0);
        assert.deepEqual(countsOf(instancesOf(weights), cycle, start), weights);
      },
    ),
  );
});

test("picks are spread: an instance of weight 5 among two of weight 1 is not picked five times in a row", () => {
  const instances = instancesOf([5, 1, 1]);
  const balancer = rotationOf(instances);
  const order = Array.from({ length: 7 }, () => balancer.pick(contextOf())?.address.slice(0, 2)).join(" ");
  assert.equal(order, "i0 i0 i1 i0 i2 i0 i0");
});

test("workers start at different instances", () => {
  const firsts = [0, 0.3, 0.6, 0.9].map(
    (start) => rotationOf(instancesOf([1, 1, 1, 1]), start).pick(contextOf())?.address,
  );
  assert.equal(new Set(firsts).size, 4);
});

test("an instance that was away neither catches up nor is forgotten", () => {
  const instances = instancesOf([1, 1, 1]);
  const balancer = rotationOf(instances);
  const [first] = instances;
  assert.ok(first !== undefined);
  first.up = false;
  for (let i = 0; i < 100; i++) balancer.pick(contextOf());
  first.up = true;
  const order = Array.from({ length: 30 }, () => balancer.pick(contextOf()));
  assert.equal(order.filter((picked) => picked === first).length, 10);
});

test("more than a hundred instances keep within a few picks of their share, however long it runs, and never repeat at once", () => {
  for (const weights of [Array.from({ length: 150 }, () => 1), Array.from({ length: 1_000 }, (_, i) => 1 + (i % 7))]) {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    for (const cycles of [1, 20]) {
      const counts = countsOf(instancesOf(weights), sum * cycles, 0.25);
      for (const [i, count] of counts.entries()) {
        const off = Math.abs(count - (weights[i] ?? 0) * cycles);
        assert.ok(off <= 3, `${cycles} cycles: ${count} picks of weight ${weights[i] ?? 0}`);
      }
    }
  }
  const balancer = rotationOf(instancesOf(Array.from({ length: 150 }, () => 1)));
  let last = balancer.pick(contextOf());
  for (let i = 0; i < 1_000; i++) {
    const picked = balancer.pick(contextOf());
    assert.notEqual(picked, last);
    last = picked;
  }
});
