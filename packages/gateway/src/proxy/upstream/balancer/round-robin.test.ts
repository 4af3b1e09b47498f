import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RoundRobin } from "./round-robin.ts";

test("over one cycle each instance is picked exactly in proportion to its weight, whatever the start", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 8 }).filter((w) => w.some((x) => x > 0)),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (weights, start) => {
        const items = weights.map((weight, id) => ({ id, weight }));
        const balancer = new RoundRobin(items, () => start);
        const cycle = weights.reduce((sum, weight) => sum + weight, 0);
        const picked = items.map(() => 0);
        for (let i = 0; i < cycle; i++) {
          const item = balancer.pick(undefined);
          assert.ok(item !== undefined);
          picked[item.id] = (picked[item.id] ?? 0) + 1;
        }
        assert.deepEqual(picked, weights);
      },
    ),
  );
});

test("picks are spread: an instance of weight 5 among two of weight 1 is not picked five times in a row", () => {
  const items = [
    { id: "a", weight: 5 },
    { id: "b", weight: 1 },
    { id: "c", weight: 1 },
  ];
  const balancer = new RoundRobin(items, () => 0);
  const order = Array.from({ length: 7 }, () => balancer.pick(undefined)?.id).join("");
  assert.equal(order, "aabacaa");
});

test("an excluded instance is not picked, and where all are excluded there is none", () => {
  const items = [{ weight: 1 }, { weight: 1 }];
  const balancer = new RoundRobin(items, () => 0);
  for (let i = 0; i < 5; i++) assert.equal(balancer.pick(new Set([items[0] as { weight: number }])), items[1]);
  assert.equal(balancer.pick(new Set(items)), undefined);
});
