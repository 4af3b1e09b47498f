import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../../../../tests/kit/clock.ts";
import type { FakeInstance } from "./balancer.fixtures.ts";
import { chiSquare, contextOf, instancesOf } from "./balancer.fixtures.ts";
import { createBalancer } from "./balancer.ts";
import type { Balancer } from "./candidate.ts";

function peakOver(instances: readonly FakeInstance[], seed = 3): Balancer<FakeInstance> {
  return createBalancer({ policy: "peak-ewma" }, instances, {
    random: seededRandom(seed),
    preferZone: true,
    panicThreshold: 0,
  });
}

/** An answer after so long, of a request that nothing else is known of. */
function answer(instance: FakeInstance | undefined, rttMs: number, nowMs: number): void {
  instance?.load.begin(nowMs);
  instance?.load.observe(rttMs, nowMs);
  instance?.load.end(true);
}

test("equal instances share the requests under way evenly", () => {
  // Finagle's P2C suite does the same: as many under way at once as make the spread visible.
  const instances = instancesOf(Array.from({ length: 10 }, () => 1));
  const balancer = peakOver(instances);
  for (const instance of instances) answer(instance, 5, 0);
  for (let i = 0; i < 1_000; i++) balancer.pick(contextOf())?.load.begin(0);
  for (const { load } of instances) assert.ok(Math.abs(load.active() - 100) <= 2, `${load.active()}`);
});

test("idle instances with the same latency are picked at random", () => {
  const instances = instancesOf([1, 1, 1, 1, 1, 1]);
  for (const instance of instances) answer(instance, 5, 0);
  const balancer = peakOver(instances);
  const counts = instances.map(() => 0);
  let last = -1;
  const following = instances.map(() => 0);
  for (let i = 0; i < 12_000; i++) {
    const index = instances.indexOf(balancer.pick(contextOf()) as FakeInstance); // there is one
    counts[index] = (counts[index] ?? 0) + 1;
    if (last === 2) following[index] = (following[index] ?? 0) + 1;
    last = index;
  }
  const shares = instances.map(() => 1);
  // 99.9 % of chi-square for five degrees of freedom; also for what follows one of them.
  assert.ok(chiSquare(counts, shares) < 20.52, counts.join());
  assert.ok(chiSquare(following, shares) < 20.52, following.join());
});

test("an instance without a history gets one request until it has answered, however many come", () => {
  const instances = instancesOf([1, 1, 1, 1]);
  const [fresh, ...known] = instances;
  for (const instance of known) answer(instance, 5, 0);
  const balancer = peakOver(instances);
  let toFresh = 0;
  for (let i = 0; i < 500; i++) {
    const picked = balancer.pick(contextOf({ nowMs: i / 10 }));
    picked?.load.begin(i / 10);
    if (picked === fresh) toFresh++;
    else {
      picked?.load.observe(5, i / 10);
      picked?.load.end(true);
    }
  }
  assert.equal(toFresh, 1);
  fresh?.load.observe(5, 50);
  fresh?.load.end(true);
  const after = Array.from({ length: 400 }, () => balancer.pick(contextOf({ nowMs: 51 })));
  const share = after.filter((picked) => picked === fresh).length / 400;
  assert.ok(share > 0.15 && share < 0.35, `${share}`);
});

test("a service that just started spreads its first requests over all its instances", () => {
  const instances = instancesOf([1, 1, 1, 1, 1]);
  const balancer = peakOver(instances);
  for (let i = 0; i < 50; i++) balancer.pick(contextOf())?.load.begin(0);
  for (const { load } of instances) assert.ok(Math.abs(load.active() - 10) <= 2, `${load.active()}`);
});

test("an instance that was slow and is tried again gets one request at a time until it answers fast", () => {
  const instances = instancesOf([1, 1, 1, 1]);
  const [slow, ...others] = instances;
  answer(slow, 2_000, 0);
  const balancer = peakOver(instances);
  let toSlow = 0;
  for (let i = 0; i < 2_000; i++) {
    const nowMs = 60_000 + i / 100;
    for (const other of others) answer(other, 10, nowMs);
    const picked = balancer.pick(contextOf({ nowMs }));
    picked?.load.begin(nowMs);
    if (picked === slow) toSlow++;
    else picked?.load.end(false);
  }
  assert.equal(toSlow, 1);
});

test("with the same number under way an instance twice as slow gets about half of the others' share", () => {
  const instances = instancesOf([1, 1, 1, 1, 1]);
  const [slow] = instances;
  const balancer = peakOver(instances);
  for (const instance of instances) answer(instance, instance === slow ? 10 : 5, 0);
  for (let i = 0; i < 900; i++) balancer.pick(contextOf())?.load.begin(0);
  const active = slow?.load.active() ?? 0;
  assert.ok(active >= 85 && active <= 135, `${active} of 900, not 100 to 133`);
});

test("what an instance reports of its load multiplies its cost", () => {
  const instances = instancesOf([1, 1]);
  const [reported, other] = instances;
  for (const instance of instances) answer(instance, 5, 0);
  assert.ok(reported !== undefined && other !== undefined);
  reported.biasedBy = 2;
  const balancer = peakOver(instances);
  for (let i = 0; i < 300; i++) balancer.pick(contextOf())?.load.begin(0);
  assert.ok(other.load.active() / reported.load.active() > 1.3, `${reported.load.active()}`);
});

test("with most of the instances bad, the good ones are found all the same", () => {
  const instances = instancesOf([1, 1, 1, 1, 1, 1, 1, 1]);
  const good = new Set(instances.slice(0, 2));
  const balancer = peakOver(instances);
  for (const instance of instances) answer(instance, 5, 0);
  for (let i = 0; i < 100; i++) balancer.pick(contextOf());
  for (const instance of instances) if (!good.has(instance)) instance.load.penalize(0, 1, 0);
  let toBad = 0;
  for (let i = 0; i < 1_000; i++) {
    const picked = balancer.pick(contextOf({ nowMs: i }));
    answer(picked, 5, i);
    if (picked !== undefined && !good.has(picked)) toBad++;
  }
  assert.equal(toBad, 0);
});

test("when all are bad the traffic goes on, to all of them", () => {
  const instances = instancesOf([1, 1, 1, 1]);
  const balancer = peakOver(instances);
  for (const instance of instances) answer(instance, 5, 0);
  for (let i = 0; i < 10; i++) balancer.pick(contextOf());
  const counts = instances.map(() => 0);
  for (let i = 0; i < 4_000; i++) {
    const picked = balancer.pick(contextOf({ nowMs: i }));
    picked?.load.begin(i);
    picked?.load.penalize(0, 1, i);
    picked?.load.end(false);
    const index = instances.indexOf(picked as FakeInstance); // there is one
    counts[index] = (counts[index] ?? 0) + 1;
  }
  for (const count of counts) assert.ok(count > 500, counts.join());
});
