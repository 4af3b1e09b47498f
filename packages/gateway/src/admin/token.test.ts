import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ensureToken, tokenMatches, tokenPath } from "./token.ts";

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "headgate-token-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test("the token is made once, readable by its owner only, and stays the same", async (t) => {
  const dataDir = join(await directory(t), "deep", "data");
  const token = await ensureToken(dataDir);
  assert.match(token, /^[\w-]{43}$/);
  assert.equal((await stat(tokenPath(dataDir))).mode & 0o777, 0o600);
  assert.equal((await readFile(tokenPath(dataDir), "utf8")).trim(), token);
  assert.equal(await ensureToken(dataDir), token);
});

test("a token file that holds none is refused rather than taken", async (t) => {
  const dataDir = await directory(t);
  for (const content of ["", "\n", "short", "two words of some length\n", "a".repeat(600)]) {
    await writeFile(tokenPath(dataDir), content);
    await assert.rejects(ensureToken(dataDir), /holds no token/, JSON.stringify(content));
  }
});

for (const [header, matches] of [
  ["Bearer 0123456789abcdef", true],
  ["bearer 0123456789abcdef", true],
  ["Bearer 0123456789abcdee", false],
  ["Bearer 0123456789abcdef0", false],
  ["Bearer ", false],
  ["Basic 0123456789abcdef", false],
  ["0123456789abcdef", false],
  [undefined, false],
] as const) {
  test(`authorization ${String(header)} ${matches ? "matches" : "does not match"}`, () => {
    assert.equal(tokenMatches("0123456789abcdef", header), matches);
  });
}
