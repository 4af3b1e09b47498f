/** Takes the steps of CONTRIBUTING.md from the page, in a copy of the tree, and runs what it says to run. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { codeBlocks, read, root } from "./tree.ts";

/** The packages and scripts with links to the installed modules; `headgate` among them is the copy's own. */
function copyTree(t: TestContext): string {
  const copy = mkdtempSync(join(tmpdir(), "headgate-contributing-"));
  t.after(() => rmSync(copy, { recursive: true }));
  for (const name of ["package.json", "tsconfig.json"]) cpSync(join(root, name), join(copy, name));
  for (const name of ["packages", "scripts"]) {
    cpSync(join(root, name), join(copy, name), { recursive: true, filter: (path) => !path.includes("node_modules") });
  }
  const modules = join(copy, "node_modules");
  mkdirSync(join(modules, "@headgate"), { recursive: true });
  mkdirSync(join(modules, ".bin"));
  symlinkSync(join(copy, "packages/gateway"), join(modules, "headgate"));
  symlinkSync(join(copy, "packages/schema"), join(modules, "@headgate/schema"));
  symlinkSync(join(copy, "packages/gateway/bin/headgate"), join(modules, ".bin/headgate"));
  symlinkSync(process.execPath, join(modules, ".bin/node"));
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (!name.startsWith(".") && !["headgate", "@headgate"].includes(name)) {
      symlinkSync(join(root, "node_modules", name), join(modules, name));
    }
  }
  return copy;
}

/** Puts each added line behind, or before, the line of the file that stands beside it in its hunk. */
function applyDiff(text: string, diff: string): string {
  const lines = text.split("\n");
  for (const hunk of diff.split(/^@@\n/m)) {
    const parts = hunk.split("\n").filter((line) => line !== "");
    const context = parts.findIndex((line) => line.startsWith(" "));
    const added = parts.filter((line) => line.startsWith("+")).map((line) => line.slice(1));
    const at = lines.indexOf((parts[context] ?? "").slice(1));
    assert.ok(at >= 0, `the file has no line ${parts[context] ?? "(none)"}`);
    lines.splice(context === 0 ? at + 1 : at, 0, ...added);
  }
  return lines.join("\n");
}

test("CONTRIBUTING's ten minutes work as written, and touch four files", (t) => {
  const copy = copyTree(t);
  const blocks = codeBlocks("CONTRIBUTING.md", read("CONTRIBUTING.md"));
  const touched: string[] = [];
  for (const { info, text } of blocks) {
    const [, kind, path] = /^(\w+) file=(\S+)$/.exec(info) ?? [];
    if (kind === undefined || path === undefined) continue;
    if (path.startsWith("packages/")) touched.push(path);
    const file = join(copy, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, kind === "diff" ? applyDiff(readFileSync(file, "utf8"), text) : text);
  }
  assert.equal(touched.length, 4, touched.join(" "));

  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${join(copy, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
  };
  delete env["NODE_TEST_CONTEXT"]; // the inner run is a run of its own
  const commands = blocks.filter(({ info }) => info === "sh run").flatMap(({ text }) => text.trim().split("\n"));
  assert.ok(commands.length > 0);
  for (const command of commands) {
    const done = spawnSync("sh", ["-c", command], { cwd: copy, env, encoding: "utf8" });
    assert.equal(done.status, 0, `${command}\n${done.stdout}${done.stderr}`);
    if (command.startsWith("npm test")) assert.match(done.stdout, /pass 2\b/);
  }
});

test("the code of CONTRIBUTING passes the type check", (t) => {
  const copy = copyTree(t);
  const sources = codeBlocks("CONTRIBUTING.md", read("CONTRIBUTING.md")).flatMap(({ info, text }) => {
    const path = /^ts file=(\S+)$/.exec(info)?.[1];
    return path === undefined ? [] : [{ path, text }];
  });
  for (const { path, text } of sources) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    writeFileSync(join(copy, path), text);
  }
  // A mistake beside them shows that mistakes would be seen.
  const mistake = "packages/gateway/src/middlewares/maintenance/mistake.ts";
  writeFileSync(join(copy, mistake), 'export const count: number = "text";\n');
  const files = [...sources.map(({ path }) => path), mistake];
  writeFileSync(join(copy, "tsconfig.page.json"), JSON.stringify({ extends: "./tsconfig.json", include: [], files }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const done = spawnSync(process.execPath, [tsc, "--noEmit", "-p", "tsconfig.page.json"], {
    cwd: copy,
    encoding: "utf8",
  });
  const own = done.stdout.split("\n").filter((line) => line.includes("middlewares/maintenance/"));
  assert.equal(own.length, 1, done.stdout);
  assert.ok(own[0]?.startsWith(mistake), done.stdout);
});
