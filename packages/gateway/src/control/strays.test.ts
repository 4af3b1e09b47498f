import assert from "node:assert/strict";
import { test } from "node:test";
import { parseKey } from "./layout.ts";
import { keyOf } from "./store/keys.ts";
import { Strays } from "./strays.ts";

const prefix = "/headgate/";

function stray(strays: Strays, key: string, revision = 7): void {
  const kv = { key, value: Buffer.alloc(0), createRevision: 1, modRevision: revision, version: 1, lease: "0" };
  strays.set(kv, parseKey(prefix, key));
}

for (const [what, key, expected] of [
  ["a folder that there is none of", "/headgate/route/a", { path: "route/a", key: "/headgate/route/a" }],
  ["a name that cannot be one", "/headgate/routes/a b", { path: "routes/a b", key: "/headgate/routes/a b" }],
  ["a certificate", "/headgate/certificates/c", { path: "certificates.c", key: "/headgate/certificates/c" }],
  ["a key that breaks the line", "/headgate/x\ny", { path: "x\\ny", key: "/headgate/x\\ny" }],
  ["a key that is no text", "/headgate/\xff", { path: "\ufffd", key: "/headgate/\ufffd" }],
] as const) {
  test(`${what} is told with its key and revision`, () => {
    const strays = new Strays(prefix);
    stray(strays, key);
    const [{ severity, path, key: shown, revision, message } = assert.fail(), ...others] = strays.problems();
    assert.deepEqual(others, []);
    assert.deepEqual({ severity, revision, path, key: shown }, { severity: "error", revision: 7, ...expected });
    assert.doesNotMatch(message, /^[A-Z][a-z]|\.$/);
  });
}

test("a key that is written again is one problem, with its newest revision; deleted it is none", () => {
  const strays = new Strays(prefix);
  stray(strays, "/headgate/x", 1);
  stray(strays, "/headgate/x", 2);
  assert.deepEqual(
    strays.problems().map(({ revision }) => revision),
    [2],
  );
  assert.equal(strays.delete(keyOf("/headgate/x")), true);
  assert.equal(strays.delete(keyOf("/headgate/x")), false);
  assert.deepEqual(strays.problems(), []);
});

test("of very many the first are told, and how many more there are", () => {
  const strays = new Strays(prefix);
  for (let i = 0; i < 130; i++) stray(strays, `/headgate/x${i}`);
  const problems = strays.problems();
  assert.equal(problems.length, 101);
  assert.equal(problems.at(-1)?.message, "30 more keys are not read");
});

test("a key as long as a store takes is cut: other gateways are told it too", () => {
  const strays = new Strays(prefix);
  const key = `/headgate/${"k".repeat(1_000_000)}`;
  stray(strays, key);
  const [problem] = strays.problems();
  assert.ok(JSON.stringify(problem).length < 1_000);
  assert.equal(strays.delete(key), true);
});
