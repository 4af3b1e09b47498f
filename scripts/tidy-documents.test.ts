/** Holds documents and code together: what one names the other has, in both directions. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { errors } from "../packages/gateway/src/core/errors.ts";
import { exposedName, metrics } from "../packages/gateway/src/telemetry/names.ts";
import { files, proseOf, read, root } from "./tree.ts";

const pages = files().filter((path) => path.endsWith(".md"));

/** Compares two sets of names so that the message lists what each side lacks. */
function assertSame(inCode: Iterable<string>, inDocument: Iterable<string>, document: string): void {
  const code = new Set(inCode);
  const written = new Set(inDocument);
  const findings = [
    ...[...code].filter((name) => !written.has(name)).map((name) => `${document} lacks ${name}`),
    ...[...written]
      .filter((name) => !code.has(name))
      .map((name) => `${document} has ${name}, which the code does not know`),
  ];
  assert.equal(findings.length, 0, `\n  ${findings.join("\n  ")}`);
}

test("docs/errors.md has every error code, with its status and retry safety, and no other", () => {
  const facts = Object.entries(errors).map(([code, { status, retry }]) => `${code} ${status} ${retry}`);
  const written = [...read("docs/errors.md").matchAll(/^### (HG_\w+)\n\nStatus (\d+)\. Retried: ([\w-]+)\./gm)];
  assertSame(
    facts,
    written.map(([, code, status, retry]) => `${code} ${status} ${retry}`),
    "docs/errors.md",
  );
  const mentioned = read("docs/errors.md").matchAll(/\bHG_[A-Z_]+/g);
  assertSame(
    Object.keys(errors),
    Array.from(mentioned, ([code]) => code),
    "docs/errors.md",
  );
});

test("docs/metrics.md has a row for every metric and no other", () => {
  const written = read("docs/metrics.md").matchAll(/^\| `([a-z_]+)` *\|/gm);
  assertSame(
    Object.keys(metrics).map(exposedName),
    Array.from(written, ([, name = ""]) => name),
    "docs/metrics.md",
  );
});

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test("docs/dependencies.md has a line for every dependency and no other, and versions are exact", () => {
  const manifests = ["package.json", ...files("packages").filter((path) => path.endsWith("/package.json"))];
  const all = new Map<string, string>();
  for (const path of manifests) {
    const manifest = JSON.parse(read(path)) as Manifest; // npm has read it before this test could run
    const kinds = [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies];
    for (const [name, version] of kinds.flatMap((kind) => Object.entries(kind ?? {}))) all.set(name, version);
  }
  const written = read("docs/dependencies.md").matchAll(/^\| `([^`]+)` *\|/gm);
  assertSame(
    all.keys(),
    Array.from(written, ([, name = ""]) => name),
    "docs/dependencies.md",
  );
  const ranges = [...all].filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
  assert.deepEqual(ranges, []);
});

const middlewareFolder = "packages/gateway/src/middlewares";

test("every middleware is four places: code, test, README with front matter, and a line in the table", () => {
  const paths = files(middlewareFolder).map((path) => path.slice(middlewareFolder.length + 1));
  const names = new Set(paths.filter((path) => path.includes("/")).map((path) => path.split("/")[0] ?? ""));
  const table = read(`${middlewareFolder}/index.ts`);
  const findings: string[] = [];
  for (const name of names) {
    for (const file of ["index.ts", `${name}.test.ts`, "README.md"]) {
      if (!paths.includes(`${name}/${file}`)) findings.push(`${name} has no ${file}`);
    }
    if (!table.includes(`"./${name}/index.ts"`)) findings.push(`middlewares/index.ts does not import ${name}`);
    const readme = paths.includes(`${name}/README.md`) ? read(`${middlewareFolder}/${name}/README.md`) : "";
    const front = /^---\n([\s\S]*?)\n---\n/.exec(readme)?.[1] ?? "";
    if (!/^status: \w+/m.test(front)) findings.push(`${name}/README.md has no front matter with a status`);
  }
  assert.ok(names.size > 0, "no middleware was found");
  assert.equal(findings.length, 0, `\n  ${findings.join("\n  ")}`);
});

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .replaceAll(/[`*]|\[|\]\([^)]*\)/g, "")
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

/** The links of a page that lead nowhere. Links to other sites are not followed: tests need no network. */
function brokenLinks(page: string, markdown: string): string[] {
  const findings: string[] = [];
  for (const [, target = ""] of proseOf(markdown).matchAll(/\]\(<?([^)\s>]+)>?\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(root, file))) findings.push(`${page} links to ${target}, which does not exist`);
    else if (anchor !== undefined && file.endsWith(".md")) {
      const headings = Array.from(read(file).matchAll(/^#+ (.+)$/gm), ([, heading = ""]) => anchorOf(heading));
      if (!headings.includes(anchor)) findings.push(`${page} links to ${target}, but ${file} has no such heading`);
    }
  }
  return findings;
}

test("links between the pages lead somewhere", () => {
  const findings = pages.flatMap((page) => brokenLinks(page, read(page)));
  assert.equal(findings.length, 0, `\n  ${findings.join("\n  ")}`);
});

test("the link rule finds a missing file and a missing heading", () => {
  assert.equal(brokenLinks("docs/errors.md", "[a](nowhere.md) [b](errors.md#nothing) [c](#hg_internal)").length, 2);
});
