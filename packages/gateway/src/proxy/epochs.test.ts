import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Epochs } from "./epochs.ts";
import type { Epoch } from "./epochs.ts";

/** A configuration of one part; each flip puts another in its place. */
function setup() {
  const epochs = new Epochs();
  const disposed: number[] = [];
  let version = 0;
  let part: object = {};
  return {
    epochs,
    disposed,
    version: () => version,
    flip: () => {
      const before = version++;
      const next = {};
      epochs.add(next);
      epochs.retire(part, () => disposed.push(before));
      part = next;
      epochs.turn();
    },
  };
}

test("without exchanges what is retired is disposed of at once", () => {
  const { disposed, flip } = setup();
  flip();
  flip();
  assert.deepEqual(disposed, [0, 1]);
});

test("an exchange that stays keeps the version it began with, and none that came and went since", () => {
  const { epochs, disposed, flip } = setup();
  flip();
  const stays = epochs.enter();
  for (let i = 0; i < 200; i++) flip();
  assert.deepEqual(
    disposed.toSorted((a, b) => a - b),
    [0, ...Array.from({ length: 199 }, (_, i) => i + 2)],
  );
  epochs.leave(stays);
  assert.equal(disposed.at(-1), 1);
});

test("a part that stays over several flips waits for all exchanges that could use it", () => {
  const epochs = new Epochs();
  const events: string[] = [];
  const part = {};
  const first = epochs.enter();
  epochs.add(part);
  epochs.turn();
  const second = epochs.enter();
  epochs.turn();
  const third = epochs.enter();
  epochs.retire(part, () => events.push("disposed"));
  epochs.turn();
  epochs.leave(third);
  epochs.leave(first);
  assert.deepEqual(events, []);
  epochs.leave(second);
  assert.deepEqual(events, ["disposed"]);
});

test("a version is disposed of exactly when it is not live and no exchange that began with it is under way", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant("flip"), fc.constant("enter"), fc.nat(20))), (steps) => {
      const { epochs, disposed, version, flip } = setup();
      const active: { readonly epoch: Epoch; readonly version: number }[] = [];
      for (const step of steps) {
        if (step === "flip") flip();
        else if (step === "enter") active.push({ epoch: epochs.enter(), version: version() });
        else {
          const [left] = active.splice(Number(step) % Math.max(1, active.length), 1);
          if (left !== undefined) epochs.leave(left.epoch);
        }
        const used = new Set([version(), ...active.map((exchange) => exchange.version)]);
        const expected = Array.from({ length: version() }, (_, one) => one).filter((one) => !used.has(one));
        assert.deepEqual(
          disposed.toSorted((a, b) => a - b),
          expected,
        );
      }
    }),
  );
});
