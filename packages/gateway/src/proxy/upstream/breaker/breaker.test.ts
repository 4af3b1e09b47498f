import assert from "node:assert/strict";
import { test } from "node:test";
import { instanceLayout, serviceLayout } from "../memory.ts";
import { settings, Bench } from "./breaker.fixtures.ts";
import { Breaker, breakerBytes, changeOfPermit, withoutConsecutive } from "./breaker.ts";

test("fits into the memory of an instance and of a service", () => {
  assert.ok(instanceLayout.breaker + breakerBytes <= instanceLayout.workers);
  assert.ok(serviceLayout.breaker + breakerBytes <= serviceLayout.workers);
});

test("open, it refuses until its time is over, then lets as many trials through as are set", () => {
  const bench = new Bench();
  bench.trip();
  assert.equal(bench.acquire(), 0);
  assert.equal(bench.breaker.refuses(bench.nowMs), true);
  bench.nowMs += 400;
  assert.equal(bench.breaker.opensForMs(bench.nowMs), 600);
  bench.nowMs += 599;
  assert.equal(bench.acquire(), 0);
  bench.nowMs += 1;
  assert.equal(bench.state, "half-open");
  assert.equal(bench.breaker.refuses(bench.nowMs), false);
  const permits = [bench.acquire(), bench.acquire(), bench.acquire()];
  assert.ok(permits.every((permit) => permit > 0));
  assert.equal(bench.breaker.refuses(bench.nowMs), true);
  assert.equal(bench.acquire(), 0);
  assert.deepEqual(
    permits.map((permit) => changeOfPermit(permit)?.to),
    ["half-open", undefined, undefined],
  );
});

test("closes when all trials have succeeded, with an empty window", () => {
  const bench = new Bench();
  bench.trip();
  bench.nowMs += 1_000;
  bench.run(2, "success");
  assert.equal(bench.state, "half-open");
  bench.run(1, "success");
  assert.equal(bench.state, "closed");
  assert.deepEqual(bench.changes.at(-1), {
    from: "half-open",
    to: "closed",
    reason: "trials-succeeded",
    detail: "all trials succeeded",
  });
  bench.run(9, "failure"); // those of before are still in the window's time
  assert.equal(bench.state, "closed");
});

test("closed again, failures in a row begin at none", () => {
  const bench = new Bench({ consecutive: 3, halfOpenRequests: 1 });
  bench.run(3, "failure");
  bench.nowMs += 1_000;
  bench.run(1, "success");
  bench.run(2, "failure");
  assert.equal(bench.state, "closed");
});

test("one failed trial opens it anew, for twice as long each time up to the longest", () => {
  const bench = new Bench();
  bench.trip();
  for (const openMs of [2_000, 4_000, 4_000, 4_000]) {
    bench.nowMs += bench.breaker.opensForMs(bench.nowMs);
    const [one, other] = [bench.acquire(), bench.acquire()];
    bench.record(one, "success");
    assert.equal(bench.record(other, "failure")?.reason, "trial-failed");
    assert.equal(bench.breaker.opensForMs(bench.nowMs), openMs);
  }
  bench.nowMs += 4_000;
  bench.run(3, "success");
  bench.trip();
  assert.equal(bench.breaker.opensForMs(bench.nowMs), 1_000, "closed in between, it begins at the shortest");
});

test("chance shortens the open time by at most a tenth and never lengthens it", () => {
  for (const random of [0, 0.5, 0.999999]) {
    const bench = new Bench({}, 5_000, () => random);
    bench.trip();
    const openMs = bench.breaker.opensForMs(bench.nowMs);
    assert.ok(openMs > 899 && openMs <= 1_000, `${openMs} ms`);
    assert.ok(Math.abs(openMs - 1_000 * (1 - random / 10)) <= 1);
  }
});

test("a longest time below the first means the first", () => {
  const bench = new Bench({ openMaxMs: 10 });
  bench.trip();
  assert.equal(bench.breaker.opensForMs(bench.nowMs), 1_000);
});

test("a trial that is ignored gives its permit back", () => {
  const bench = new Bench({ halfOpenRequests: 1 });
  bench.trip();
  bench.nowMs += 1_000;
  const first = bench.acquire();
  assert.equal(bench.acquire(), 0);
  bench.record(first, "ignored");
  assert.equal(bench.state, "half-open");
  bench.run(1, "success");
  assert.equal(bench.state, "closed");
});

test("slow trials open it again when their share reaches the ratio", () => {
  for (const [slow, state] of [
    [2, "closed"],
    [3, "open"],
  ] as const) {
    const bench = new Bench();
    bench.trip();
    bench.nowMs += 1_000;
    bench.run(3 - slow, "success");
    bench.run(slow, "success", 501);
    assert.equal(bench.state, state, `${slow} of 3 slow`);
  }
});

