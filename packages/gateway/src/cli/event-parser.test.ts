import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventParser } from "./event-parser.ts";

const text = [
  ": a comment\n",
  "retry: 1500\n\n",
  "id: 7\r\nevent: change\r\ndata: {\r\ndata: }\r\n\r\n",
  "data:no space\n\n",
  "event: empty\n\n",
  "data\nid\nunknown: x\n\n",
  "data: lost at the end",
].join("");

const expected = [
  { type: "change", data: "{\n}" },
  { type: "message", data: "no space" },
  { type: "message", data: "" },
];

test("events are read, and what is none is not", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push(text), expected);
  assert.deepEqual([parser.retryMs, parser.lastId], [1_500, ""]);
});

test("wherever the pieces are cut, the events are the same", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (cuts) => {
      const parser = new EventParser();
      const ends = [...cuts.toSorted((a, b) => a - b), text.length];
      let from = 0;
      const events = ends.flatMap((end) => {
        const piece = text.slice(from, end);
        from = end;
        return parser.push(piece);
      });
      assert.deepEqual(events, expected);
    }),
  );
});

test("what was begun when the connection was cut is forgotten", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push("event: a\ndata: 1\ndata"), []);
  parser.reset();
  assert.deepEqual(parser.push("data: 2\n\n"), [{ type: "message", data: "2" }]);
});

test("an event without an end is refused", () => {
  const parser = new EventParser();
  const piece = "x".repeat(1024 * 1024);
  assert.throws(() => {
    for (let pieces = 0; pieces < 20; pieces++) parser.push(`data: ${piece}\n`);
  }, /does not end/);
  assert.throws(() => {
    const other = new EventParser();
    for (let pieces = 0; pieces < 20; pieces++) other.push(piece);
  }, /does not end/);
});
