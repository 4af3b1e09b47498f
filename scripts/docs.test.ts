/** Runs the code in the pages: YAML blocks are valid documents, `ts run` blocks execute. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCheck } from "../packages/gateway/src/cli/check.ts";
import { codeBlocks, files, read, root, type CodeBlock } from "./tree.ts";

const pages = ["README.md", "CONTRIBUTING.md", ...files("docs"), ...files("examples")].filter((path) =>
  path.endsWith(".md"),
);
const blocks = pages.flatMap((page) => codeBlocks(page, read(page)));

function isDocument(block: CodeBlock): boolean {
  // A block that is a file of CONTRIBUTING's steps is run, with its middleware, by contributing.test.ts.
  return /^ya?ml$/.test(block.info) && block.before !== "<!-- fragment -->";
}

/** The problems that `headgate check` finds in a text; empty where it is valid. */
function check(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "headgate-docs-"));
  try {
    writeFileSync(join(directory, "block.yaml"), text);
    const names = Array.from(text.matchAll(/\$\{([A-Z_][A-Z0-9_]*)\}/g), ([, name = ""]) => name);
    const variables = Object.fromEntries(names.map((name) => [name, `a-value-of-at-least-32-characters-for-${name}`]));
    let said = "";
    const out = { write: (text: string) => (said += text) };
    return runCheck(["block.yaml"], { stdout: out, stderr: out, env: variables, cwd: directory }) === 0 ? "" : said;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("every YAML block of the pages is a document that `check` accepts", () => {
  const documents = blocks.filter(isDocument);
  assert.ok(documents.length > 0, "no block was found");
  const findings = documents.flatMap((block) => {
    const problems = check(block.text);
    return problems === "" ? [] : [`${block.page}:${block.line}:\n${problems}`];
  });
  assert.equal(findings.length, 0, `\n${findings.join("\n")}`);
});

test("a block that is no document is found", () => {
  assert.match(check("routes:\n  a: { mach: {} }\n"), /mach/);
});

for (const block of blocks.filter(({ info }) => /^ts run\b/.test(info))) {
  test(`the code at ${block.page}:${block.line} runs`, () => {
    const args = ["--input-type=module-typescript", "--eval", block.text];
    const done = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", timeout: 60_000 });
    assert.equal(done.status, 0, done.stdout + done.stderr);
  });
}
