import assert from "node:assert/strict";
import { test } from "node:test";
import { changeKey } from "../layout.ts";
import type { KeyValue } from "../store/store.ts";
import { prefix } from "./change.fixtures.ts";
import type { RecordedWrite } from "./change.ts";
import { encodeRecord, newChangeId, parseRecord, recordBytesMax, type RecordFacts } from "./record.ts";

const facts: RecordFacts = { author: "anna", time: "2026-01-01T00:00:00.000Z", message: "", action: "apply" };

function stored(value: Buffer, id = "0mjut8o00-000000"): KeyValue {
  return { key: changeKey(prefix, id), value, createRevision: 5, modRevision: 9, version: 1, lease: "0" };
}

function writes(count: number, text: string): RecordedWrite[] {
  return Array.from({ length: count }, (_, n) => ({
    kind: "routes",
    name: `route-${n}`,
    action: "update",
    before: { text },
    after: {},
  }));
}

test("ids sort in the order in which they were made, also where clocks differ", () => {
  const random = (): number => 0.999999;
  const first = newChangeId(1_767_225_600_000, [], random);
  const later = newChangeId(1_767_225_600_001, [first], random);
  const fromBehind = newChangeId(1_700_000_000_000, [first, later], random);
  const afterOdd = newChangeId(1_767_225_600_000, ["zzzzzzzzz-zzzzzz", "by-hand"], random);
  assert.match(first, /^[0-9a-z]{9}-[0-9a-z]{6}$/);
  assert.deepEqual([fromBehind, later, first].sort(), [first, later, fromBehind]);
  assert.equal(afterOdd, first);
});

test("a record says what it was given", () => {
  const record = parseRecord(prefix, stored(encodeRecord({ ...facts, of: "x" }, writes(2, "a"), {})));
  assert.deepEqual(record, {
    id: "0mjut8o00-000000",
    revision: 9,
    firstRevision: 9,
    ...facts,
    of: "x",
    writes: writes(2, "a"),
  });
  const partial = parseRecord(prefix, stored(encodeRecord(facts, [], { partial: true })));
  assert.deepEqual([partial?.partial, partial?.firstRevision], [true, 5]);
  assert.equal(parseRecord(prefix, stored(encodeRecord(facts, [], { firstRevision: 7 })))?.firstRevision, 7);
});

test("a record that would be too large leaves out values, then names", () => {
  const table: [count: number, text: string, kept: number][] = [
    [3, "x".repeat(recordBytesMax / 2), 3],
    [20_000, "", 0],
  ];
  for (const [count, text, kept] of table) {
    const bytes = encodeRecord(facts, writes(count, text), {});
    assert.ok(bytes.length <= recordBytesMax);
    const record = parseRecord(prefix, stored(bytes));
    assert.equal(record?.truncated, true);
    assert.equal(
      record?.writes.some((write) => "before" in write),
      false,
    );
    if (kept > 0) assert.equal(record?.writes.length, kept);
    else assert.ok(bytes.length > recordBytesMax / 2, "as many names as fit");
  }
});

test("what is no record is none", () => {
  for (const text of ["", "null", "[]", "{}", '{"writes":{}}', '{"writes":[],"action":"paint","time":"x"}'])
    assert.equal(parseRecord(prefix, stored(Buffer.from(text))), undefined, text);
  const odd = Buffer.from('{"writes":[1,{"kind":"routes"}],"action":"put","time":"x"}');
  assert.deepEqual(parseRecord(prefix, stored(odd))?.writes, []);
});
