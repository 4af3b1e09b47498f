import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Shards } from "./shards.ts";

// Few names, so that runs meet the same one often, and those that objects have by themselves.
const name = fc.constantFrom("a", "b", "c", "", "__proto__", "constructor", "ü");
const write = fc.record({ name, value: fc.option(fc.nat(9), { nil: undefined }) });

test("holds what a plain map would, and leaves the ones before as they were", () => {
  fc.assert(
    fc.property(fc.array(fc.array(write)), (edits) => {
      let shards = new Shards<number>();
      const model = new Map<string, number>();
      const kept: [Shards<number>, Map<string, number>][] = [];
      for (const writes of edits) {
        const edit = shards.edit();
        for (const { name: key, value } of writes) {
          if (value === undefined) edit.delete(key);
          else edit.set(key, value);
          if (value === undefined) model.delete(key);
          else model.set(key, value);
          assert.equal(edit.get(key), model.get(key));
        }
        shards = edit.done();
        kept.push([shards, new Map(model)]);
      }
      for (const [one, expected] of kept) {
        for (const key of ["a", "b", "c", "", "__proto__", "constructor", "ü"]) {
          assert.equal(one.get(key), expected.get(key));
        }
      }
    }),
  );
});

test("finds each of many entries", () => {
  const edit = new Shards<number>().edit();
  for (let i = 0; i < 5_000; i++) edit.set(`key-${i}`, i);
  const shards = edit.done();
  for (let i = 0; i < 5_000; i++) assert.equal(shards.get(`key-${i}`), i);
  assert.equal(shards.get("key-5000"), undefined);
});
