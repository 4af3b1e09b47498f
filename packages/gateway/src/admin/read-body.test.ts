import assert from "node:assert/strict";
import { test } from "node:test";
import { AdminError } from "./problem.ts";
import { bodyKind, parseBody, readText, yamlLengthMax, type BodyKind } from "./read-body.ts";

const all: readonly BodyKind[] = ["json", "yaml", "text"];

for (const [type, kind] of [
  [undefined, "json"],
  ["application/json", "json"],
  ["Application/JSON ; charset=utf-8", "json"],
  ['application/yaml; charset="UTF-8"', "yaml"],
  ["text/x-yaml", "yaml"],
  ["text/typescript", "text"],
] as const) {
  test(`a body of type ${type} is read as ${kind}`, () => assert.equal(bodyKind(type, undefined, all), kind));
}

for (const [type, encoding, kinds] of [
  ["application/xml", undefined, all],
  ["text/plain", undefined, ["json"]],
  ["constructor", undefined, all],
  ["application/json; charset=utf-16", undefined, all],
  ["application/json", "br", all],
] as const) {
  test(`a body of type ${type} and encoding ${encoding} is not taken for ${kinds.join()}`, () => {
    assert.throws(
      () => bodyKind(type, encoding, kinds),
      (error) => error instanceof AdminError && error.status === 415,
    );
  });
}

test("an empty body and one of white space say nothing", () => {
  for (const text of ["", " \r\n"]) {
    assert.deepEqual(parseBody(Buffer.from(text), "yaml"), { kind: "yaml", value: undefined, empty: true });
  }
});

for (const [text, value] of [
  ['{"a":[1]}', { a: [1] }],
  ["a: [1]", { a: [1] }],
  ["base: &b { x: 1 }\nother: { <<: *b, y: 2 }", { base: { x: 1 }, other: { x: 1, y: 2 } }],
  ["yes: no", { yes: "no" }],
  ["# nothing", null],
  ["\ufeff{}", {}],
] as const) {
  test(`${JSON.stringify(text)} is read`, () => {
    const read = readText(text);
    assert.ok("value" in read, JSON.stringify(read));
    assert.deepEqual(read.value, value);
  });
}

const laughs = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`).join("\n");

for (const [what, text, message] of [
  ["a syntax error", "a: [1", /./],
  ["a key that stands twice", "a:\n  b: 1\n  b: 2", /"b" twice/],
  ["a key that stands twice in JSON", '{"a":1,"a":2}', /"a" twice/],
  ["two documents", "a: 1\n---\nb: 2", /multiple documents/],
  ["an alias without an anchor", "a: *b", /alias/],
  ["aliases that stand for billions of values", `l0: &l0 [1]\n${laughs}`, /alias/],
  ["an unknown tag", "a: !Ref b", /tag/],
  ["a number that JSON does not have", "a: .inf", /Infinity/],
  ["a key that leads to the prototype", "__proto__: {}", /__proto__/],
  ["a key that is no text", "? [a]\n: 1", /key/i],
  ["lists in lists in lists", "[".repeat(200) + "]".repeat(200), /nested/],
  ["brackets by the hundred thousand", "[".repeat(200_000), /./],
  ["too much of it", `a: ${"x".repeat(yamlLengthMax)}`, /send JSON/],
] as const) {
  test(`YAML with ${what} is refused`, () => {
    const read = readText(text);
    assert.ok("problem" in read, JSON.stringify(read).slice(0, 200));
    assert.match(read.problem.message, message);
  });
}

test("a syntax error has its place", () => {
  const read = readText("a: 1\nb: [\nc: 2\n");
  assert.ok("problem" in read);
  assert.ok((read.problem.line ?? 0) > 1, JSON.stringify(read.problem));
});
