/** Holds the tree to ARCHITECTURE.md: layers, sizes, silenced tests and leftovers. */
import assert from "node:assert/strict";
import { dirname, relative, resolve } from "node:path";
import { test } from "node:test";
import ts from "typescript";
import { files, read, root } from "./tree.ts";

const gateway = "packages/gateway/src/";
const sources = files().filter((path) => path.endsWith(".ts"));
const isTest = (path: string): boolean => /\.(test|suite|model|fixtures)\.ts$/.test(path) || path.startsWith("tests/");

/** What a layer of the gateway may import, beside itself and packages. Files at the top of `src` are layers of their own. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  client: [],
  core: ["schema"],
  telemetry: ["schema", "core"],
  proxy: ["schema", "core", "telemetry"],
  middlewares: ["schema", "core", "proxy"],
  control: ["schema", "core", "telemetry", "proxy", "middlewares", "worker.ts"],
  admin: ["schema", "core", "telemetry", "proxy", "middlewares", "control"],
  cli: ["schema", "core", "telemetry", "proxy", "middlewares", "control", "admin"],
  "index.ts": ["schema", "core", "proxy"],
  "testing.ts": ["schema", "core", "proxy", "index.ts"],
  "worker.ts": ["schema", "core", "telemetry", "proxy", "middlewares", "control"],
};

/** The only files of `proxy` that a middleware sees: the contract, not the engine. */
const middlewareSees = new Set(["proxy/middleware.ts", "proxy/exchange.ts", "proxy/http1/fields.ts"]);

const linesMax = 400;
const functionLinesMax = 70;

/** Fails with every finding at once: a tree is tidied in one go. */
function assertNone(findings: readonly string[]): void {
  assert.equal(findings.length, 0, `\n  ${findings.join("\n  ")}`);
}

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2024, true);
}

const trees = new Map(sources.map((path) => [path, parse(path)]));

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  node.forEachChild((child) => {
    visit(child, see);
  });
}

function importsOf(path: string): string[] {
  const found: string[] = [];
  const tree = trees.get(path);
  if (tree === undefined) return found;
  visit(tree, (node) => {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined;
    if (specifier !== undefined && ts.isStringLiteral(specifier)) found.push(specifier.text);
  });
  return found;
}

/** `core`, `proxy`, ... or the file's name for files at the top of the gateway's `src`. */
function layerOf(path: string): string {
  const first = path.slice(gateway.length).split("/")[0] ?? "";
  const ofPackage = /^packages\/(schema|client)\//.exec(path)?.[1];
  return ofPackage ?? first.replace(/\.test\.ts$/, ".ts");
}

/** Why `path` may not import `specifier`, or undefined. */
function layerProblem(path: string, specifier: string): string | undefined {
  const layer = layerOf(path);
  if (layer === "client" && !isTest(path) && !specifier.startsWith(".") && !specifier.startsWith("node:")) {
    return `${path} imports ${specifier}: the client has no dependencies`;
  }
  if (specifier === "@headgate/schema" || !specifier.startsWith(".")) return undefined;
  const target = relative(root, resolve(root, dirname(path), specifier));
  if (!target.startsWith("packages/")) return isTest(path) ? undefined : `${path} imports ${target}, outside packages/`;
  const targetLayer = layerOf(target);
  if (layer === "main.ts") return undefined;
  if (isTest(path) && targetLayer === "testing.ts") return undefined;
  if (layer === targetLayer) {
    const folder = (file: string): string => file.slice(gateway.length).split("/")[1] ?? "";
    const inFolder = layer === "middlewares" && folder(path) !== "index.ts";
    return inFolder && folder(path) !== folder(target) ? `${path} imports its sibling ${target}` : undefined;
  }
  if (!(mayImport[layer] ?? []).includes(targetLayer))
    return `${path} imports ${target}: ${layer} may not know ${targetLayer}`;
  const inProxy = target.slice(gateway.length);
  if (layer === "middlewares" && targetLayer === "proxy" && !isTest(path) && !middlewareSees.has(inProxy)) {
    return `${path} imports ${target}: a middleware sees only ${[...middlewareSees].join(", ")}`;
  }
  return undefined;
}

test("imports go down the layers only, a middleware never imports a sibling, and proxy does not know control", () => {
  const findings: string[] = [];
  for (const path of sources.filter((source) => source.startsWith("packages/"))) {
    const layer = layerOf(path);
    if (layer !== "schema" && layer !== "main.ts" && mayImport[layer] === undefined) {
      findings.push(`${path}: ${layer} is not in the layer table`);
    }
    for (const specifier of importsOf(path)) {
      const problem = layerProblem(path, specifier);
      if (problem !== undefined) findings.push(problem);
      if (layer === "schema" && specifier.startsWith("node:") && !isTest(path)) {
        findings.push(`${path} imports ${specifier}: the schema also runs in browsers`);
      }
    }
  }
  assertNone(findings);
});

