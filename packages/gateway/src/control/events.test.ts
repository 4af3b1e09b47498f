import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../../tests/kit/clock.ts";
import { EventBus, heldEventsMax, heldLengthMax, listedMax, type PublishedEvent } from "./events.ts";

const note = (reason: string) => ({ type: "store" as const, connected: true, reason });

function held(bus: EventBus): PublishedEvent[] {
  const found: PublishedEvent[] = [];
  for (let next = bus.after(bus.beforeOldest); next !== undefined; next = bus.after(next.id)) found.push(next);
  return found;
}

test("ids ascend by one, and go on where no earlier process can have been", () => {
  const clock = new FakeClock();
  const bus = new EventBus(clock);
  bus.publish(note("a"));
  bus.publish(note("b"));
  assert.deepEqual(
    held(bus).map(({ id }) => id - clock.wall()),
    [1, 2],
  );
  clock.advance(10);
  assert.ok(new EventBus(clock).lastId > bus.lastId);
});

test("the newest events are held, and what was dropped is not within reach", () => {
  const bus = new EventBus(new FakeClock());
  const before = bus.lastId;
  assert.equal(bus.reaches(before), true);
  for (let i = 0; i < heldEventsMax; i++) bus.publish(note("a"));
  assert.equal(bus.reaches(before), true);
  bus.publish(note("a"));
  assert.deepEqual([bus.reaches(before), bus.reaches(before + 1)], [false, true]);
  assert.deepEqual([bus.reaches(bus.lastId), bus.reaches(bus.lastId + 1)], [true, false]);
  assert.equal(held(bus).length, heldEventsMax);
  assert.equal(held(bus).at(-1)?.id, bus.lastId);
});

test("what is held is limited by its length too, and the newest is always held", () => {
  const bus = new EventBus(new FakeClock());
  for (const reason of ["first", "a".repeat(heldLengthMax / 2), "b".repeat(heldLengthMax / 2)])
    bus.publish(note(reason));
  assert.equal(held(bus).length, 1);
  bus.publish(note("c".repeat(heldLengthMax * 2)));
  assert.equal(held(bus).length, 1);
  bus.publish(note("small"));
  assert.deepEqual(
    held(bus).map(({ data }) => data.length < 100),
    [true],
  );
});

test("a long list is cut and the rest is counted", () => {
  const bus = new EventBus(new FakeClock());
  const writes = Array.from({ length: listedMax + 3 }, (_, i) => ({
    kind: "routes" as const,
    name: `r${i}`,
    action: "create" as const,
  }));
  bus.publish({ type: "change", revision: 7, writes });
  const data = JSON.parse(held(bus)[0]?.data ?? "{}") as Record<string, unknown>; // asserted below
  assert.deepEqual(data, { revision: 7, writes: writes.slice(0, listedMax), more: 3 });
});

test("listeners hear of each event until they stop", () => {
  const bus = new EventBus(new FakeClock());
  let heard = 0;
  const stop = bus.listen(() => heard++);
  bus.publish(note("a"));
  bus.publish(note("b"));
  stop();
  bus.publish(note("c"));
  assert.equal(heard, 2);
});
