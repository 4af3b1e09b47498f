import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { HealthCheckSettings } from "@headgate/schema";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { fakeTimers, pass, settled } from "../../../../../tests/kit/fake-timers.ts";
import type { CheckResult } from "./check-state.ts";
import { settingsOf } from "./health.fixtures.ts";
import { Prober } from "./prober.ts";

const failed: CheckResult = { passed: false, reason: "GET / answered 500" };

/** A prober whose checks end at once as `answer` says, or, where they hang, when the test resolves them. */
function open(t: TestContext, answer: "hangs" | ((address: string) => CheckResult) = () => ({ passed: true })) {
  const clock = new FakeClock();
  const asked: { atMs: number; address: string; path: string }[] = [];
  const under: { address: string; resolve: (result: CheckResult) => void }[] = [];
  const told: string[] = [];
  const prober = new Prober({
    ...{ clock, timers: fakeTimers(clock), random: seededRandom(7) },
    check: (settings, address, stop) => {
      asked.push({ atMs: clock.now(), address, path: settings.path });
      if (answer !== "hangs") return Promise.resolve(answer(address));
      const { promise, resolve } = Promise.withResolvers<CheckResult>();
      stop.addEventListener("abort", () => resolve(failed));
      under.push({ address, resolve });
      return promise;
    },
    onChecked: (service, address, state, before) => {
      if (state.healthy !== before.healthy) told.push(`${service}/${address} ${state.healthy ? "well" : "sick"}`);
    },
  });
  t.after(() => prober.stop());
  return { clock, prober, asked, under, told };
}

function settings(more: object = {}): HealthCheckSettings {
  return settingsOf({ path: "/healthz", interval: "5s", timeout: "1s", healthy: 2, unhealthy: 3, ...more });
}

function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `a${index}:1`);
}

test("first checks are spread over a second, later ones come every interval, give or take a tenth", async (t) => {
  const { clock, prober, asked } = open(t);
  const startMs = clock.now();
  prober.set("users", settings(), addresses(100));
  await pass(clock, 1_000, 10);
  assert.equal(asked.length, 100);
  const halves = asked.filter(({ atMs }) => atMs - startMs < 500).length;
  assert.ok(halves > 30 && halves < 70, `${halves} of 100 in the first half`);
  await pass(clock, 60_000, 100);
  const gaps: number[] = [];
  for (const address of addresses(100)) {
    const times = asked.filter((one) => one.address === address).map(({ atMs }) => atMs);
    for (const [index, atMs] of times.slice(1).entries()) gaps.push(atMs - (times[index] ?? 0));
  }
  assert.ok(gaps.length > 1_000);
  assert.ok(Math.min(...gaps) >= 4_500 && Math.max(...gaps) <= 5_600, `${Math.min(...gaps)} to ${Math.max(...gaps)}`);
  assert.ok(new Set(gaps.map((gap) => Math.round(gap / 100))).size > 5, "the gaps are all the same");
});

test("a check that takes longer than the interval is not overtaken by the next", async (t) => {
  const { clock, prober, under } = open(t, "hangs");
  prober.set("users", settings({ interval: "100ms" }), ["a:1"]);
  await pass(clock, 1_000);
  assert.equal(under.length, 1);
  under[0]?.resolve({ passed: true });
  await pass(clock, 25);
  assert.equal(under.length, 2);
});

test("the state changes by the thresholds, and is told when it does", async (t) => {
  let result: CheckResult = { passed: true };
  const { clock, prober, told } = open(t, () => result);
  prober.set("users", settings(), ["a:1"]);
  await pass(clock, 10_000, 100);
  result = failed;
  await pass(clock, 20_000, 100);
  assert.deepEqual(told, ["users/a:1 sick"]);
  result = { passed: true };
  await pass(clock, 15_000, 100);
  assert.deepEqual(told, ["users/a:1 sick", "users/a:1 well"]);
});

test("what is known stays when other things of the service change, and goes with the instance", async (t) => {
  const { clock, prober, asked } = open(t, () => failed);
  prober.set("users", settings(), ["a:1", "b:1"]);
  await pass(clock, 1_000);
  prober.set("users", settings({ unhealthy: 5, timeout: "2s" }), ["a:1", "c:1"]);
  assert.equal(prober.state("users", "a:1")?.healthy, false);
  assert.equal(prober.state("users", "b:1"), undefined);
  assert.equal(prober.state("users", "c:1")?.healthy, true);
  const before = asked.length;
  await pass(clock, 20_000, 100);
  assert.ok(asked.slice(before).every(({ address }) => address !== "b:1"));
  prober.set("users", undefined, ["a:1"]);
  assert.equal(prober.state("users", "a:1"), undefined);
});

test("another question keeps the old answer until it is answered, which decides alone", async (t) => {
  let result: CheckResult = failed;
  const { clock, prober, asked } = open(t, () => result);
  prober.set("users", settings(), ["a:1"]);
  await pass(clock, 1_000);
  result = { passed: true };
  const atMs = clock.now();
  prober.set("users", settings({ path: "/ready" }), ["a:1"]);
  assert.equal(prober.state("users", "a:1")?.healthy, false);
  await pass(clock, 1_000);
  assert.equal(asked.at(-1)?.path, "/ready");
  assert.ok((asked.at(-1)?.atMs ?? 0) - atMs <= 1_000);
  assert.equal(prober.state("users", "a:1")?.healthy, true);
});

test("another interval holds from now on, not after the old one", async (t) => {
  const { clock, prober, asked } = open(t);
  prober.set("users", settings({ interval: "1h" }), ["a:1"]);
  await pass(clock, 1_000);
  prober.set("users", settings({ interval: "1s" }), ["a:1"]);
  await pass(clock, 5_000, 100);
  assert.ok(asked.length >= 5, `${asked.length} checks`);
});

test("the answer of a check that was under way when the instance went, or the question changed, counts for nothing", async (t) => {
  const { clock, prober, under, told } = open(t, "hangs");
  prober.set("users", settings(), ["a:1", "b:1"]);
  await pass(clock, 1_000);
  assert.equal(under.length, 2);
  prober.set("users", settings({ path: "/ready" }), ["b:1"]);
  for (const { resolve } of under) resolve(failed);
  await settled();
  assert.deepEqual(told, []);
  await pass(clock, 1_000);
  assert.deepEqual(
    under.slice(2).map(({ address }) => address),
    ["b:1"],
  );
});

test("of a thousand instances that hang 256 are checked at a time, and all in turn", async (t) => {
  const { clock, prober, under } = open(t, "hangs");
  prober.set("users", settings(), addresses(1_000));
  await pass(clock, 1_000);
  assert.equal(under.length, 256);
  const seen = new Set<string>();
  for (let done = 0; done < 1_000; done++) {
    const one = under[done];
    seen.add(one?.address ?? "");
    one?.resolve(failed);
    if (done % 100 === 0) await settled();
  }
  assert.equal(seen.size, 1_000);
  assert.equal(under.length, 1_000);
});

test("nothing is checked after the end", async (t) => {
  const { clock, prober, asked, under } = open(t, "hangs");
  prober.set("users", settings(), addresses(300));
  await pass(clock, 500);
  prober.stop();
  await settled();
  const before = asked.length;
  await pass(clock, 20_000, 1_000);
  assert.equal(asked.length, before);
  assert.equal(clock.pending, 0);
  assert.ok(under.length > 0);
});
