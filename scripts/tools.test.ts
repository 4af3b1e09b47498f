import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ensureDebianPackages } from "./debian.ts";
import { codeBlocks, proseOf, root } from "./tree.ts";

test(
  "packages that are there are told from those that are missing, and nothing is installed without permission",
  { skip: existsSync("/usr/bin/dpkg-query") ? false : "not a Debian system" },
  async () => {
    const { installed, missing } = await ensureDebianPackages(["dpkg", "headgate-no-such-package"], false);
    assert.deepEqual({ installed, missing }, { installed: ["dpkg"], missing: ["headgate-no-such-package"] });
  },
);

test("npm test refuses a part that it does not have and names those it has", () => {
  const run = spawnSync(process.execPath, [join(root, "scripts/test.ts"), "unti"], { encoding: "utf8" });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /no part unti; the parts are .*unit.*e2e/);
});

test("a code block carries its info, its line, the line before, and a block within a longer fence is its text", () => {
  const page = "# A\n\n<!-- fragment -->\n\n```yaml\na: 1\n```\n\n````md file=x\n```ts\nb\n```\n````\n";
  assert.deepEqual(codeBlocks("p.md", page), [
    { page: "p.md", line: 5, info: "yaml", before: "<!-- fragment -->", text: "a: 1\n" },
    { page: "p.md", line: 9, info: "md file=x", before: "```", text: "```ts\nb\n```\n" },
  ]);
  assert.doesNotMatch(proseOf(page), /a: 1|file=x/);
});
