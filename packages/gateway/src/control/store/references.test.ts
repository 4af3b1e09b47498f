import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeReferences, readTexts } from "./references.ts";

function read(value: unknown): { value: unknown; found: string[] } {
  const found: string[] = [];
  return { value: readTexts(value, (reference) => found.push(reference)), found };
}

for (const [text, value, found] of [
  ["${NAME}", "${NAME}", ["${NAME}"]],
  ["a ${NAME:-x} b", "a ${NAME:-x} b", ["${NAME:-x}"]],
  ["${file:/run/secret}", "${file:/run/secret}", ["${file:/run/secret}"]],
  ["$${NAME}", "${NAME}", []],
  ["$${file:x} and ${B}", "${file:x} and ${B}", ["${B}"]],
  ["${lower}", "${lower}", []],
  ["${request.path}", "${request.path}", []],
  ["$$ and $NAME", "$$ and $NAME", []],
] as const) {
  test(`${text} in a store is ${value}${found.length === 0 ? "" : ", and a reference that is told"}`, () => {
    assert.deepEqual(read({ at: [text] }), { value: { at: [value] }, found });
  });
}

test("names are left alone: only texts are read", () => {
  assert.deepEqual(read({ "${NAME}": 1 }), { value: { "${NAME}": 1 }, found: [] });
});

test("a value without references is the same object", () => {
  const value = { a: ["x", { b: "y" }], c: null, d: 1 };
  assert.equal(read(value).value, value);
  assert.equal(escapeReferences(value), value);
});

test("whatever is escaped is read as what it was, and tells no reference", () => {
  const piece = fc.constantFrom("$", "$$", "${", "}", "${NAME}", "$${NAME}", "${file:x}", "${N:-d}", "text", "{", ":-");
  const text = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 2 },
      text,
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom("a", "b", "__proto__"), tie("value"), { noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(value, (original) => {
      assert.deepEqual(read(escapeReferences(original)), { value: original, found: [] });
    }),
    { numRuns: 500 },
  );
});
