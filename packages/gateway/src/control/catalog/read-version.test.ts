import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answer, kvOf } from "./catalog.fixtures.ts";
import { kindsInOrder, type CatalogKind } from "./entry.ts";
import { readVersion, resourceBytesMax, storedValue } from "./read-version.ts";

function messages(kind: CatalogKind, name: string, value: unknown): string[] {
  const version = readVersion(kind, name, kvOf(kind, name, value, 7));
  assert.equal(version.value, undefined);
  return version.problems.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

test("a value is read with its defaults, its revision and itself", () => {
  const kv = kvOf("routes", "a", answer("hi"), 7);
  const { value, problems, source, revision, kv: kept } = readVersion("routes", "a", kv);
  assert.deepEqual(value, {
    match: [{ path: "/a" }],
    respond: { status: 200, headers: {}, body: "hi" },
    use: [],
    priority: 0,
  });
  assert.deepEqual([problems, source, revision, kept], [[], "store", 7, kv]);
});

for (const [what, kind, value, expected] of [
  ["no JSON", "routes", '{"to":', /^routes\.x: the value is not JSON/],
  ["empty", "routes", "", /^routes\.x: the value is not JSON/],
  ["an empty plugin", "plugins", " \n", /^plugins\.x: the value is not JSON/],
  ["of the wrong type", "services", [], /^services\.x: /],
  ["a misspelt key", "routes", { respnd: {} }, /^routes\.x.*"respnd"/],
  ["a reference", "consumers", { keys: ["${KEY}"] }, /^consumers\.x: \$\{KEY\} is not expanded in a store/],
  ["a plugin's path", "plugins", { path: "./x.ts" }, /^plugins\.x: a plugin in a store has a source, not a path/],
  ["a global chain that is none", "settings", { probe: {} }, /^global: /],
] as const) {
  test(`a value that is ${what} is a problem of its resource`, () => {
    assert.match(messages(kind, "x", value)[0] ?? "", expected);
  });
}

test("a value that is no text, and one that is too long, are not looked into", () => {
  const kv = kvOf("routes", "a", "");
  const told = [Buffer.from([0xff, 0xfe]), Buffer.alloc(resourceBytesMax + 1, " ")].map((value) =>
    readVersion("routes", "a", { ...kv, value }).problems.map(({ message }) => message),
  );
  assert.deepEqual(told, [
    ["the value is not UTF-8 text"],
    [`the value has ${resourceBytesMax + 1} bytes: a resource has at most ${resourceBytesMax}`],
  ]);
});

test("a message about JSON says where, and nothing of the text around, which may hold a secret", () => {
  const [message = ""] = messages("consumers", "c", '{ "keys": ["hush-hush" "more"] }');
  assert.match(message, /at position \d+/);
  assert.doesNotMatch(message, /hush/);
});

test("an escaped reference is the text it stands for", () => {
  const { value } = readVersion("consumers", "c", kvOf("consumers", "c", { keys: ["$${KEY}"] }));
  assert.deepEqual(value, { keys: ["${KEY}"], groups: [] });
});

test("a plugin is its source, whether as JSON or as it stands; what looks like a reference in code is code", () => {
  const source = "export default (`${NAME}`);";
  for (const stored of [source, { source }]) {
    const { value } = readVersion("plugins", "p", kvOf("plugins", "p", stored));
    assert.deepEqual(value, { source });
  }
});

test("whatever a key holds is read, and never throws", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...kindsInOrder),
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (kind, bytes) => {
        const kv = { ...kvOf(kind, "x", ""), value: Buffer.from(bytes) };
        const { value, problems } = readVersion(kind, "x", kv);
        assert.equal(
          value === undefined,
          problems.some(({ severity }) => severity === "error"),
        );
        storedValue(kind, kv.value);
      },
    ),
  );
});

for (const [what, kind, value] of [
  ["wrong items", "consumers", { keys: new Array(300_000).fill(1) }],
  ["right items", "consumers", { keys: Array.from({ length: 60_000 }, (_, index) => `k${index}`) }],
  ["unknown keys", "routes", Object.fromEntries(Array.from({ length: 80_000 }, (_, index) => [`k${index}`, 1]))],
  ["steps", "settings", new Array(300_000).fill({})],
] as const) {
  test(`a megabyte of ${what} is one problem`, () => {
    assert.match(
      messages(kind, "x", value).join("\n"),
      /^[^\n]* the value holds \d+ values: a resource has at most 50000/,
    );
  });
}

test("a reference is told without its default, which may be the secret", () => {
  const [message = ""] = messages("consumers", "c", { keys: ["${KEY:-hush}"] });
  assert.match(message, /\$\{KEY\} is not expanded/);
  assert.doesNotMatch(
    JSON.stringify(readVersion("consumers", "c", kvOf("consumers", "c", { keys: ["${KEY:-hush}"] })).problems),
    /hush/,
  );
});
