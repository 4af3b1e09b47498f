import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../tests/kit/clock.ts";
import { pass } from "../../../tests/kit/fake-timers.ts";
import { deferred } from "../../../tests/kit/wait.ts";
import { waitForQuiet } from "./drain.ts";
import { fakeTime } from "./time.fixtures.ts";

/** Waits with a second for gateways to notice and five in all; answers a function that says when it was over. */
function start(inFlight: (() => number) | undefined, told: Promise<void>) {
  const clock = new FakeClock(0);
  let overAtMs: number | undefined;
  const options = { time: fakeTime(clock), drainMs: 5_000, noticeMs: 1_000, inFlight, told };
  void waitForQuiet(options).then(() => (overAtMs = clock.now()));
  return { clock, overAtMs: () => overAtMs };
}

const cases: readonly [name: string, inFlight: (() => number) | undefined, overAtMs: number][] = [
  ["idle, it waits only until gateways have noticed", () => 0, 1_000],
  ["with a request that does not end, it waits for all of its time", () => 1, 5_000],
  ["where nobody counts, it waits for all of its time", undefined, 5_000],
  [
    "with a count that fails, it waits for all of its time",
    () => {
      throw new Error("count");
    },
    5_000,
  ],
];

for (const [name, inFlight, expectedMs] of cases) {
  test(name, async () => {
    const { clock, overAtMs } = start(inFlight, Promise.resolve());
    await pass(clock, 6_000, 25);
    assert.equal(overAtMs(), expectedMs);
    assert.equal(clock.pending, 0);
  });
}

test("it ends soon after the last request", async () => {
  let busy = 2;
  const { clock, overAtMs } = start(() => busy, Promise.resolve());
  await pass(clock, 2_000, 25);
  assert.equal(overAtMs(), undefined);
  busy = 0;
  await pass(clock, 1_000, 25);
  // At the next look.
  assert.equal(overAtMs(), 2_025);
});

test("an idle moment before gateways were told is not the end of the work", async () => {
  const told = deferred();
  const { clock, overAtMs } = start(() => 0, told.promise);
  await pass(clock, 3_000, 25);
  assert.equal(overAtMs(), undefined);
  told.resolve();
  await pass(clock, 1_100, 25);
  assert.equal(overAtMs(), 4_000);
});
