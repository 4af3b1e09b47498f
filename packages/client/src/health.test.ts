import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../tests/kit/clock.ts";
import { isWorthSending, smooth, startHealth, type HealthReport, type Metrics } from "./health.ts";
import { createMeter } from "./meter.ts";
import { fakeTime } from "./time.fixtures.ts";

const metrics: Metrics = { cpuUsage: 0.5, memoryUsage: 0.5, requestLatencyMs: 40, eventLoopDelayMs: 2 };
const last: HealthReport = { serviceId: "s", instanceId: "a:1", status: "UP", metrics, timestamp: 1_000 };

const cases: readonly [name: string, change: Partial<Metrics>, more: Partial<HealthReport>, isSent: boolean][] = [
  ["nothing moved", {}, {}, false],
  ["CPU moved by 5 %", { cpuUsage: 0.52 }, {}, false],
  ["CPU moved by more", { cpuUsage: 0.53 }, {}, true],
  ["memory fell", { memoryUsage: 0.4 }, {}, true],
  ["requests became slower", { requestLatencyMs: 44 }, {}, true],
  ["the event loop was held up", { eventLoopDelayMs: 80 }, {}, true],
  ["a small value moved a lot in proportion and little in fact", { eventLoopDelayMs: 2.9 }, {}, false],
  ["the status changed", {}, { status: "DRAINING" }, true],
  ["half a minute went by", {}, { timestamp: 31_000 }, true],
];

for (const [name, change, more, isSent] of cases) {
  test(`${name}: ${isSent ? "a report" : "no report"}`, () => {
    assert.equal(isWorthSending(last, { ...last, metrics: { ...metrics, ...change }, ...more }), isSent);
  });
}

test("the first latency is a change, a missing one is none", () => {
  const { requestLatencyMs: _, ...without } = metrics;
  const before = { ...last, metrics: without };
  assert.equal(isWorthSending(before, last), true);
  assert.equal(isWorthSending(before, before), false);
  assert.equal(isWorthSending(undefined, last), true);
});

test("latency follows the intervals' means, and stays over one without requests", () => {
  assert.equal(smooth(undefined, undefined), undefined);
  assert.equal(smooth(undefined, 40), 40);
  assert.equal(smooth(40, undefined), 40);
  assert.equal(smooth(40, 80), 60);
});

test("reports come at the interval and carry what the meter saw, until stopped", () => {
  const clock = new FakeClock();
  const meter = createMeter(clock.now);
  const sent: HealthReport[] = [];
  const stop = startHealth({
    ...{ service: "s", address: "a:1", intervalMs: 5_000, meter, time: fakeTime(clock), status: () => "UP" as const },
    send: (report) => sent.push(JSON.parse(report) as HealthReport), // what the module wrote
  });
  const began = meter.begin();
  clock.advance(40);
  meter.end(began);
  clock.advance(4_959);
  assert.equal(sent.length, 0);
  clock.advance(1);
  assert.equal(sent.length, 1);
  assert.equal(sent[0]?.metrics.requestLatencyMs, 40);
  assert.equal(sent[0]?.timestamp, clock.wall());
  clock.advance(35_000);
  const atMost = sent.length;
  assert.ok(atMost >= 2, "one of half a minute later is due");
  stop();
  clock.advance(60_000);
  assert.equal(sent.length, atMost);
  assert.equal(clock.pending, 0);
});
