/** Four threads on the memory of one breaker: what they do together is what one would have done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inThreads } from "../../../../../../tests/kit/threads.ts";
import type { Answers, Counted, Life, Race, Taken } from "./breaker-race.fixtures.ts";
import { Bench, settings } from "./breaker.fixtures.ts";
import type { CircuitBreakerSettings } from "@headgate/schema";

const module = new URL("./breaker-race.fixtures.ts", import.meta.url);
const threads = 4;

function raceOf(bench: Bench, changed: Partial<CircuitBreakerSettings>, rounds: number): Race {
  const clock = new SharedArrayBuffer(8);
  Atomics.store(new Int32Array(clock), 0, bench.nowMs);
  return { memory: bench.memory, clock, settings: { ...settings, ...changed }, rounds };
}

test("exactly as many trials are let through as are set, whose successes close it once and whose failures open it once", async () => {
  for (const outcome of ["success", "failure"] as const) {
    const bench = new Bench({ halfOpenRequests: 1_000 });
    bench.trip();
    bench.nowMs += 1_000;
    const race = raceOf(bench, { halfOpenRequests: 1_000 }, 2_000);
    const taken = await inThreads<Taken>(module, "take", threads, race);
    const permits = taken.flatMap((each) => each.permits);
    assert.equal(permits.length, 1_000);
    assert.equal(
      taken.reduce((sum, { began }) => sum + began, 0),
      1,
    );
    const answers: Race & Answers = { ...race, permits, outcome, threads };
    const reasons = (await inThreads<string[]>(module, "answer", threads, answers)).flat();
    assert.deepEqual(reasons, [outcome === "success" ? "trials-succeeded" : "trial-failed"]);
    assert.equal(bench.state, outcome === "success" ? "closed" : "open");
  }
});

test("trials that are given back by several at once can be taken again, as many as were", async () => {
  const bench = new Bench({ halfOpenRequests: 1_000 });
  bench.trip();
  bench.nowMs += 1_000;
  const race = raceOf(bench, { halfOpenRequests: 1_000 }, 1_000);
  const permits = Array.from({ length: 600 }, () => bench.acquire());
  await inThreads(module, "answer", threads, { ...race, permits, outcome: "ignored", threads } satisfies Race &
    Answers);
  const taken = await inThreads<Taken>(module, "take", threads, race);
  assert.equal(taken.flatMap((each) => each.permits).length, 1_000);
});

test("no request is lost or counted twice, also where buckets begin meanwhile", async () => {
  for (const failEvery of [1, 3]) {
    const bench = new Bench();
    const race = raceOf(bench, { minRequests: 1_000_000_000 }, 40_000);
    const counted = await inThreads<Counted>(module, "count", threads, { ...race, failEvery });
    const all = Atomics.load(new Int32Array(race.clock), 1);
    const failures = counted.reduce((sum, each) => sum + each.failures, 0);
    bench.nowMs += 8_000;
    bench.settings = { ...settings, minRequests: 1, failureRatio: 0.1, consecutive: failEvery === 1 ? 1 : 0 };
    bench.run(1, "failure");
    const expected = `${failures + 1} of ${all + 1} requests in 10 s failed`;
    assert.equal(bench.changes[0]?.detail, failEvery === 1 ? `${all + 1} failures in a row` : expected);
  }
});

test("through many openings each change is made once, and no generation has more trials than are set", async () => {
  const bench = new Bench();
  const changed = { windowMs: 200, minRequests: 10, consecutive: 8, openMs: 20, openMaxMs: 100, halfOpenRequests: 5 };
  const race = raceOf(bench, changed, 60_000);
  const lives = await inThreads<Life>(module, "live", threads, race);
  const changes = new Map<string, number>();
  const trials = new Map<number, number>();
  for (const life of lives) {
    for (const [reason, count] of Object.entries(life.changes)) changes.set(reason, (changes.get(reason) ?? 0) + count);
    for (const [generation, count] of life.trials) trials.set(generation, (trials.get(generation) ?? 0) + count);
  }
  for (const [generation, count] of trials) assert.ok(count <= 5, `generation ${generation} had ${count} trials`);
  const of = (...reasons: string[]): number => reasons.reduce((sum, reason) => sum + (changes.get(reason) ?? 0), 0);
  bench.nowMs = Atomics.load(new Int32Array(race.clock), 0);
  const opened = of("consecutive", "failure-ratio", "slow-ratio");
  const closed = of("trials-succeeded");
  const halfOpened = of("open-over");
  const openedAnew = of("trial-failed", "trials-slow");
  // It is closed, open, half-open in turn: what was entered and not left is the state that it is in.
  const ended = bench.breaker.opensForMs(bench.nowMs) > 0 || bench.state === "half-open" ? 1 : 0;
  assert.equal(opened - closed, ended, JSON.stringify([...changes]));
  assert.ok(Math.abs(opened + openedAnew - halfOpened) <= 1, JSON.stringify([...changes]));
  assert.ok(opened > 10 && openedAnew > 10, JSON.stringify([...changes]));
});
