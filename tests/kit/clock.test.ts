import assert from "node:assert/strict";
import test from "node:test";
import { FakeClock, seededRandom } from "./clock.ts";

test("time moves only when told, timers run in order of their due times", () => {
  const clock = new FakeClock(0);
  const ran: string[] = [];
  clock.setTimeout(() => ran.push(`b at ${clock.now()}`), 20);
  clock.setTimeout(() => clock.setTimeout(() => ran.push(`a at ${clock.now()}`), 5), 10);
  const never = clock.setTimeout(() => ran.push("never"), 15);
  clock.clearTimeout(never);
  clock.advance(14);
  assert.deepEqual(ran, []);
  clock.advance(100);
  assert.deepEqual(ran, ["a at 15", "b at 20"]);
  assert.equal(clock.now(), 114);
  assert.equal(clock.pending, 0);
});

test("an interval runs as often as it falls due, until it is cleared", () => {
  const clock = new FakeClock(0);
  const ran: number[] = [];
  const id = clock.setInterval(() => ran.push(clock.now()), 10);
  clock.advance(35);
  clock.clearInterval(id);
  clock.advance(100);
  assert.deepEqual(ran, [10, 20, 30]);
});

test("one seed gives one series of numbers within [0, 1)", () => {
  const draw = (seed: number): number[] => Array.from({ length: 100 }, seededRandom(seed));
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  assert.ok(draw(7).every((value) => value >= 0 && value < 1));
});
