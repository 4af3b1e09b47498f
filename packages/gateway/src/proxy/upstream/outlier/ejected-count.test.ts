import assert from "node:assert/strict";
import { test } from "node:test";
import { EjectedCount, ejectedCountBytes } from "./ejected-count.ts";

/** A count over four instances, of which two may be out; tests say which are. */
function counted(ratioMax = 0.5) {
  const memory = new SharedArrayBuffer(ejectedCountBytes);
  const outliers = Array.from({ length: 4 }, () => ({ held: false }));
  const instances = outliers.map((outlier) => ({ outlier }));
  const hold = (...held: readonly number[]): void => {
    for (const [index, outlier] of outliers.entries()) outlier.held = held.includes(index);
  };
  return { memory, instances, hold, count: new EjectedCount(memory, 0, ratioMax, instances) };
}

test("reserves as many places as there may be, whoever asks, and those that were released again", () => {
  const { memory, instances, count } = counted();
  const other = new EjectedCount(memory, 0, 0.5, instances);
  assert.deepEqual([count.reserve(), other.reserve(), count.reserve(), other.reserve()], [true, true, false, false]);
  other.release();
  assert.deepEqual([count.reserve(), count.reserve()], [true, false]);
});

test("releasing what nobody reserved makes no place", () => {
  const { count } = counted();
  count.release();
  assert.deepEqual([count.reserve(), count.reserve(), count.reserve()], [true, true, false]);
});

test("refuses where more instances are out than it has counted", () => {
  const { count, hold } = counted();
  hold(0, 1);
  assert.equal(count.reserve(), false);
  hold(0);
  assert.equal(count.reserve(), true);
});

test("a count that is too high is put right after ten seconds, and not before", () => {
  const { count } = counted();
  count.reserve();
  count.reserve();
  count.reconcile(1_000);
  count.reconcile(10_999);
  assert.equal(count.reserve(), false);
  count.reconcile(11_000);
  assert.deepEqual([count.reserve(), count.reserve(), count.reserve()], [true, true, false]);
});

test("the ten seconds begin anew when places are taken or given back", () => {
  const { count, hold } = counted(0.75);
  count.reserve();
  count.reconcile(1_000);
  count.reserve();
  hold(0);
  count.reconcile(11_000);
  count.reconcile(20_999);
  assert.deepEqual([count.reserve(), count.reserve()], [true, false], "two are counted");
});

test("they begin anew when it has been right in between", () => {
  const { count, hold } = counted();
  count.reserve();
  count.reconcile(1_000); // between being reserved and being ejected
  hold(0);
  count.reconcile(2_000);
  hold();
  count.reconcile(60_000); // between being taken in and being released
  assert.deepEqual([count.reserve(), count.reserve()], [true, false]);
});
