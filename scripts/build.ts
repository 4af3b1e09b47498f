/**
 * `npm run build [-- DIRECTORY]`: the packages as they are published, JavaScript with declarations, in dist/<package>:
 * `npm pack dist/gateway`. The repository itself runs from the TypeScript sources and never needs this.
 */
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { files, read, root } from "./tree.ts";

const packages = ["schema", "client", "gateway"];

if (import.meta.main) {
  const out = resolve(process.argv[2] ?? join(root, "dist"));
  const problems = build(out);
  for (const problem of problems) console.error(problem);
  if (problems.length === 0) console.log(`built ${packages.map((name) => join(out, name)).join(" and ")}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

/** Builds every package below `out`; returns what the compiler objects to. */
export function build(out: string): string[] {
  const problems: string[] = [];
  for (const name of packages) {
    const target = join(out, name);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    problems.push(...compile(name, join(target, "dist")));
    writeFileSync(join(target, "package.json"), `${JSON.stringify(publishedManifest(name), null, 2)}\n`);
    copyFileSync(join(root, "LICENSE"), join(target, "LICENSE"));
    copyExtras(name, target);
  }
  return problems;
}

function compile(name: string, outDir: string): string[] {
  const sources = files(`packages/${name}/src`).filter((path) => path.endsWith(".ts"));
  const published = sources
    .filter((path) => !/\.(test|suite|model|fixtures)\.ts$/.test(path))
    .map((path) => join(root, path));
  const base = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(base.config, ts.sys, root);
  const program = ts.createProgram(published, {
    ...options,
    noEmit: false,
    // `./a.ts` becomes `./a.js`; only possible because every relative import names its file.
    rewriteRelativeImportExtensions: true,
    declaration: true,
    outDir,
    rootDir: join(root, `packages/${name}/src`),
    // Without it the schema's sources would be compiled into the gateway, through the workspace's link.
    preserveSymlinks: true,
  });
  const emitted = program.emit();
  return [...ts.getPreEmitDiagnostics(program), ...emitted.diagnostics].map((diagnostic) => {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
    if (diagnostic.file === undefined || diagnostic.start === undefined) return text;
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    return `${diagnostic.file.fileName}:${line + 1}: ${text}`;
  });
}

/** The package's manifest with its exports pointing at the built files. */
function publishedManifest(name: string): object {
  const manifest = JSON.parse(read(`packages/${name}/package.json`)) as { exports: Record<string, string> }; // ours
  const exports = Object.entries(manifest.exports).map(([path, source]) => {
    const built = source.replace("./src/", "./dist/").replace(/\.ts$/, "");
    return [path, { types: `${built}.d.ts`, default: `${built}.js` }] as const;
  });
  // Not in the source manifest: there npm would warn on machines whose own Node is older than the one it installs.
  const engines = { node: ">=24" };
  return { ...manifest, engines, exports: Object.fromEntries(exports), files: ["bin", "dist", "LICENSE"] };
}

function copyExtras(name: string, target: string): void {
  // What sources read from beside themselves.
  for (const path of files(`packages/${name}/src`).filter((file) => /\.(proto|lua)$/.test(file))) {
    copyFileSync(join(root, path), join(target, "dist", path.slice(`packages/${name}/src/`.length)));
  }
  const bin = join(root, `packages/${name}/bin`);
  if (!existsSync(bin)) return;
  cpSync(bin, join(target, "bin"), { recursive: true });
  chmodSync(join(target, "bin/headgate"), 0o755);
}
