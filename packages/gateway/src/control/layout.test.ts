import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { changeKey, confirmKey, kinds, nodeKey, normalizePrefix, parseKey, resourceKey } from "./layout.ts";
import { keyOf } from "./store/keys.ts";

const prefix = normalizePrefix("/headgate");

test("a prefix ends with a slash, however it was written", () => {
  assert.equal(prefix, "/headgate/");
  assert.equal(normalizePrefix("/headgate/"), prefix);
});

test("keys are parsed as they were made", () => {
  for (const kind of kinds) {
    const name = kind === "settings" ? "global" : "a.b-C_1";
    assert.deepEqual(parseKey(prefix, resourceKey(prefix, kind, name)), { area: "resource", kind, name });
  }
  assert.deepEqual(parseKey(prefix, changeKey(prefix, "0m1-a")), { area: "change", id: "0m1-a" });
  assert.deepEqual(parseKey(prefix, nodeKey(prefix, "höst")), { area: "node", id: "höst" });
  assert.deepEqual(parseKey(prefix, confirmKey(prefix, "0m1-a")), { area: "confirm", id: "0m1-a" });
});

test("what is none of ours is told with its reason", () => {
  const table: [key: string, reason: RegExp][] = [
    ["/other/routes/a", /not below \/headgate\//],
    ["/headgate/", /Expected \/headgate\/<kind>\/<name>\./],
    ["/headgate/routes", /Expected/],
    ["/headgate/routes/", /^The name "" is not valid/],
    ["/headgate/routes/a b", /^The name "a b" is not valid/],
    ["/headgate/routes/ü", /^The name "ü" is not valid/],
    ["/headgate/routes/a/b", /is not valid/],
    ["/headgate/route/a", /There is no kind "route": did you mean "routes"\?/],
    ["/headgate/settings/other", /^"other" is no setting: expected "global"/],
    ["/headgate/changes/", /has no name/],
  ];
  for (const [key, reason] of table) {
    const parsed = parseKey(prefix, keyOf(key));
    assert.equal(parsed.area, "unknown", key);
    if (parsed.area === "unknown") assert.match(parsed.reason, reason, key);
  }
});

test("no key makes parsing throw", () => {
  const bytes = fc.uint8Array({ maxLength: 40 }).map((content) => Buffer.from(content).toString("latin1"));
  fc.assert(
    fc.property(bytes, fc.constantFrom("", ...kinds, "changes", "confirm"), (rest, folder) => {
      parseKey(prefix, rest);
      parseKey(prefix, `${prefix}${folder}/${rest}`);
      parseKey(prefix, `${prefix}${rest}`);
    }),
  );
});
