import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../../tests/kit/fake-store.ts";
import { fakeTimers, settled } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import { biasesOf } from "./load-bias.ts";
import { hasLoad, hasStatus, reportMsMax } from "./report.ts";
import { Reports } from "./reports.ts";

const key = "/health/users/a:1";

async function open(t: TestContext, before: (store: FakeStore, clock: FakeClock) => void = () => undefined) {
  const clock = new FakeClock();
  const store = new FakeStore(clock);
  before(store, clock);
  const told: string[] = [];
  const reports = new Reports({
    ...{ store, clock, timers: fakeTimers(clock), random: seededRandom(1), log: silentLog },
    onReport: (name, address) => void told.push(`${name}/${address}`),
  });
  t.after(() => reports.stop());
  reports.start();
  await settled();
  const put = (value: unknown, lease?: string) => store.put(key, JSON.stringify(value), lease);
  /** Whether status and figures of the report count now. */
  const counts = (): readonly [boolean, boolean] | undefined => {
    const report = reports.of("users", "a:1");
    return report === undefined ? undefined : [hasStatus(report, clock.now()), hasLoad(report, clock.now())];
  };
  return { clock, store, reports, told, put, counts };
}

test("reports come, change and go with their keys", async (t) => {
  const { reports, told, put, store } = await open(t);
  const metrics = { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 45, eventLoopDelayMs: 1 };
  put({ serviceId: "users", instanceId: "a:1", status: "UP", metrics, timestamp: 1 });
  const report = reports.of("users", "a:1");
  assert.deepEqual(report?.load, { cpuUsage: 0.65, memoryUsage: 0.72, requestLatencyMs: 45 });
  assert.equal(report?.status, "UP");
  put({ status: "down" });
  assert.equal(reports.of("users", "a:1")?.status, "DOWN");
  store.delete(key);
  assert.equal(reports.of("users", "a:1"), undefined);
  assert.deepEqual(told, ["users/a:1", "users/a:1", "users/a:1"]);
});

for (const [what, value, status, load] of [
  ["a map that says nothing is a report of an instance that is up", {}, "UP", {}],
  [
    "figures that make no sense are not said",
    { metrics: { cpuUsage: 65, memoryUsage: -1, requestLatencyMs: "4" } },
    "UP",
    {},
  ],
  ["metrics that are no map are none", { status: "UP", metrics: [1] }, "UP", {}],
  ["a status that is no text is none", { status: 1 }, "UP", {}],
  ["an endless status is cut", { status: "x".repeat(500) }, "X".repeat(32), {}],
] as const) {
  test(what, async (t) => {
    const { put, reports } = await open(t);
    put(value);
    const report = reports.of("users", "a:1");
    assert.deepEqual([report?.status, report?.load], [status, load]);
  });
}

test("what is no report, or too long for one, takes the last one away", async (t) => {
  const { put, reports, store } = await open(t);
  for (const value of ["active", "[]", "null", "{", JSON.stringify({ x: "x".repeat(70_000) })]) {
    put({ status: "DOWN" });
    store.put(key, value);
    assert.equal(reports.of("users", "a:1"), undefined, value.slice(0, 20));
  }
});

test("keys of no instance are passed over", async (t) => {
  const { store, told } = await open(t);
  store.put("/health/users", "{}");
  store.put("/health/users/a:1/x", "{}");
  assert.deepEqual(told, []);
});

test("without a lease a report counts for 90 seconds after it arrived, whatever time it names", async (t) => {
  const { clock, put, counts } = await open(t);
  put({ timestamp: clock.wall() - 3_600_000 });
  clock.advance(reportMsMax);
  assert.deepEqual(counts(), [true, true]);
  clock.advance(1);
  assert.deepEqual(counts(), [false, false]);
  put({});
  assert.deepEqual(counts(), [true, true]);
});

test("under a lease the status counts as long as that, the figures do not", async (t) => {
  const { clock, store, put, counts } = await open(t);
  const lease = (await store.grant(3_600)).id;
  put({ status: "DOWN" }, lease);
  clock.advance(reportMsMax + 1);
  await settled();
  assert.deepEqual(counts(), [true, false]);
  clock.advance(3_600_000);
  await settled();
  assert.equal(counts(), undefined);
});

for (const [what, timestamp, expected] of [
  ["that is found at the start and is old", (wallMs: number) => wallMs - reportMsMax - 1, [false, false]],
  ["that is found at the start and is new", (wallMs: number) => wallMs - 1_000, [true, true]],
  ["whose clock is ahead", (wallMs: number) => wallMs + 3_600_000, [true, true]],
  ["with a time in ISO 8601", (wallMs: number) => new Date(wallMs - reportMsMax - 1).toISOString(), [false, false]],
  ["without a time", () => undefined, [true, true]],
] as const) {
  test(`a report ${what} counts ${expected[0] ? "" : "for nothing"}`, async (t) => {
    const { counts } = await open(t, (store, clock) =>
      store.put(key, JSON.stringify({ timestamp: timestamp(clock.wall()) })),
    );
    assert.deepEqual(counts(), expected);
  });
}

for (const [what, loads, biases] of [
  ["instances with room are all equal", [{ cpuUsage: 0.1 }, { cpuUsage: 0.7 }, undefined], [1, 1, 1]],
  ["from 70 % of the processor an instance gets more expensive", [{ cpuUsage: 0.85 }, { cpuUsage: 1 }], [2.5, 4]],
  ["twice the typical latency is nothing yet", [{ requestLatencyMs: 10 }, { requestLatencyMs: 20 }], [1, 1]],
  [
    "six times the typical latency is three times as expensive",
    [{ requestLatencyMs: 10 }, { requestLatencyMs: 60 }, { requestLatencyMs: 5 }],
    [1, 3, 1],
  ],
  ["one that reports alone is compared with nobody", [{ requestLatencyMs: 9_000 }, undefined], [1, 1]],
  ["a bias is bounded", [{ requestLatencyMs: 1 }, { requestLatencyMs: 9_000 }], [1, 4]],
  ["of two biases the greater counts", [{ cpuUsage: 1, requestLatencyMs: 60 }, { requestLatencyMs: 10 }], [4, 1]],
  ["latencies of nothing are no reason", [{ requestLatencyMs: 0 }, { requestLatencyMs: 5 }], [1, 1]],
] as const) {
  test(`bias: ${what}`, () => {
    const rounded = biasesOf(loads).map((bias) => Math.round(bias * 1_000) / 1_000);
    assert.deepEqual(rounded, biases);
  });
}
