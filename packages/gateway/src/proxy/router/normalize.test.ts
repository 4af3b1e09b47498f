import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { normalizeTarget } from "./normalize.ts";

const accepted: readonly (readonly [target: string, path: string, matchPath: string])[] = [
  ["/", "/", "/"],
  ["/a/b", "/a/b", "/a/b"],
  ["/a/", "/a/", "/a/"],
  ["/a.b/..c/...", "/a.b/..c/...", "/a.b/..c/..."],
  ["/.well-known/x", "/.well-known/x", "/.well-known/x"],
  // dot segments
  ["/a/.", "/a/", "/a/"],
  ["/a/./b", "/a/b", "/a/b"],
  ["/a/b/..", "/a/", "/a/"],
  ["/a/b/../", "/a/", "/a/"],
  ["/a/../b", "/b", "/b"],
  ["/..", "/", "/"],
  ["/../../a", "/a", "/a"],
  ["/.", "/", "/"],
  ["/a/..", "/", "/"],
  ["/a/%2e%2E/b", "/b", "/b"],
  ["/a/%2e./b", "/b", "/b"],
  ["/public/%2e%2e/admin", "/admin", "/admin"],
  // an encoded slash separates for matching and stays as sent
  ["/a%2fb", "/a%2fb", "/a/b"],
  ["/a%2Fb", "/a%2Fb", "/a/b"],
  ["/a%2f..%2fb", "/b", "/b"],
  ["/a/b%2f..%2Fc", "/a%2Fc", "/a/c"],
  ["/a/b%2f..", "/a/", "/a/"],
  ["/a%2f.", "/a%2f", "/a/"],
  ["/a%2f", "/a%2f", "/a/"],
  ["/..%2fadmin", "/admin", "/admin"],
  ["/%2fadmin", "/%2fadmin", "/admin"],
  // doubled slashes
  ["//a", "//a", "/a"],
  ["/a//b///c", "/a//b///c", "/a/b/c"],
  ["/a//", "/a//", "/a/"],
  ["//", "//", "/"],
  ["/a//../b", "/a/b", "/a/b"],
  ["/a//./b", "/a//b", "/a/b"],
  ["/.//a", "//a", "/a"],
  // needless encoding
  ["/%61dmin", "/admin", "/admin"],
  ["/%7Euser%2D1%5f%2e", "/~user-1_.", "/~user-1_."],
  // encoding that stays, in one spelling for matching
  ["/caf%c3%a9", "/caf%c3%a9", "/caf%C3%A9"],
  ["/a%20b", "/a%20b", "/a%20b"],
  ["/users%3abatch", "/users%3abatch", "/users:batch"],
  ["/a%3Fb%23", "/a%3Fb%23", "/a%3Fb%23"],
  ["/a[0]|{x}", "/a[0]|{x}", "/a%5B0%5D%7C%7Bx%7D"],
  ["/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"], // decoded once, never twice
  ["/%252fadmin", "/%252fadmin", "/%252fadmin"],
  ["/dom%5cuser", "/dom%5cuser", "/dom%5Cuser"],
  ["/a;v=1/b", "/a;v=1/b", "/a;v=1/b"],
];

test("a target gives the path to send on and the path to match", () => {
  for (const [target, path, matchPath] of accepted) {
    assert.deepEqual(normalizeTarget(target), { path, search: "", matchPath }, target);
    assert.deepEqual(normalizeTarget(`${target}?q=/../%00`), { path, search: "?q=/../%00", matchPath }, `${target}?`);
  }
});

test("the query is kept as it came", () => {
  for (const search of ["?", "??", "?a=1&b", "?a=%zz", "?//..", "?a[b]=c|d", "?a=\\"]) {
    assert.deepEqual(normalizeTarget(`/x${search}`), { path: "/x", search, matchPath: "/x" });
  }
});

const refused = [
  "", "a", "*", "?a", "http://x/a", "/a%00", "/%00/../a", "/a%", "/a%2", "/a%zz", "/%g0", "/a\\b", "/..\\a",
  "/..%5ca", "/a/..%5C..%5Cb", "/.%5ca", "/x%5c..", "/..;x/a", "/..;", "/.;/a", "/%2e%2e%3b/a", "/a%2f..;/b",
  "/a b", "/a\tb", "/a\nb", "/a\0b", "/a\x7f", "/a#b", "/a\xe9", "/a\u2215b", "/x?a b", "/x?\r", "/x?a#b", "/x?\xff",
  "/x?\x7f",
]; // prettier-ignore

test("a target that two servers could read differently is refused", () => {
  for (const target of refused) assert.equal(normalizeTarget(target), undefined, JSON.stringify(target));
});

const pieces = [
  "/", "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", "a", "b", "%61", "%5c", "%5C", ";", "%3b", "%25", "%41", "%c3",
  "%20", ":", "%3A", "[", "*", "%2a", "~",
]; // prettier-ignore
const targets = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => `/${parts.join("")}`);

test("normalising what is sent on changes nothing more, on the wire and for matching", () => {
  fc.assert(
    fc.property(targets, (target) => {
      const once = normalizeTarget(target);
      if (once === undefined) return;
      assert.deepEqual(normalizeTarget(once.path), once);
      assert.equal(normalizeTarget(once.matchPath)?.matchPath, once.matchPath);
    }),
    { numRuns: 20_000 },
  );
});

test("a path to match holds no dot segment, no doubled slash and no encoded slash", () => {
  fc.assert(
    fc.property(targets, (target) => {
      const made = normalizeTarget(target);
      if (made === undefined) return;
      assert.doesNotMatch(made.matchPath, /\/\/|\/\.{1,2}(?:\/|$)|%2f/i);
      assert.match(made.matchPath, /^\//);
      assert.match(made.path, /^\//);
    }),
    { numRuns: 20_000 },
  );
});

test("a server that decodes, merges slashes and resolves dots in its own way arrives at the path that was matched", () => {
  fc.assert(
    fc.property(targets, (target) => {
      const made = normalizeTarget(target);
      if (made === undefined) return;
      const decoded = made.path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
      const merged = decoded.replace(/\/+/g, "/");
      const matched = made.matchPath.replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
        String.fromCharCode(parseInt(hex, 16)),
      );
      assert.equal(merged, matched);
      assert.doesNotMatch(merged.replaceAll("\\", "/"), /\/\.{1,2}(?:[/;]|$)/);
    }),
    { numRuns: 20_000 },
  );
});
