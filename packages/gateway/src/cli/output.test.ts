import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatPath } from "@headgate/schema";
import { fitting, paintFor, printable, spanText, table } from "./output.ts";
import { parsePath } from "./written-documents.ts";

test("columns stand under their headings, coloured or not", () => {
  const { bad } = paintFor(true, {});
  const text = table(
    ["A", "LONG NAME", "C"],
    [
      ["aaa", bad("x"), ""],
      ["b", "line\n  break", "c"],
    ],
  );
  assert.deepEqual(text.split("\n"), ["A    LONG NAME   C", `aaa  ${bad("x")}`, "b    line break  c", ""]);
});

test("lines that are too long lose their end and their colours", () => {
  const { bad } = paintFor(true, {});
  assert.equal(fitting(bad("abc"), 3), bad("abc"));
  assert.equal(fitting(bad("abcd"), 3), "ab…");
});

for (const [seconds, text] of [
  [0, "0s"],
  [59.9, "59s"],
  [60, "1m"],
  [7_392, "2h 3m"],
  [86_400, "1d"],
  [-1, "0s"],
] as const) {
  test(`${seconds} seconds are ${text}`, () => {
    assert.equal(spanText(seconds), text);
  });
}

test("no control character of an answer reaches the terminal, and nothing else is changed", () => {
  assert.deepEqual(printable({ "a\u001b": ["b\u009b\r", 1, null, true, "ü\n\t"] }), {
    "a\ufffd": ["b\ufffd\ufffd", 1, null, true, "ü\n\t"],
  });
});

test("colours need a terminal that has them", () => {
  assert.equal(paintFor(true, { TERM: "dumb" }).bad("x"), "x");
  assert.equal(paintFor(false, {}).bad("x"), "x");
  assert.equal(paintFor(true, { NO_COLOR: "" }).bad("x"), "\u001b[31mx\u001b[0m");
});

test("a path is read as it was written", () => {
  const part = fc.oneof(
    fc.string({ minLength: 1, unit: "grapheme" }),
    fc.constantFrom("a.b", 'a"]', "x[0]", "a b"),
    fc.nat(9_999),
  );
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.array(part, { maxLength: 5 }), (first, rest) => {
      const path = [first, ...rest];
      assert.deepEqual(parsePath(formatPath(path)), path);
    }),
  );
  assert.deepEqual(parsePath("no path at all"), []);
});
