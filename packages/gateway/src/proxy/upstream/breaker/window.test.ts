import assert from "node:assert/strict";
import { test } from "node:test";
import { Window, windowBytes } from "./window.ts";

const windowMs = 10_000;

function sums({ total, failures, slow }: Window): number[] {
  return [total, failures, slow];
}

test("counts requests, failures and slow ones, each by itself", () => {
  const window = new Window(new SharedArrayBuffer(windowBytes), 0, () => true);
  for (const [failed, slow] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    assert.equal(window.add(3, failed, slow, windowMs, 1_000), true);
  }
  assert.deepEqual(sums(window), [4, 2, 2]);
});

test("counts nothing for a generation that has passed", () => {
  let now = 3;
  const window = new Window(new SharedArrayBuffer(windowBytes), 0, (generation) => generation === now);
  window.add(3, true, true, windowMs, 1_000);
  now = 4;
  window.add(4, false, false, windowMs, 1_000);
  assert.deepEqual(sums(window), [1, 0, 0], "one of a new generation is empty");
  assert.equal(window.add(3, true, true, windowMs, 1_000), false);
  window.add(4, false, false, windowMs, 1_000);
  assert.deepEqual(sums(window), [2, 0, 0]);
});

test("who is held up while it begins a window takes nothing from what others have counted meanwhile", () => {
  const memory = new SharedArrayBuffer(windowBytes);
  const other = new Window(memory, 0, () => true);
  other.add(1, false, false, windowMs, 1_000);
  let heldUp = true;
  const window = new Window(memory, 0, () => {
    if (heldUp) for (let i = 0; i < 5; i++) other.add(2, true, false, windowMs, 1_000);
    heldUp = false;
    return true;
  });
  window.add(2, true, false, windowMs, 1_000);
  assert.deepEqual(sums(window), [6, 6, 0]);
});

test("marks that a worker left behind when it died do not count", () => {
  const memory = new SharedArrayBuffer(windowBytes);
  const window = new Window(memory, 0, () => true);
  for (let i = 0; i < 30; i++) window.add(1, true, false, windowMs, 1_000 + i * 100);
  // It had written what the next bucket begins with, and not yet that it has begun.
  const died = new Window(memory, 0, () => true);
  const words = new Int32Array(memory);
  const before = [...words.subarray(0, 2)];
  died.add(1, true, false, windowMs, 4_000);
  words.set(before);
  window.add(1, true, false, windowMs, 4_000);
  assert.deepEqual(sums(window), [32, 32, 0]);
  window.add(1, true, false, windowMs, 11_000);
  assert.deepEqual(sums(window), [23, 23, 0], "those of the first bucket have left");
});

test("counters may run over", () => {
  const memory = new SharedArrayBuffer(windowBytes);
  const words = new Int32Array(memory, 8);
  words.fill(2 ** 31 - 3); // counters and marks, as after two billion requests
  const window = new Window(memory, 0, () => true);
  for (let i = 0; i < 20; i++) window.add(1, true, true, windowMs, 1_000 + i * 250);
  assert.deepEqual(sums(window), [20, 20, 20]);
  window.add(1, true, true, windowMs, 11_000);
  assert.deepEqual(sums(window), [17, 17, 17]);
});
