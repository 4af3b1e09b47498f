import type { BalanceSettings } from "@headgate/schema";
import assert from "node:assert/strict";
import { test } from "node:test";
import { exponential, percentile, simulate, type Simulated, type Treatment } from "./simulation.fixtures.ts";

/*
 * What the policies are for, in time that is counted: five instances, one of which (0) turns bad. Requests arrive at
 * random; the seed decides everything.
 */

type Policy = "round-robin" | "least-requests" | "peak-ewma";
type Treat = (instance: number, nowMs: number, random: () => number) => Treatment;

const of = (policy: Policy): BalanceSettings => ({ policy });

const p99 = (requests: readonly Simulated[]): number =>
  percentile(
    requests.map(({ latencyMs }) => latencyMs),
    0.99,
  );

/** Share of the requests of a time that instance 0 gets. */
function shareOf(requests: readonly Simulated[], fromMs: number, untilMs: number): number {
  const then = requests.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  return then.filter(({ instance }) => instance === 0).length / then.length;
}

/** 5 ms, exponential; instance 0 from 10 to 20 s as given. */
const badFor10s =
  (bad: Treat): Treat =>
  (instance, nowMs, random) =>
    instance === 0 && nowMs >= 10_000 && nowMs < 20_000 ? bad(instance, nowMs, random) : { ms: exponential(5, random) };

const slow: Treat = (_instance, _nowMs, random) => ({ ms: exponential(200, random) });
const failing: Treat = () => ({ ms: 0.5, failed: true });
const hanging: Treat = () => ({ ms: Infinity });

for (const perSecond of [50, 200, 400]) {
  test(`one of five instances is five times slower, ${perSecond}/s: p99 is no higher than with least requests, and half of round-robin's`, () => {
    const run = (policy: Policy, seed: number): number =>
      p99(
        simulate({
          settings: of(policy),
          perSecond,
          seconds: 12_000 / perSecond,
          seed,
          servers: 4,
          treat: (instance, _nowMs, random) => ({ ms: exponential(instance === 0 ? 25 : 5, random) }),
        }),
      );
    for (const seed of [1, 2]) {
      const peak = run("peak-ewma", seed);
      const least = run("least-requests", seed);
      const round = run("round-robin", seed);
      assert.ok(peak <= least, `${peak} to ${least}`);
      assert.ok(peak <= round / 2, `${peak} to ${round}`);
    }
  });
}

test("a slower instance is known as slower although all have answers now and then that take long", () => {
  for (const perSecond of [50, 400]) {
    const requests = simulate({
      settings: of("peak-ewma"),
      perSecond,
      seconds: 12_000 / perSecond,
      treat: (instance, _nowMs, random) => ({
        ms: (instance === 0 ? 25 : 5) + (random() < 0.01 ? exponential(60, random) : 0),
      }),
    });
    const share = shareOf(requests, 0, Infinity);
    assert.ok(share < 0.04, `${perSecond}/s: ${share}`);
  }
});

for (const perSecond of [20, 1_000]) {
  test(`one turns forty times slower, ${perSecond}/s: within two seconds it gets less than one in two hundred`, () => {
    for (const seed of [1, 2]) {
      const requests = simulate({ settings: of("peak-ewma"), perSecond, seconds: 20, seed, treat: badFor10s(slow) });
      assert.ok(shareOf(requests, 5_000, 10_000) > 0.1);
      const share = shareOf(requests, 12_000, 20_000);
      assert.ok(share <= 0.005, `seed ${seed}: ${share}`);
    }
  });

  test(`one fails at once, ${perSecond}/s: it gets a handful of requests, and another after some half a minute`, () => {
    const treat: Treat = (instance, nowMs, random) =>
      instance === 0 && nowMs >= 10_000 ? failing(instance, nowMs, random) : { ms: exponential(5, random) };
    for (const seed of [1, 2]) {
      const requests = simulate({ settings: of("peak-ewma"), perSecond, seconds: 60, seed, treat });
      const failed = requests.filter((request) => request.failed).map(({ atMs }) => atMs);
      // Four in a row, and those that were under way when the fourth failed.
      assert.ok(failed.filter((atMs) => atMs < 30_000).length <= 8, `seed ${seed}: ${failed.join(" ")}`);
      assert.ok(failed.length <= 15, `seed ${seed}: ${failed.join(" ")}`);
    }
  });

  test(`one hangs, ${perSecond}/s: it gets at most five requests until their timeout`, () => {
    for (const seed of [1, 2]) {
      const requests = simulate({
        settings: of("peak-ewma"),
        perSecond,
        seconds: 24,
        seed,
        treat: (instance, nowMs, random) =>
          instance === 0 && nowMs >= 10_000 ? hanging(instance, nowMs, random) : { ms: exponential(5, random) },
      });
      const lost = requests.filter(({ latencyMs }) => latencyMs >= 15_000).length;
      assert.ok(lost <= 5, `seed ${seed}: ${lost}`);
    }
  });

  test(`an instance is back at its share soon after it is good again, ${perSecond}/s`, () => {
    for (const [bad, name, backMs] of [
      [slow, "slow", 40_000],
      [failing, "failing", 40_000],
      [hanging, "hanging", 60_000],
    ] as const) {
      const requests = simulate({
        settings: of("peak-ewma"),
        perSecond,
        seconds: 20 + backMs / 1_000 + 20,
        treat: badFor10s(bad),
      });
      const share = shareOf(requests, 20_000 + backMs, 40_000 + backMs);
      assert.ok(share > 0.1 && share < 0.3, `${name}: ${share}`);
    }
  });
}

