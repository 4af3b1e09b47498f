import assert from "node:assert/strict";
import { test } from "node:test";
import { instanceLayout, serviceLayout } from "../memory.ts";
import { ejectedCountBytes } from "./ejected-count.ts";
import { OutlierDetector } from "./outlier-detector.ts";
import { OutlierState, outlierStateBytes } from "./outlier-state.ts";
import { Bench, settings } from "./outlier.fixtures.ts";

test("fits into the memory of an instance and of a service", () => {
  assert.ok(instanceLayout.outlier + outlierStateBytes <= instanceLayout.breaker);
  assert.ok(serviceLayout.outlier + 8 + ejectedCountBytes <= serviceLayout.breaker);
});

test("ejects after failures in a row, and says why and for how long", () => {
  const bench = new Bench(2);
  bench.run(0, 2, "failure");
  bench.run(0, 1, "success");
  bench.run(0, 2, "failure");
  assert.equal(bench.places, "ii");
  bench.run(0, 1, "ignored");
  bench.run(0, 1, "failure");
  assert.equal(bench.places, "ei");
  assert.deepEqual(bench.changes, [
    { index: 0, from: "in", to: "ejected", reason: "consecutive", detail: "3 failures in a row", forMs: 1_000 },
  ]);
  assert.equal(bench.at(0).ejected(bench.nowMs), true);
  assert.equal(bench.at(0).acquire(bench.nowMs), 0);
  bench.nowMs += 300;
  assert.equal(bench.at(0).ejectedForMs(bench.nowMs), 700);
});

test("after its time an instance is tried by one request at a time until one succeeds", () => {
  const bench = new Bench(2);
  bench.run(0, 3, "failure");
  bench.nowMs += 1_000;
  assert.equal(bench.places, "pi");
  assert.equal(bench.at(0).ejected(bench.nowMs), false);
  const trial = bench.at(0).acquire(bench.nowMs);
  assert.ok(trial > 0);
  assert.equal(bench.at(0).ejected(bench.nowMs), true, "passed over while it is tried");
  assert.equal(bench.at(0).acquire(bench.nowMs), 0);
  bench.record(0, "ignored", trial);
  assert.equal(bench.at(0).ejected(bench.nowMs), false, "who says nothing gives the trial back");
  bench.run(0, 1, "success");
  assert.equal(bench.places, "ii");
  assert.equal(bench.changes.at(-1)?.reason, "trial-succeeded");
  bench.run(0, 2, "failure");
  assert.equal(bench.places, "ii", "failures in a row begin at none");
});

test("a failed trial ejects again at once, for longer each time up to the longest", () => {
  const bench = new Bench(2);
  bench.run(0, 3, "failure");
  for (const forMs of [2_000, 3_000, 3_500, 3_500]) {
    bench.nowMs += bench.at(0).ejectedForMs(bench.nowMs);
    bench.run(0, 1, "failure");
    assert.equal(bench.changes.at(-1)?.reason, "trial-failed");
    assert.equal(bench.changes.at(-1)?.forMs, forMs);
  }
  assert.equal(bench.at(0).ejections, 4, "no more than what makes it the longest");
});

test("each interval inside takes one off the number of ejections", () => {
  const bench = new Bench(2);
  bench.run(1, 1, "success");
  bench.run(0, 3, "failure");
  bench.nowMs += 1_000;
  bench.run(0, 1, "failure");
  bench.nowMs += 2_000;
  bench.run(0, 1, "success");
  assert.equal(bench.at(0).ejections, 2);
  bench.nowMs += 7_000;
  bench.run(1, 1, "success");
  assert.equal(bench.at(0).ejections, 1);
  bench.nowMs += 50_000;
  bench.run(1, 1, "success");
  assert.equal(bench.at(0).ejections, 0);
});

