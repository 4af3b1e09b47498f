/** The adaptive limit in front of simulated instances; deterministic, an hour takes seconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome, Scenario } from "./simulation.fixtures.ts";
import { limiters, simulate } from "./simulation.fixtures.ts";

const adaptive = { type: "adaptive", min: 1, max: 1_000, initial: 20 } as const;

function mean(values: readonly number[], from: number, to: number): number {
  const part = values.slice(from, to);
  return part.reduce((sum, value) => sum + value, 0) / part.length;
}

/** Answers in time a second under the best of the fixed limits around what the instances can do. */
function bestFixed(scenario: Scenario): number {
  const servers = scenario.servers(0);
  const goodputs = [1, 1.1, 1.25, 1.5, 2, 3, 5].map((share) => {
    const fixed = limiters({ type: "fixed", limit: Math.round(servers * share) });
    return mean(simulate({ ...scenario, seconds: 40 }, fixed).good, 10, 40);
  });
  return Math.max(...goodputs);
}

const overloads: readonly [string, Omit<Scenario, "seconds">][] = [
  [
    "twice what instances with a queue can do",
    { perSecond: 400, servers: () => 20, serviceMs: 100, deadlineMs: 1_000 },
  ],
  ["a fifth more", { perSecond: 240, servers: () => 20, serviceMs: 100, deadlineMs: 1_000 }],
  [
    "instances that get slower with all that waits",
    { perSecond: 400, servers: () => 20, serviceMs: 100, deadlineMs: 1_000, thrashing: 0.3 },
  ],
  [
    "work that takes about the same each time",
    { perSecond: 400, servers: () => 20, serviceMs: 100, deadlineMs: 1_000, spread: "steady" },
  ],
  ["short work", { perSecond: 2_000, servers: () => 10, serviceMs: 10, deadlineMs: 300 }],
  ["an instance that does one thing at a time", { perSecond: 100, servers: () => 1, serviceMs: 20, deadlineMs: 1_000 }],
  ["many instances", { perSecond: 1_500, servers: () => 100, serviceMs: 100, deadlineMs: 1_000 }],
];

for (const [what, scenario] of overloads) {
  test(`under ${what}, the goodput is at least 90 % of the best fixed limit's`, () => {
    const best = bestFixed({ ...scenario, seconds: 0 });
    const { good } = simulate({ ...scenario, seconds: 120 }, limiters(adaptive));
    const goodput = mean(good, 30, 120);
    assert.ok(goodput >= best * 0.9, `${goodput} of ${best} a second`);
  });
}

const steps: readonly [string, Omit<Scenario, "seconds" | "servers">][] = [
  ["a queue", { perSecond: 800, serviceMs: 100, deadlineMs: 500 }],
  ["a queue that slows everything down", { perSecond: 800, serviceMs: 100, deadlineMs: 1_000, thrashing: 0.3 }],
];

for (const [what, scenario] of steps) {
  test(`with ${what}, it has settled 30 s after the capacity fell to a quarter, and after it came back`, () => {
    const servers = (atMs: number): number => (atMs >= 60_000 && atMs < 120_000 ? 10 : 40);
    const { good, limits } = simulate({ ...scenario, servers, seconds: 180 }, limiters(adaptive));
    for (const [from, capacity] of [
      [30, 40],
      [90, 10],
      [150, 40],
    ] as const) {
      const best = bestFixed({ ...scenario, servers: () => capacity, seconds: 0 });
      for (let at = from; at < from + 30; at += 10) {
        const goodput = mean(good, at, at + 10);
        assert.ok(goodput >= best * 0.85, `${goodput} of ${best} a second, ${at} s after the start`);
      }
      assert.ok(mean(good, from, from + 30) >= best * 0.9, `${mean(good, from, from + 30)} of ${best} a second`);
      const found = limits.slice(from, from + 30);
      assert.ok(Math.min(...found) >= capacity * 0.9 && Math.max(...found) <= capacity * 1.7, found.join(" "));
    }
  });
}

test("an hour of overload does not move it away from where it was after a minute", () => {
  const scenario: Scenario = {
    perSecond: 200,
    servers: () => 10,
    serviceMs: 100,
    deadlineMs: 1_000,
    thrashing: 0.2,
    seconds: 3_600,
  };
  const { good, limits } = simulate(scenario, limiters(adaptive));
  const best = bestFixed(scenario);
  for (let at = 60; at < 3_600; at += 60) {
    assert.ok(
      mean(good, at, at + 60) >= best * 0.88,
      `minute ${at / 60}: ${mean(good, at, at + 60)} of ${best} a second`,
    );
  }
  assert.ok(mean(good, 3_000, 3_600) >= best * 0.9, `${mean(good, 3_000, 3_600)} of ${best} a second`);
  assert.ok(Math.abs(mean(limits, 3_000, 3_600) - mean(limits, 60, 660)) < 1.5, "the limit drifts");
});

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function refusedShare({ good, refused }: Outcome, from: number): number {
  const sent = total(good.slice(from)) + total(refused.slice(from));
  return total(refused.slice(from)) / sent;
}

test("a load that the instances can carry is let through, also one that the first limit is too low for", () => {
  const light: Scenario = { perSecond: 100, servers: () => 20, serviceMs: 100, deadlineMs: 1_000, seconds: 120 };
  assert.equal(refusedShare(simulate(light, limiters(adaptive)), 0), 0);
  const heavy = { ...light, perSecond: 700, servers: () => 100 };
  assert.ok(refusedShare(simulate(heavy, limiters(adaptive)), 20) < 0.001);
});

test("instances that stop answering take it down, and it is back within 30 s of their return", () => {
  const servers = (atMs: number): number => (atMs >= 60_000 && atMs < 90_000 ? 0 : 20);
  const scenario: Scenario = { perSecond: 400, servers, serviceMs: 50, deadlineMs: 1_000, seconds: 180 };
  const { good, limits } = simulate(scenario, limiters(adaptive));
  assert.ok(Math.min(...limits.slice(60, 95)) <= 5, limits.slice(55, 95).join(" "));
  assert.ok(mean(good, 120, 180) >= mean(good, 30, 60) * 0.95, `${mean(good, 120, 180)} a second`);
});

test("four workers over one memory find the same limit as one, answer by answer", () => {
  const scenario: Scenario = { perSecond: 400, servers: () => 20, serviceMs: 100, deadlineMs: 1_000, seconds: 60 };
  assert.deepEqual(simulate(scenario, limiters(adaptive, 4)), simulate(scenario, limiters(adaptive)));
});