test("two of five hang: hardly a request meets both", () => {
  const requests = simulate({
    settings: of("peak-ewma"),
    perSecond: 1_000,
    seconds: 20,
    treat: (instance, nowMs, random) => ({ ms: instance < 2 && nowMs >= 10_000 ? Infinity : exponential(5, random) }),
  });
  const lost = requests.filter(({ latencyMs }) => latencyMs >= 15_000).length;
  assert.ok(lost <= 40, `${lost} of 10,000`);
});

test("failures that all instances have now and then do not unbalance them", () => {
  for (const [perSecond, seconds] of [
    [100, 200],
    [1_000, 30],
  ] as const) {
    const requests = simulate({
      settings: of("peak-ewma"),
      perSecond,
      seconds,
      treat: (_instance, _nowMs, random) => ({ ms: exponential(5, random), failed: random() < 0.01 }),
    });
    for (let instance = 0; instance < 5; instance++) {
      const share = requests.filter((request) => request.instance === instance).length / requests.length;
      assert.ok(share > 0.15 && share < 0.25, `${perSecond}/s: ${share}`);
    }
  }
});

test("with one failure in ten everywhere no instance is left with more than it can do", () => {
  const requests = simulate({
    settings: of("peak-ewma"),
    perSecond: 1_000,
    seconds: 30,
    servers: 4,
    treat: (_instance, _nowMs, random) => ({ ms: exponential(5, random), failed: random() < 0.1 }),
  });
  // 23 ms where none ever fails.
  assert.ok(p99(requests) < 35, `${p99(requests)}`);
});

test("an instance that asks for a minute's rest gets it", () => {
  const requests = simulate({
    settings: of("peak-ewma"),
    perSecond: 100,
    seconds: 120,
    before: (instances, nowMs) => {
      const load = instances[0]?.load;
      if (load !== undefined && nowMs >= 10_000 && nowMs < 10_100) load.penalize(60_000, 1, nowMs);
    },
    treat: (_instance, _nowMs, random) => ({ ms: exponential(5, random) }),
  });
  assert.ok(shareOf(requests, 10_200, 65_000) < 0.001);
  assert.ok(shareOf(requests, 100_000, 120_000) > 0.1);
});

test("weights hold with latencies as uneven as they are, at any load", () => {
  for (const policy of ["least-requests", "peak-ewma"] as const) {
    for (const weights of [
      [1, 2, 1, 1, 1],
      [10, 1, 1, 1, 1],
      [95, 5],
    ]) {
      for (const perSecond of [50, 1_000]) {
        const requests = simulate({
          settings: of(policy),
          perSecond,
          seconds: 30_000 / perSecond,
          weights,
          treat: (_instance, _nowMs, random) => ({ ms: exponential(5, random) }),
        });
        const sum = weights.reduce((total, weight) => total + weight, 0);
        for (const [instance, weight] of weights.entries()) {
          const share = requests.filter((request) => request.instance === instance).length / requests.length;
          const off = Math.abs(share - weight / sum);
          assert.ok(off < 0.08, `${policy}, ${perSecond}/s, ${weights.join()}: ${share} at ${instance}`);
        }
      }
    }
  }
});
