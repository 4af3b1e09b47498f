/** Four threads on the memory of one service: together they keep what one would have kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inThreads } from "../../../../../../tests/kit/threads.ts";
import { OutlierDetector } from "./outlier-detector.ts";
import { outAtOnce, type Race, type Seen } from "./outlier-race.fixtures.ts";
import { Bench, settings } from "./outlier.fixtures.ts";

const module = new URL("./outlier-race.fixtures.ts", import.meta.url);
const threads = 4;

test("never more than may be are out at a time, each change is made once, and the count is right in the end", async () => {
  const bench = new Bench(8);
  const clock = new SharedArrayBuffer(4);
  Atomics.store(new Int32Array(clock), 0, bench.nowMs);
  const racing = { ...settings, baseMs: 20, maxMs: 60, intervalMs: 100 };
  const race: Race = { service: bench.service, instances: bench.memories, clock, settings: racing, rounds: 30_000 };
  const seen = await inThreads<Seen>(module, "fail", threads, race);
  assert.equal(Math.max(...seen.map(({ outMost }) => outMost)), 4, "as many as may be, and never more");

  const of = (change: string): number => seen.reduce((sum, { changes }) => sum + (changes[change] ?? 0), 0);
  assert.equal(of("in ejected") - of("probation in") - of("lifted"), outAtOnce(bench.memories));
  assert.ok(of("in ejected") > 20 && of("probation in") > 20 && of("probation ejected") > 20 && of("lifted") > 5);

  // All that are out come in again, and then as many can be ejected as at first.
  bench.nowMs = Atomics.load(new Int32Array(clock), 0);
  for (let index = 0; index < 8; index++) {
    bench.at(index).lift();
    bench.run(index, 1, "success");
  }
  assert.equal(bench.places, "iiiiiiii");
  bench.detector = new OutlierDetector({ ...settings, intervalMs: 1_000_000 }, bench.instances, bench.service, 0);
  for (let index = 0; index < 8; index++) bench.run(index, 3, "failure");
  assert.equal(bench.places, "eeeeiiii");
});
