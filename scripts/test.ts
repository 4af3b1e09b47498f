/**
 * `npm test [-- PART... | FILE.test.ts...]`: format, lint, types, then every test in one `node --test` run, so that the output closes with
 * node's own summary. Exits 1 if anything failed; a failed check does not keep the tests from running.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { ensureDebianPackages } from "./debian.ts";

const root = resolve(import.meta.dirname, "..");

/** Checks that are a program of their own. */
const checks: Readonly<Record<string, readonly string[]>> = {
  format: ["prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."],
  lint: ["eslint/bin/eslint.js", "--max-warnings=0", "."],
  types: ["typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json"],
};

/** Tests: the parts of the one `node --test` run. */
const suites: Readonly<Record<string, readonly string[]>> = {
  tidy: ["scripts/tidy*.test.ts"],
  unit: ["packages/**/*.test.ts", "examples/**/*.test.ts", "scripts/*.test.ts"],
  e2e: ["tests/e2e/*.test.ts"],
  conformance: ["tests/conformance/*.test.ts"],
  failure: ["tests/failure/*.test.ts"],
};

/** Programs that tests drive: the Debian package, and what is not tested without it. */
const programs: readonly { readonly name: string; readonly package: string; readonly tests: string }[] = [
  { name: "curl", package: "curl", tests: "tests that use curl as the client" },
  { name: "promtool", package: "prometheus", tests: "the check of /metrics with promtool" },
  { name: "etcd", package: "etcd-server", tests: "everything that runs against a real etcd" },
  { name: "redis-server", package: "redis-server", tests: "everything that runs against a real Redis" },
  { name: "etcdctl", package: "etcd-client", tests: "tests that use etcdctl as the client" },
];

process.exitCode = await main(process.argv.slice(2));

async function main(parts: readonly string[]): Promise<number> {
  const known = [...Object.keys(checks), ...Object.keys(suites)];
  const named = parts.filter((part) => part.endsWith(".test.ts"));
  const unknown = parts.filter((part) => !known.includes(part) && !named.includes(part));
  if (unknown.length > 0) {
    console.error(`There is no part ${unknown.join(", ")}; the parts are ${known.join(", ")}, or the paths of tests.`);
    return 2;
  }
  const wanted = (part: string): boolean => parts.length === 0 || parts.includes(part);
  const failed: string[] = [];
  for (const [name, [script = "", ...args]] of Object.entries(checks)) {
    if (wanted(name) && !runCheck(name, script, args)) failed.push(name);
  }
  const files = Object.entries(suites).flatMap(([name, globs]) => (wanted(name) ? filesOf(globs) : []));
  files.push(...named);
  if (files.length > 0) {
    if (files.length > named.length) await preparePrograms();
    if (failed.length > 0) console.log(`\nfailed so far: ${failed.join(", ")} (see above)\n`);
    if (!runTests(files)) failed.push("tests");
  }
  // To stderr: the last lines of the output stay node's summary.
  if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
  return failed.length > 0 ? 1 : 0;
}

function runCheck(name: string, script: string, args: readonly string[]): boolean {
  const startedMs = performance.now();
  process.stdout.write(`${name} ... `);
  const done = spawnSync(process.execPath, [join(root, "node_modules", script), ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${done.status === 0 ? "ok" : "FAILED"} (${seconds} s)`);
  if (done.status !== 0) process.stdout.write(`${done.stdout}${done.stderr}${done.error?.message ?? ""}\n`);
  return done.status === 0;
}

function filesOf(globs: readonly string[]): string[] {
  const found = globs.flatMap((glob) =>
    globSync(glob, { cwd: root, exclude: (path) => path.includes("node_modules") }),
  );
  return found.toSorted();
}

async function preparePrograms(): Promise<void> {
  const onPath = (name: string): boolean => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
  const absent = programs.filter((program) => !onPath(program.name));
  if (absent.length === 0) return;
  console.log(`installing ${absent.map((program) => program.package).join(", ")} ...`);
  await ensureDebianPackages(absent.map((program) => program.package));
  for (const program of absent) {
    if (onPath(program.name)) continue;
    console.log(
      `not run: ${program.tests}: ${program.name} is missing and could not be installed. ` +
        `Install the Debian package "${program.package}" (as root: apt-get install ${program.package}).`,
    );
  }
}

function runTests(files: readonly string[]): boolean {
  // A file given twice (tidy is also among the scripts) runs once. Two at a time: the machines have two cores, and the
  // end-to-end tests start gateways with several workers.
  const args = ["--test", "--test-concurrency=2", "--test-timeout=180000", ...new Set(files)];
  // Each file is a process of its own, and many start gateways: reading the sources once saves two fifths of the time.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "headgate-tests") };
  return spawnSync(process.execPath, args, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}