test("an answer to a request of before an opening decides nothing, whatever the state", () => {
  const bench = new Bench({ halfOpenRequests: 2 });
  const early = Array.from({ length: 30 }, () => bench.acquire());
  bench.trip();
  const changes = bench.changes.length;
  for (const permit of early.splice(0, 10)) bench.record(permit, "failure");
  assert.equal(bench.breaker.opensForMs(bench.nowMs), 1_000);
  bench.nowMs += 1_000;
  const trial = bench.acquire();
  for (const permit of early.splice(0, 5)) bench.record(permit, "success");
  assert.equal(bench.state, "half-open", "late successes do not close it");
  for (const permit of early.splice(0, 5)) bench.record(permit, "failure");
  assert.equal(bench.state, "half-open", "late failures do not open it");
  bench.record(trial, "success");
  bench.run(1, "success");
  assert.equal(bench.changes.length, changes + 1);
  for (const permit of early) bench.record(permit, "failure");
  bench.run(9, "failure");
  assert.equal(bench.state, "closed", "late failures are not in the window");
});

test("a trial's answer after the generation has passed decides nothing", () => {
  const bench = new Bench();
  bench.trip();
  bench.nowMs += 1_000;
  const late = [bench.acquire(), bench.acquire()];
  bench.run(1, "failure");
  bench.nowMs += 2_000;
  const now = [bench.acquire(), bench.acquire(), bench.acquire()];
  for (const permit of late) assert.equal(bench.record(permit, "failure"), undefined);
  for (const permit of late) bench.record(permit, "ignored");
  assert.equal(bench.acquire(), 0, "a late one gives no permit back");
  for (const permit of now) bench.record(permit, "success");
  assert.equal(bench.state, "closed");
});

test("trials that are not heard of are replaced after a while, all of them", () => {
  const bench = new Bench({ openMs: 10, openMaxMs: 10 });
  bench.trip();
  bench.nowMs += 10;
  const lost = bench.acquire(2_000);
  bench.nowMs += 1_000;
  const other = [bench.acquire(2_000), bench.acquire(2_000)];
  for (const permit of other) bench.record(permit, "success");
  bench.nowMs += 1_999;
  assert.equal(bench.acquire(2_000), 0, "waited for as long as for the one that began last");
  assert.equal(bench.breaker.refuses(bench.nowMs), true);
  bench.nowMs += 1;
  assert.equal(bench.breaker.refuses(bench.nowMs), false);
  const again = [bench.acquire(2_000), bench.acquire(2_000), bench.acquire(2_000)];
  assert.ok(again.every((permit) => permit > 0 && changeOfPermit(permit) === undefined));
  assert.equal(bench.acquire(2_000), 0);
  bench.record(lost, "failure");
  assert.equal(bench.state, "half-open", "the lost one is late");
  for (const permit of again) bench.record(permit, "success");
  assert.equal(bench.state, "closed");
});

test("trials that come rarely are not taken for lost", () => {
  const bench = new Bench();
  bench.trip();
  for (let i = 0; i < 3; i++) {
    bench.nowMs += 3_600_000;
    bench.run(1, "success");
  }
  assert.equal(bench.state, "closed");
});

test("forced open it refuses for ever; let go it is tried", () => {
  const bench = new Bench();
  const early = bench.acquire();
  bench.breaker.force("open");
  assert.equal(bench.breaker.forced, "open");
  assert.equal(bench.state, "open");
  bench.nowMs += 30 * 86_400_000;
  assert.equal(bench.state, "open");
  assert.equal(bench.acquire(), 0);
  assert.equal(bench.breaker.refuses(bench.nowMs), true);
  assert.equal(bench.breaker.opensForMs(bench.nowMs), Infinity);
  bench.record(early, "success");
  assert.equal(bench.state, "open");
  bench.breaker.force(undefined);
  assert.equal(bench.breaker.forced, undefined);
  assert.equal(bench.state, "half-open");
  bench.run(3, "success");
  assert.equal(bench.state, "closed");
});

test("forced closed it lets all through and counts; let go, the next answer decides by what was counted", () => {
  const bench = new Bench({ consecutive: 5 });
  bench.trip();
  bench.breaker.force("closed");
  assert.equal(bench.breaker.forced, "closed");
  bench.run(50, "failure");
  assert.equal(bench.state, "closed");
  bench.breaker.force(undefined);
  assert.equal(bench.state, "closed");
  bench.run(1, "failure");
  assert.equal(bench.changes.at(-1)?.detail, "51 failures in a row");
  assert.equal(bench.state, "open");
});

test("forcing what is forced, or letting go of what is not, changes nothing", () => {
  const bench = new Bench();
  const permit = bench.acquire();
  bench.breaker.force(undefined);
  bench.breaker.force("closed");
  bench.breaker.force("closed");
  bench.breaker.force(undefined);
  bench.run(9, "failure");
  bench.record(permit, "failure");
  assert.equal(bench.state, "open", "the permit was good all the time, and nothing was forgotten");
});

