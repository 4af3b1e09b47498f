import assert from "node:assert/strict";
import { test } from "node:test";
import { instanceBytes, instanceLayout } from "../memory.ts";
import { InstanceHealth } from "./instance-health.ts";

function views(): { control: InstanceHealth; worker: InstanceHealth; memory: SharedArrayBuffer } {
  const memory = new SharedArrayBuffer(instanceBytes(2));
  return { control: new InstanceHealth(memory), worker: new InstanceHealth(memory), memory };
}

test("an instance nobody has said anything of is available, was always there and has no bias", () => {
  const { worker } = views();
  assert.deepEqual([worker.available, worker.availableSinceMs, worker.bias], [true, 0, 1]);
});

test("checks and reports each take an instance out, and only both let it back", () => {
  const { control, worker } = views();
  control.setCheck(false, 10);
  control.setReport(false, 1, 20);
  control.setCheck(true, 30);
  assert.deepEqual([worker.available, worker.availableSinceMs], [false, 0]);
  control.setReport(true, 1, 40);
  assert.deepEqual([worker.available, worker.availableSinceMs], [true, 40]);
});

test("saying the same again does not begin a slow start anew", () => {
  const { control, worker } = views();
  control.setCheck(true, 10);
  assert.equal(worker.availableSinceMs, 0);
  control.setCheck(false, 20);
  control.setCheck(true, 30);
  control.setCheck(true, 40);
  control.setReport(true, 3, 50);
  assert.equal(worker.availableSinceMs, 30);
});

test("a bias is kept to a thousandth and brought into its bounds", () => {
  const { control, worker } = views();
  for (const [given, kept] of [
    [1.25, 1.25],
    [2.0004, 2],
    [0.2, 1],
    [1e9, 100],
  ] as const) {
    control.setReport(true, given, 0);
    assert.equal(worker.bias, kept);
  }
});

test("health stays within its part of the memory", () => {
  const { control, memory } = views();
  control.setCheck(false, 1);
  control.setReport(false, 50, 2);
  control.begin(3);
  const bytes = new Uint8Array(memory);
  assert.ok(bytes.subarray(0, instanceLayout.load).some((byte) => byte !== 0));
  assert.ok(bytes.subarray(instanceLayout.load).every((byte) => byte === 0));
});
