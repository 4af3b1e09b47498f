import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "./build.ts";
import { root } from "./tree.ts";

test("the built packages run as JavaScript, carry declarations, and import nothing from the sources", (t) => {
  const out = mkdtempSync(join(tmpdir(), "headgate-build-"));
  t.after(() => rmSync(out, { recursive: true }));
  assert.deepEqual(build(out), []);

  // As installed: the built schema beside the gateway's other dependencies.
  const modules = join(out, "node_modules");
  mkdirSync(join(modules, "@headgate"), { recursive: true });
  symlinkSync(join(out, "schema"), join(modules, "@headgate/schema"));
  for (const name of readdirSync(join(root, "node_modules"))) {
    const ours = name.startsWith(".") || ["headgate", "@headgate"].includes(name);
    if (!ours) symlinkSync(join(root, "node_modules", name), join(modules, name));
  }

  const manifest = JSON.parse(readFileSync(join(out, "gateway/package.json"), "utf8")) as {
    version: string;
    exports: Record<string, { types: string; default: string }>;
  };
  for (const target of Object.values(manifest.exports)) {
    assert.ok(existsSync(join(out, "gateway", target.types)), target.types);
    assert.ok(existsSync(join(out, "gateway", target.default)), target.default);
  }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(out, "gateway/dist/main.js"), ...args], { cwd: out, encoding: "utf8" });
  const version = run("--version");
  assert.equal(version.stdout.trim(), manifest.version, version.stderr);
  const check = run("check", join(root, "examples/quickstart.yaml"));
  assert.equal(check.status, 0, check.stdout + check.stderr);
  const built = readdirSync(join(out, "gateway"), { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    built.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts")),
    [],
  );
});
