import assert from "node:assert/strict";
import { test } from "node:test";
import { Bench } from "./breaker.fixtures.ts";

const failing: readonly { name: string; change: object; run: (bench: Bench) => void; opens: string | undefined }[] = [
  { name: "fewer requests than the minimum", change: {}, run: (b) => b.run(9, "failure"), opens: undefined },
  { name: "the minimum, all failed", change: {}, run: (b) => b.run(10, "failure"), opens: "failure-ratio" },
  {
    name: "exactly the ratio",
    change: {},
    run: (b) => {
      b.run(5, "success");
      b.run(5, "failure");
    },
    opens: "failure-ratio",
  },
  {
    name: "the ratio, reached by a success",
    change: {},
    run: (b) => {
      b.run(5, "failure");
      b.run(5, "success");
    },
    opens: undefined,
  },
  {
    name: "the ratio of failures, reached by a slow success",
    change: {},
    run: (b) => {
      b.run(9, "failure");
      b.run(1, "success", 501);
    },
    opens: undefined,
  },
  {
    name: "the ratio of slow answers, reached by a failure",
    change: {},
    run: (b) => {
      b.run(9, "success", 501);
      b.run(1, "failure");
    },
    opens: undefined,
  },
  {
    name: "one below the ratio",
    change: {},
    run: (b) => {
      b.run(6, "success");
      b.run(5, "failure");
    },
    opens: undefined,
  },
  {
    name: "55 of 100 at 55 %",
    change: { failureRatio: 0.55, minRequests: 100 },
    run: (b) => {
      b.run(45, "success");
      b.run(55, "failure");
    },
    opens: "failure-ratio",
  },
  { name: "a ratio of 100 %", change: { failureRatio: 1 }, run: (b) => b.run(10, "failure"), opens: "failure-ratio" },
  {
    name: "a ratio of 0 without failures",
    change: { failureRatio: 0 },
    run: (b) => b.run(20, "success"),
    opens: undefined,
  },
  { name: "failures in a row", change: { consecutive: 3 }, run: (b) => b.run(3, "failure"), opens: "consecutive" },
  { name: "one less in a row", change: { consecutive: 3 }, run: (b) => b.run(2, "failure"), opens: undefined },
  {
    name: "failures in a row with a success among them",
    change: { consecutive: 3, minRequests: 100 },
    run: (b) => {
      b.run(2, "failure");
      b.run(1, "success");
      b.run(2, "failure");
    },
    opens: undefined,
  },
  {
    name: "failures in a row with ignored ones among them",
    change: { consecutive: 3 },
    run: (b) => {
      b.run(2, "failure");
      b.run(5, "ignored");
      b.run(1, "failure");
    },
    opens: "consecutive",
  },
  { name: "ignored ones alone", change: { consecutive: 3 }, run: (b) => b.run(50, "ignored"), opens: undefined },
  { name: "slow answers", change: {}, run: (b) => b.run(10, "success", 501), opens: "slow-ratio" },
  { name: "answers just not slow", change: {}, run: (b) => b.run(10, "success", 500), opens: undefined },
  {
    name: "slow answers below their ratio",
    change: {},
    run: (b) => {
      b.run(3, "success");
      b.run(10, "success", 501);
    },
    opens: undefined,
  },
  {
    name: "slow answers where none is slow by the settings",
    change: { slowCallMs: undefined },
    run: (b) => b.run(50, "success", 9_999),
    opens: undefined,
  },
];

for (const { name, change, run, opens } of failing) {
  test(`${opens === undefined ? "stays closed" : "opens"}: ${name}`, () => {
    const bench = new Bench(change);
    run(bench);
    assert.equal(bench.changes[0]?.reason, opens);
    assert.equal(bench.state, opens === undefined ? "closed" : "open");
  });
}

test("an opening says from where, to where, why and for how long", () => {
  const bench = new Bench();
  bench.run(4, "success");
  bench.run(6, "failure");
  assert.deepEqual(bench.changes, [
    {
      from: "closed",
      to: "open",
      reason: "failure-ratio",
      detail: "6 of 10 requests in 10 s failed",
      openForMs: 1_000,
    },
  ]);
});

test("failures that have left the window count no more", () => {
  const bench = new Bench();
  bench.run(9, "failure");
  bench.nowMs += 10_000;
  bench.run(9, "failure");
  assert.equal(bench.state, "closed");
  bench.run(1, "failure");
  assert.equal(bench.state, "open");
});

test("a bucket leaves the window whole, a tenth of it at a time", () => {
  const bench = new Bench({ failureRatio: 1 });
  for (let i = 0; i < 9; i++) {
    bench.run(1, "failure");
    bench.nowMs += 1_000;
  }
  bench.run(1, "success"); // nine failures and this one: all ten buckets
  bench.nowMs += 1_000;
  bench.run(1, "failure"); // the first has left, so nine others and this
  assert.equal(
    bench.breaker.record(bench.acquire(), "failure", 1, { ...bench.settings, failureRatio: 0.9 }, bench.nowMs)?.detail,
    "10 of 11 requests in 10 s failed",
  );
});

test("after an idle gap of any length nothing of before counts", () => {
  for (const gapMs of [10_000, 10_001, 15_000, 86_400_000, 40 * 86_400_000, 365 * 86_400_000]) {
    const bench = new Bench();
    bench.run(9, "failure");
    bench.nowMs += gapMs;
    bench.run(1, "failure");
    assert.equal(bench.state, "closed", `after ${gapMs} ms`);
  }
});