test("a trial that is not heard of is replaced after a while, and its late answer decides nothing", () => {
  const bench = new Bench(2);
  bench.run(0, 3, "failure");
  bench.nowMs += 1_000;
  const lost = bench.at(0).acquire(bench.nowMs, 2_000);
  bench.nowMs += 1_999;
  assert.equal(bench.at(0).acquire(bench.nowMs, 2_000), 0);
  bench.nowMs += 1;
  assert.equal(bench.at(0).ejected(bench.nowMs), false);
  const trial = bench.at(0).acquire(bench.nowMs, 2_000);
  for (const outcome of ["failure", "success", "ignored"] as const) bench.record(0, outcome, lost);
  assert.equal(bench.places, "pi");
  assert.equal(bench.at(0).acquire(bench.nowMs), 0);
  bench.record(0, "success", trial);
  assert.equal(bench.places, "ii");
});

test("answers to what was under way when it was ejected decide nothing", () => {
  const bench = new Bench(2);
  const early = Array.from({ length: 12 }, () => bench.at(0).acquire(bench.nowMs));
  bench.run(0, 3, "failure");
  for (const permit of early.splice(0, 3)) bench.record(0, "success", permit);
  assert.equal(bench.places, "ei");
  bench.nowMs += 1_000;
  const trial = bench.at(0).acquire(bench.nowMs);
  for (const permit of early.splice(0, 3)) bench.record(0, "success", permit);
  for (const permit of early.splice(0, 3)) bench.record(0, "failure", permit);
  assert.equal(bench.places, "pi");
  bench.record(0, "success", trial);
  for (const permit of early) bench.record(0, "failure", permit);
  bench.record(0, "failure", 0);
  assert.equal(bench.places, "ii");
});

test("when all fail alike no more are ejected than may be, whatever the number", () => {
  for (const [instances, maxEjectedRatio, out] of [
    [1, 0.5, 0],
    [2, 0.5, 1],
    [3, 0.5, 1],
    [4, 0.5, 2],
    [5, 0.5, 2],
    [10, 0.3, 3],
    [10, 0, 0],
    [1, 1, 1],
    [4, 1, 4],
  ] as const) {
    const bench = new Bench(instances, { maxEjectedRatio });
    for (let index = 0; index < instances; index++) bench.run(index, 20, "failure");
    assert.equal(bench.places, "e".repeat(out) + "i".repeat(instances - out));
  }
});

test("one on probation still counts among the ejected, one taken in again does not", () => {
  const bench = new Bench(2);
  bench.run(0, 3, "failure");
  bench.run(1, 3, "failure");
  bench.nowMs += 1_000;
  bench.run(1, 1, "failure");
  assert.equal(bench.places, "pi");
  bench.run(0, 1, "success");
  bench.run(1, 1, "failure");
  assert.equal(bench.places, "ie", "ejected as soon as there is room");
});

test("a lift takes an instance in at once and makes room for another", () => {
  const bench = new Bench(2);
  assert.equal(bench.at(0).lift(), false);
  bench.run(0, 3, "failure");
  const other = new OutlierState(bench.memories[0] ?? new SharedArrayBuffer(0), 0); // as the control thread sees it
  assert.equal(other.lift(), true);
  assert.equal(other.lift(), false);
  assert.equal(bench.places, "ii");
  assert.equal(bench.at(0).ejected(bench.nowMs), false);
  bench.run(0, 1, "success");
  bench.run(1, 3, "failure");
  assert.equal(bench.places, "ie");
});

test("a lift during a trial makes the trial's answer decide nothing", () => {
  const bench = new Bench(2);
  bench.run(0, 3, "failure");
  bench.nowMs += 1_000;
  const trial = bench.at(0).acquire(bench.nowMs);
  bench.at(0).lift();
  bench.record(0, "failure", trial);
  assert.equal(bench.places, "ii");
  bench.run(0, 2, "failure");
  assert.equal(bench.places, "ii");
});

/** One interval in which each instance answers so many times, failing so many of them, never many in a row. */
function interval(bench: Bench, answers: readonly (readonly [requests: number, failures: number])[]): void {
  for (const [index, [requests, failures]] of answers.entries()) {
    for (let i = 0; i < requests; i++) {
      const failed = Math.floor(((i + 1) * failures) / requests) > Math.floor((i * failures) / requests);
      bench.run(index, 1, failed ? "failure" : "success");
    }
  }
}