test("the layer rule finds an import that goes up", () => {
  assert.match(layerProblem(`${gateway}proxy/a.ts`, "../control/b.ts") ?? "", /proxy may not know control/);
  assert.match(layerProblem(`${gateway}middlewares/a/index.ts`, "../b/index.ts") ?? "", /sibling/);
  assert.match(layerProblem(`${gateway}middlewares/a/index.ts`, "../../proxy/forward.ts") ?? "", /sees only/);
  assert.equal(layerProblem(`${gateway}middlewares/a/index.ts`, "../../proxy/middleware.ts"), undefined);
  assert.match(
    layerProblem("packages/client/src/a.ts", "../../gateway/src/core/b.ts") ?? "",
    /client may not know core/,
  );
  assert.match(layerProblem("packages/client/src/a.ts", "@headgate/schema") ?? "", /no dependencies/);
});

test(`no file is longer than ${linesMax} lines and no function than ${functionLinesMax}`, () => {
  const findings: string[] = [];
  for (const [path, tree] of trees) {
    const lines = tree.getLineStarts().length - 1;
    if (lines > linesMax) findings.push(`${path}: ${lines} lines`);
    if (isTest(path)) continue;
    visit(tree, (node) => {
      if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return;
      const from = tree.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      const length = tree.getLineAndCharacterOfPosition(node.end).line + 2 - from;
      const name = node.name === undefined ? "a function" : node.name.getText();
      if (length > functionLinesMax) findings.push(`${path}:${from}: ${name} has ${length} lines`);
    });
  }
  assertNone(findings);
});

/** Whether an option like `skip:` carries a reason: some text in it, or a variable that may hold one. */
function givesReason(value: ts.Expression): boolean {
  let reason = ts.isIdentifier(value);
  visit(value, (node) => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) reason = true;
  });
  return reason;
}

/** Calls and options that keep a test from running without saying why. */
function silencedTests(path: string, tree: ts.SourceFile): string[] {
  const findings: string[] = [];
  visit(tree, (node) => {
    const line = (): number => tree.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const callee = node.expression.expression.getText();
      const name = node.expression.name.text;
      const onContext = /^(t|context)$/.test(callee);
      const onTest = /^(test|it|describe|suite)$/.test(callee);
      if (onTest && ["skip", "only", "todo"].includes(name)) findings.push(`${path}:${line()}: ${callee}.${name}`);
      if (onContext && name === "todo") findings.push(`${path}:${line()}: ${callee}.todo`);
      if (onContext && name === "skip" && node.arguments.length === 0) findings.push(`${path}:${line()}: no reason`);
    }
    if (ts.isPropertyAssignment(node) && ["skip", "only", "todo"].includes(node.name.getText())) {
      const { initializer } = node;
      const off = initializer.kind === ts.SyntaxKind.FalseKeyword;
      const options =
        ts.isCallExpression(node.parent.parent) &&
        /^(test|it|describe|suite|t\.test)$/.test(node.parent.parent.expression.getText());
      if (options && !off && (node.name.getText() !== "skip" || !givesReason(initializer))) {
        findings.push(`${path}:${line()}: ${node.getText()} without a reason`);
      }
    }
  });
  return findings;
}

test("no test is skipped without a reason, marked only, or left to do", () => {
  assertNone(
    [...trees]
      .filter(([path]) => path.endsWith(".test.ts") || isTest(path))
      .flatMap(([path, tree]) => silencedTests(path, tree)),
  );
});

test("the skipping rule finds what it looks for", () => {
  const find = (text: string): number =>
    silencedTests("x", ts.createSourceFile("x.ts", text, ts.ScriptTarget.ES2024, true)).length;
  for (const bad of [
    'test.skip("a", f)',
    'test("a", { skip: true }, f)',
    'it.only("a", f)',
    "t.skip()",
    'test("a", { todo: "b" }, f)',
  ]) {
    assert.equal(find(bad), 1, bad);
  }
  for (const good of [
    'test("a", { skip: has ? false : "no etcd" }, f)',
    'test("a", { skip: reason }, f)',
    't.skip("no etcd")',
  ]) {
    assert.equal(find(good), 0, good);
  }
});

// Spelled in two parts, or this file would find itself.
const leftover = new RegExp(`\\b(${"TO"}DO|${"FIX"}ME|X${"XX"})\\b`);
const machinePath = new RegExp(`(?<![\\w.:/])/(${"wo"}rk|${"ho"}me|${"Us"}ers|${"ro"}ot)/`);
const registryHost = new RegExp(`registry\\.(npm${"js"}|yarn${"pkg"})\\.|np${"m"}mirror`);

test("no file carries a leftover marker, a path of somebody's machine, or a registry's host", () => {
  const findings: string[] = [];
  const text = files().filter((path) => /(\.(ts|js|mjs|md|json|ya?ml|lua|conf|sh)|\/run|\/headgate)$/.test(path));
  for (const path of text) {
    const lines = read(path).split("\n");
    for (const [index, line] of lines.entries()) {
      for (const rule of [leftover, machinePath, registryHost]) {
        const found = rule.exec(line);
        if (found !== null) findings.push(`${path}:${index + 1}: ${found[0]}`);
      }
    }
  }
  assertNone(findings);
});
