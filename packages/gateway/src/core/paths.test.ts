import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  dropPrefix,
  dropSegments,
  encodePath,
  encodeSegment,
  holdsDotSegment,
  joinPaths,
  segmentsOf,
  toWireText,
} from "./paths.ts";

test("dropSegments counts segments as matching does", () => {
  const table: [string, number, string][] = [
    ["/api/users", 0, "/api/users"],
    ["/api/users", 1, "/users"],
    ["/api/users/", 1, "/users/"],
    ["/api/users", 2, "/"],
    ["/api/users", 9, "/"],
    ["/api", 1, "/"],
    ["/api/", 1, "/"],
    ["/", 1, "/"],
    ["//api//users", 1, "/users"],
    ["/api%2fusers/1", 1, "/users/1"],
    ["/api%2Fusers/1", 2, "/1"],
    ["/api/a%2fb", 1, "/a%2fb"],
    ["/api//evil.example/x", 1, "/evil.example/x"],
    ["/api/a//b", 1, "/a//b"],
  ];
  for (const [path, count, expected] of table) assert.equal(dropSegments(path, count), expected, `${path} - ${count}`);
});

test("dropPrefix takes whole segments in any spelling and says when the prefix is not there", () => {
  const table: [string, string, string | undefined][] = [
    ["/api/users", "/api", "/users"],
    ["/apis/users", "/api", undefined],
    ["/ap", "/api", undefined],
    ["/api", "/api", "/"],
    ["/api/v1/x", "/api/v1", "/x"],
    ["/api%2fv1/x", "/api/v1", "/x"],
    ["/caf%c3%a9/x", "/café", "/x"],
    ["/caf%C3%A9/x", "/caf%c3%a9", "/x"],
    ["/%zz/x", "/%zz", "/x"],
    ["/API/x", "/api", undefined],
    ["/", "/api", undefined],
  ];
  for (const [path, prefix, expected] of table) {
    assert.equal(dropPrefix(path, segmentsOf(prefix)), expected, `${path} - ${prefix}`);
  }
});

test("joinPaths puts one slash between prefix and rest", () => {
  const table: [string, string, string][] = [
    ["/v2", "/users", "/v2/users"],
    ["/v2/", "/users", "/v2/users"],
    ["/v2", "/", "/v2"],
    ["/v2/", "/", "/v2/"],
    ["/", "/users", "/users"],
    ["/", "/", "/"],
  ];
  for (const [prefix, rest, expected] of table) assert.equal(joinPaths(prefix, rest), expected, `${prefix} + ${rest}`);
});

test("holdsDotSegment finds every spelling of a dot segment and no other dots", () => {
  for (const path of [
    "/..",
    "/a/../b",
    "/a/./b",
    "/%2e%2E/x",
    "/a/.%2e",
    "/a%2f..%2fb",
    "/a\\..\\b",
    "/a%5c..",
    "/..;/b",
  ]) {
    assert.equal(holdsDotSegment(path), true, path);
  }
  for (const path of ["/", "/a.b", "/.well-known/x", "/a...", "/...", "/a%2eb", "/..a", "/a.."]) {
    assert.equal(holdsDotSegment(path), false, path);
  }
});

test("encodePath and encodeSegment leave nothing that ends a request line or a path", () => {
  assert.equal(encodePath("/a b/\r\n?x#y%zz%20"), "/a%20b/%0D%0A%3Fx%23y%25zz%20");
  assert.equal(encodeSegment("a/b;c%2f"), "a%2Fb%3Bc%252f");
  assert.equal(encodeSegment(toWireText("é€")), "%C3%A9%E2%82%AC");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.match(encodePath(toWireText(text)), /^[\x21\x24-\x3b\x3d\x40-\x5a\x5f\x61-\x7a\x7e]*$/);
      assert.match(encodeSegment(toWireText(text)), /^[^/?#;\s]*$/);
    }),
  );
});

test("a dropped prefix always leaves a path that starts with exactly one slash", () => {
  const piece = fc.constantFrom("a", "/", "//", "%2f", "%2F", "b.c", "%20", ".");
  fc.assert(
    fc.property(fc.array(piece), fc.nat(5), (pieces, count) => {
      const rest = dropSegments("/" + pieces.join(""), count);
      assert.match(rest, /^\//);
      if (count > 0) assert.doesNotMatch(rest, /^\/(\/|%2f)/i);
      if (count > 0) assert.deepEqual(segmentsOf(rest), segmentsOf("/" + pieces.join("")).slice(count));
    }),
  );
});