test("at the end of an interval whoever did worse than the others is ejected, by the first answer after it", () => {
  const bench = new Bench(5, { consecutive: 1_000 });
  bench.run(0, 1, "success");
  interval(bench, [
    [100, 0],
    [100, 1],
    [100, 50],
    [100, 0],
    [200, 2],
  ]);
  bench.nowMs += 9_999;
  bench.run(0, 1, "success");
  assert.equal(bench.places, "iiiii");
  bench.nowMs += 1;
  bench.run(0, 1, "success");
  assert.equal(bench.places, "iieii");
  assert.equal(bench.changes.at(-1)?.reason, "success-rate");
  assert.equal(bench.changes.at(-1)?.detail, "50 of 100 requests failed, more than of the others");
});

test("an interval begins with nothing counted", () => {
  const bench = new Bench(2, { consecutive: 1_000 });
  bench.run(0, 1, "success");
  interval(bench, [
    [19, 19],
    [30, 0],
  ]);
  bench.nowMs += 10_000;
  bench.run(1, 1, "success");
  interval(bench, [
    [19, 19],
    [30, 0],
  ]);
  bench.nowMs += 10_000;
  bench.run(1, 1, "success");
  assert.equal(bench.places, "ii", "19 requests in each are too few");
  interval(bench, [
    [20, 20],
    [30, 0],
  ]);
  bench.nowMs += 10_000;
  bench.run(1, 1, "success");
  assert.equal(bench.places, "ei");
});

test("what was counted before a gap longer than an interval is not compared", () => {
  const bench = new Bench(2, { consecutive: 1_000 });
  bench.run(0, 1, "success");
  interval(bench, [
    [50, 50],
    [50, 0],
  ]);
  bench.nowMs += 20_000;
  bench.run(1, 1, "success");
  bench.nowMs += 10_000;
  bench.run(1, 1, "success");
  assert.equal(bench.places, "ii");
});

test("comparing keeps within what may be ejected, and takes the worst first", () => {
  const bench = new Bench(4, { consecutive: 1_000, maxEjectedRatio: 0.25 });
  bench.run(3, 1, "success");
  interval(bench, [
    [50, 30],
    [50, 40],
    [50, 0],
    [50, 0],
  ]);
  bench.nowMs += 10_000;
  bench.run(3, 1, "success");
  assert.equal(bench.places, "ieii");
});

test("a place that a removed instance held is free again after a while", () => {
  const bench = new Bench(4, { maxEjectedRatio: 0.25 });
  bench.run(0, 3, "failure");
  const instances = bench.instances.slice(1);
  const detector = new OutlierDetector({ ...settings, maxEjectedRatio: 0.34 }, instances, bench.service, 0);
  const eject = (): void => {
    for (let i = 0; i < 3; i++) detector.record(0, "failure", bench.nowMs, bench.at(1).acquire(bench.nowMs));
  };
  eject();
  assert.equal(bench.at(1).place(bench.nowMs), "in");
  for (let i = 0; i < 2; i++) {
    bench.nowMs += 10_000;
    detector.record(1, "success", bench.nowMs, bench.at(2).acquire(bench.nowMs));
  }
  eject();
  assert.equal(bench.at(1).place(bench.nowMs), "ejected");
});

test("other settings and instances over the same memory reset nothing", () => {
  const bench = new Bench(2);
  bench.run(0, 2, "failure");
  bench.instances = [...bench.instances, { outlier: new OutlierState(new SharedArrayBuffer(64), 0) }];
  bench.detector = new OutlierDetector({ ...settings, baseMs: 9_000, maxMs: 9_000 }, bench.instances, bench.service, 0);
  bench.run(0, 1, "failure");
  assert.equal(bench.places, "eii");
  assert.equal(bench.at(0).ejectedForMs(bench.nowMs), 9_000);
});