test("every change of forced states is possible", () => {
  const states = ["open", "closed", undefined] as const;
  for (const from of states) {
    for (const to of states) {
      const bench = new Bench();
      bench.breaker.force(from);
      bench.breaker.force(to);
      assert.equal(bench.breaker.forced, to);
      const expected = to ?? (from === "open" ? "half-open" : "closed");
      assert.equal(bench.state, expected, `from ${from} to ${to}`);
    }
  }
});

test("changed settings hold from the next call on and reset nothing", () => {
  const bench = new Bench();
  bench.run(4, "success");
  bench.run(5, "failure");
  bench.settings = { ...settings, minRequests: 1_000 };
  bench.run(4, "failure");
  assert.equal(bench.state, "closed");
  bench.settings = { ...settings, failureRatio: 0.71 };
  bench.run(1, "failure");
  assert.equal(bench.changes[0]?.detail, "10 of 14 requests in 10 s failed");
  bench.settings = { ...settings, openMs: 60_000, openMaxMs: 60_000 };
  assert.equal(bench.breaker.opensForMs(bench.nowMs), 1_000, "what is open stays open for as long as it was said");
});

test("a changed window keeps what is in it and lets it age at the new pace", () => {
  const bench = new Bench();
  bench.run(9, "failure");
  bench.nowMs += 5_000;
  bench.settings = { ...settings, windowMs: 60_000, failureRatio: 1 };
  bench.run(1, "failure");
  assert.equal(bench.changes[0]?.detail, "10 of 10 requests in 60 s failed");

  const other = new Bench({ windowMs: 60_000 });
  other.run(9, "failure");
  other.nowMs += 12_000;
  other.settings = settings;
  other.run(9, "failure");
  assert.equal(other.state, "closed");
});

test("a number of trials that changes while there are some holds for the next ones", () => {
  const bench = new Bench();
  bench.trip();
  bench.nowMs += 1_000;
  const first = bench.acquire();
  bench.settings = { ...settings, halfOpenRequests: 1 };
  bench.record(first, "success");
  assert.equal(bench.state, "half-open");
  bench.run(2, "success");
  assert.equal(bench.state, "closed");
});

test("the breaker of a service does not look at failures in a row", () => {
  const bench = new Bench(withoutConsecutive({ ...settings, consecutive: 1 }));
  bench.run(9, "failure");
  assert.equal(bench.state, "closed");
});

test("two views of one memory are one breaker", () => {
  const bench = new Bench();
  const other = new Breaker(bench.memory, 0, () => 0);
  for (let i = 0; i < 5; i++) {
    bench.run(1, "failure");
    other.record(other.acquire(settings, bench.nowMs), "failure", 1, settings, bench.nowMs);
  }
  assert.equal(bench.state, "open");
  assert.equal(other.acquire(settings, bench.nowMs), 0);
});

test("of two workers that see the same reason at once one opens it, and tells", () => {
  const bench = new Bench();
  bench.run(9, "failure");
  const other = new Breaker(bench.memory, 0, () => 0);
  const permit = bench.acquire();
  const reasons: (string | undefined)[] = [];
  // The other one takes its turn where this one has counted and not yet decided.
  const meanwhile = {
    ...settings,
    get minRequests() {
      const { nowMs } = bench;
      reasons.push(other.record(other.acquire(settings, nowMs), "failure", 1, settings, nowMs)?.reason);
      bench.nowMs += 5_000;
      return 10;
    },
  };
  reasons.push(bench.breaker.record(permit, "failure", 1, meanwhile, bench.nowMs)?.reason);
  assert.deepEqual(reasons, ["failure-ratio", undefined]);
  assert.equal(bench.state, "half-open", "open for as long as the first one said");
});

test("a clock that another thread read a little earlier counts into the bucket there is", () => {
  const bench = new Bench();
  bench.run(5, "failure");
  bench.nowMs -= 50;
  bench.run(5, "failure");
  assert.equal(bench.state, "open");
});

test("works at any age of the machine", () => {
  for (const nowMs of [0, 0.25, 2 ** 36 - 500, 2 ** 36 - 2 ** 27, 2 ** 35, 2 ** 35 - 100, 2 ** 37 + 12_345.678]) {
    const bench = new Bench({}, nowMs);
    bench.run(9, "failure");
    bench.nowMs += 9_000;
    bench.run(1, "failure");
    assert.equal(bench.state, "open", `at ${nowMs}`);
    bench.nowMs += 998.9;
    assert.equal(bench.acquire(), 0, `at ${nowMs}`);
    bench.nowMs += 1.2;
    bench.run(3, "success");
    bench.nowMs += 10_000;
    bench.run(9, "failure");
    assert.equal(bench.state, "closed", `at ${nowMs}`);
  }
});
