import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inThreads } from "../../../../../tests/kit/threads.ts";
import { type countUp, timeOf } from "./timed-word.fixtures.ts";
import { TimedWord, timedWordBits } from "./timed-word.ts";

const dayMs = 86_400_000;
const anyBits = fc.integer({ min: 0, max: 2 ** timedWordBits - 1 });

function wordOf(): TimedWord {
  return new TimedWord(new SharedArrayBuffer(16), 8);
}

test("holds any bits beside any time, to the millisecond", () => {
  const nowMs = fc.double({ min: 0, max: 2 ** 38, noNaN: true });
  const ahead = fc.double({ min: -700 * dayMs, max: 3 * dayMs, noNaN: true });
  fc.assert(
    fc.property(anyBits, nowMs, ahead, (bits, now, aheadMs) => {
      const word = wordOf();
      word.load();
      const timeMs = Math.max(0, now + aheadMs);
      assert.equal(word.exchange(bits, timeMs), true);
      assert.equal(word.bits, bits);
      assert.equal(word.load(), bits);
      const lateMs = timeMs - now - word.remainingMs(now);
      assert.ok(lateMs > -0.001 && lateMs < 1.001, `${lateMs} ms off`);
    }),
    { numRuns: 1_000 },
  );
});

test("an exchange fails once another has changed the bits, or the time alone", () => {
  for (const [bits, timeMs] of [
    [6, 100],
    [5, 101],
    [5, 100 + 2 ** 30],
  ] as const) {
    const memory = new SharedArrayBuffer(8);
    const one = new TimedWord(memory, 0);
    const other = new TimedWord(memory, 0);
    one.exchange(5, 100);
    one.load();
    other.load();
    assert.equal(one.unchanged(), true);
    assert.equal(other.exchange(bits, timeMs), true);
    assert.equal(one.unchanged(), false);
    assert.equal(one.exchange(7, 100), false);
    assert.equal(one.exchangeBits(7), false);
    assert.equal(one.load(), bits);
    assert.equal(one.exchangeBits(7), true);
    assert.equal(one.remainingMs(timeMs), 0);
  }
});

test("bits alone can be exchanged, and keep the time", () => {
  const word = wordOf();
  word.exchange(1, 123_456_789);
  word.load();
  assert.equal(word.exchangeBits(2 ** timedWordBits - 1), true);
  word.load();
  assert.equal(word.remainingMs(123_456_700), 89);
});

test("threads that exchange at once lose nothing, and never see bits and time apart", async () => {
  const memory = new SharedArrayBuffer(8);
  const module = new URL("./timed-word.fixtures.ts", import.meta.url);
  const results = await inThreads<ReturnType<typeof countUp>>(module, "countUp", 4, { memory, rounds: 50_000 });
  const word = new TimedWord(memory, 0);
  const sum = (of: (result: ReturnType<typeof countUp>) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  assert.equal(
    sum(({ counted }) => counted),
    word.load(),
  );
  assert.equal(word.remainingMs(0), timeOf(word.bits));
  assert.equal(
    sum(({ apart }) => apart),
    0,
  );
});
