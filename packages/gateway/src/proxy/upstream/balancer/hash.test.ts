import type { BalanceSettings } from "@headgate/schema";
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import type { FakeInstance } from "./balancer.fixtures.ts";
import { contextOf, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer, type BalancerOptions } from "./balancer.ts";
import type { Balancer } from "./candidate.ts";

function hashOver(
  instances: readonly FakeInstance[],
  loadFactor?: number,
  options: Partial<BalancerOptions> = {},
): Balancer<FakeInstance> {
  const settings: BalanceSettings = {
    policy: "hash",
    key: { from: "client" },
    ...(loadFactor === undefined ? {} : { loadFactor }),
  };
  const defaults = { random: seededRandom(1), preferZone: true, panicThreshold: 0 };
  return createBalancer(settings, instances, { ...defaults, ...options });
}

const texts = Array.from({ length: 5_000 }, (_, i) => `user-${i}`);

function placesOf(balancer: Balancer<FakeInstance>, excluded?: ReadonlySet<unknown>): (string | undefined)[] {
  return texts.map((key) => balancer.pick(contextOf({ key, excluded }))?.address);
}

const differing = (one: readonly unknown[], two: readonly unknown[]): number =>
  one.filter((item, i) => item !== two[i]).length / one.length;

test("a text is at the same instance in every worker and whatever else is asked", () => {
  const one = placesOf(hashOver(instancesOf([1, 1, 1, 1, 1])));
  const instances = instancesOf([1, 1, 1, 1, 1]);
  for (const instance of instances) instance.busy(100);
  const two = placesOf(hashOver(instances, undefined, { random: seededRandom(2), zone: "z" }));
  assert.deepEqual(two, one);
  assert.equal(new Set(one).size, 5);
});

test("of an unavailable instance's texts each has its next place, others stay, and all come back with it", () => {
  const instances = instancesOf([1, 1, 1, 1, 1]);
  const balancer = hashOver(instances);
  const before = placesOf(balancer);
  const [gone] = instances;
  assert.ok(gone !== undefined);
  gone.up = false;
  const without = placesOf(balancer);
  for (const [i, place] of before.entries()) {
    if (place === gone.address) assert.notEqual(without[i], gone.address);
    else assert.equal(without[i], place);
  }
  // What it had is spread over all the others.
  const heirs = without.filter((_, i) => before[i] === gone.address);
  for (const { address } of instances.slice(1)) {
    const share = heirs.filter((heir) => heir === address).length / heirs.length;
    assert.ok(share > 0.18 && share < 0.32, `${share}`);
  }
  assert.deepEqual(placesOf(balancer), without);
  gone.up = true;
  assert.deepEqual(placesOf(balancer), before);
  assert.deepEqual(placesOf(balancer, new Set([gone])), without, "a retry goes where it would go without it");
});

test("when one of five leaves or joins, at most 3 % more than a fifth of the texts move", () => {
  const five = placesOf(hashOver(instancesOf([1, 1, 1, 1, 1])));
  const four = placesOf(hashOver(instancesOf([1, 1, 1, 1])));
  const moved = differing(five, four);
  assert.ok(moved > 0.17 && moved < 0.23, `${moved}`);
});

test("with only one of many left all texts are there", () => {
  const instances = instancesOf(Array.from({ length: 200 }, () => 1));
  const balancer = hashOver(instances);
  for (const instance of instances.slice(1)) instance.up = false;
  assert.deepEqual(new Set(placesOf(balancer)), new Set(["i0:80"]));
});

test("a request without the text goes to the instance that answers fastest", () => {
  const instances = instancesOf([1, 1]);
  for (const [i, { load }] of instances.entries()) {
    load.begin(0);
    load.observe(i === 0 ? 500 : 5, 0);
    load.end(true);
  }
  const balancer = hashOver(instances);
  for (let i = 0; i < 50; i++) assert.equal(balancer.pick(contextOf()), instances[1]);
});

test("weights that the instances get after the balancer is made are those of its first pick", () => {
  const instances = instancesOf([1, 1]);
  const balancer = hashOver(instances);
  for (const [i, instance] of instances.entries()) instance.weight = i === 0 ? 9 : 1;
  const share = placesOf(balancer).filter((place) => place === "i0:80").length / texts.length;
  assert.ok(share > 0.87 && share < 0.93, `${share}`);
});

test("with a load factor no instance ever has more than its share of what is under way, times the factor", () => {
  const step = fc.record({ text: fc.integer({ min: 0, max: 3 }), end: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 6 }),
      fc.constantFrom(1, 1.25, 2),
      fc.array(step, { maxLength: 120 }),
      (weights, loadFactor, steps) => {
        const instances = instancesOf(weights);
        const balancer = hashOver(instances, loadFactor);
        const sum = weights.reduce((total, weight) => total + weight, 0);
        const underWay: FakeInstance[] = [];
        for (const { text, end } of steps) {
          if (end) {
            underWay.shift()?.load.end(false);
            continue;
          }
          const picked = balancer.pick(contextOf({ key: `hot-${text}` }));
          assert.ok(picked !== undefined);
          picked.load.begin(0);
          underWay.push(picked);
          const most = Math.ceil((loadFactor * underWay.length * picked.weight) / sum);
          assert.ok(picked.load.active() <= most, `${picked.load.active()} of ${most}`);
        }
      },
    ),
  );
});

test("a hot text overflows to its next places in order, and is back at its own when there is room", () => {
  const instances = instancesOf([1, 1, 1, 1]);
  const balancer = hashOver(instances, 1.5);
  const home = balancer.pick(contextOf({ key: "hot" }));
  const places = Array.from({ length: 40 }, () => {
    const picked = balancer.pick(contextOf({ key: "hot" }));
    picked?.load.begin(0);
    return picked;
  });
  const counts = instances.map(({ load }) => load.active()).sort((a, b) => b - a);
  assert.equal(counts[0], 15);
  assert.equal(counts[1], 15);
  assert.equal(home?.load.active(), 15, "its own place is full first");
  for (const picked of places.slice(0, 30)) picked?.load.end(false);
  for (const { load } of instances) while (load.active() > 0) load.end(false);
  assert.equal(balancer.pick(contextOf({ key: "hot" })), home);
});

test("with a load factor and many instances the bound follows within ten milliseconds", () => {
  const instances = instancesOf(Array.from({ length: 20 }, () => 1));
  const balancer = hashOver(instances, 2);
  const pick = (nowMs: number): FakeInstance | undefined => {
    const picked = balancer.pick(contextOf({ key: "hot", nowMs }));
    picked?.load.begin(nowMs);
    return picked;
  };
  const home = pick(0);
  for (let i = 0; i < 20; i++) pick(1);
  assert.equal(home?.load.active(), 1, "two at home are more than twice the share of one in twenty");
  for (let i = 0; i < 20; i++) pick(11 + i * 11);
  const total = 41;
  assert.ok((home?.load.active() ?? 0) <= Math.ceil((2 * total) / 20));
  assert.ok((home?.load.active() ?? 0) > 1);
});
