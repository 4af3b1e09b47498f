import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { BuildFailure, BuildOptions, Message, Plugin as BundlerPlugin } from "esbuild";
import { exportFunctionName, gatewayModulePattern } from "../proxy/load-plugin.ts";
import { PluginError } from "./plugin-problem.ts";
import type { PluginProblem } from "./plugin-problem.ts";

/** A plugin as it is written: a file, or the text of one that came from a store. */
export type WrittenPlugin = { readonly path: string } | { readonly name: string; readonly source: string };

export interface BundledPlugin {
  /** Digest of `module`, hex. The same files give the same digest on every machine. */
  readonly sha256: string;
  /** What `loadPlugin` takes: one function's body, with its source map. */
  readonly module: string;
  /** Absolute paths of the files it was made from: those to watch. None for a plugin that came as text. */
  readonly inputs: readonly string[];
  /** The plugin's own file as problems name it: an absolute path, or `plugins/greet.ts` for one that came as text. */
  readonly file: string;
  /** How problems name each file, by its name in the source map. */
  readonly files: ReadonlyMap<string, string>;
  readonly warnings: readonly PluginProblem[];
}

/**
 * Bundles a user's middleware and all it imports into one function body. `headgate`, `@headgate/schema` and `zod` stay
 * the gateway's own, so that errors and schemas are the same classes on both sides and the author installs nothing.
 * What comes as text may import these and node's modules, nothing else. Types are removed, not checked. Rejects with a
 * PluginError.
 */
export async function bundlePlugin(plugin: WrittenPlugin): Promise<BundledPlugin> {
  const place = "source" in plugin ? placeOfText(plugin.name) : placeOfFile(plugin.path);
  const result = await build(place, {
    absWorkingDir: place.folder,
    // The names in comments and maps are relative to the plugin's folder, wherever that is.
    sourcemap: "inline",
    sourcesContent: false,
    // Not in the body of a function; dynamic imports become calls of `require` behind a promise.
    supported: { "dynamic-import": false, "import-meta": false },
    stdin: {
      contents: `import * as plugin from ${JSON.stringify(place.entry)}; ${exportFunctionName}(plugin);`,
      sourcefile: stubName,
      loader: "js",
      ...("source" in plugin ? {} : { resolveDir: place.folder }),
    },
    ...("source" in plugin
      ? { tsconfigRaw: {}, plugins: [sourceText(place.entry, plugin.source), gatewayModules] }
      : { define: importMeta(place.file), plugins: [gatewayModules] }),
  });
  const { text: module, sources, warnings } = result;
  const files = new Map(sources.map((name) => [name, place.fileOf(name)]));
  return {
    sha256: createHash("sha256").update(module).digest("hex"),
    module,
    inputs: "source" in plugin ? [] : [...files.values()],
    file: place.file,
    files,
    warnings,
  };
}

/**
 * The source to put into a store for a plugin's file: its text as it stands where it imports nothing of its own, else
 * one module with all of that in it. Rejects with a PluginError.
 */
export async function flattenPlugin(
  path: string,
): Promise<Pick<BundledPlugin, "inputs" | "warnings"> & { readonly source: string }> {
  const place = placeOfFile(path);
  const external: BundlerPlugin = {
    name: "gateway-modules",
    setup: ({ onResolve }) => onResolve({ filter: gatewayModulePattern }, () => ({ external: true })),
  };
  const { text, sources, warnings } = await build(place, {
    entryPoints: [place.file],
    absWorkingDir: place.folder,
    plugins: [external],
  });
  const inputs = sources.map((name) => place.fileOf(name));
  const source = inputs.length > 1 ? text : await readFile(place.file, "utf8");
  return { source, inputs, warnings };
}

/** Where a plugin stands, for the bundler and for problems. */
interface Place {
  readonly folder: string;
  /** What the bundler imports. */
  readonly entry: string;
  readonly file: string;
  /** From the bundler's name of a file to that of problems. */
  readonly fileOf: (name: string) => string;
}

function placeOfFile(path: string): Place {
  const file = resolve(path);
  const folder = dirname(file);
  return { folder, entry: `./${basename(file)}`, file, fileOf: (name) => resolve(folder, name) };
}

/** Text has no folder; what the bundler is given as one is never looked into. */
function placeOfText(name: string): Place {
  const file = `plugins/${name}.ts`;
  return { folder: "/", entry: file, file, fileOf: (source) => source.replace(/^text:/, "") };
}

const stubName = "<plugin>";
let building = 0;

async function build(place: Place, options: BuildOptions) {
  // Loaded when the first plugin is: most gateways have none, and it starts a process of its own.
  const esbuild = await import("esbuild");
  building++;
  try {
    const { outputFiles, metafile, warnings } = await esbuild.build({
      bundle: true,
      write: false,
      platform: "node",
      format: "esm",
      target: "node24",
      charset: "utf8",
      metafile: true,
      logLevel: "silent",
      ...options,
    });
    const [output] = outputFiles ?? [];
    if (output === undefined || metafile === undefined) throw new Error("the bundler made no output");
    const sources = Object.keys(metafile.inputs).filter((name) => !/^(?:<plugin>$|names:|gateway:)/.test(name));
    const found = warnings.map((message) => problemOf(message, "warning", place));
    if (found.some(({ severity }) => severity === "error")) throw new PluginError(found, [place.file]);
    return { text: output.text, sources, warnings: found };
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    const problems = error.errors.map((message) => problemOf(message, "error", place));
    throw new PluginError(problems, [...new Set([place.file, ...problems.map(({ file }) => file)])]);
  } finally {
    if (--building === 0) await esbuild.stop();
  }
}

/** A file that came as text: what else it imports has no place to be looked for. */
function sourceText(entry: string, source: string): BundlerPlugin {
  return {
    name: "source-text",
    setup(bundle) {
      bundle.onResolve({ filter: /.*/ }, ({ path, namespace, importer }) => {
        if (importer === stubName) return { path: entry, namespace: "text" };
        if (namespace !== "text" || isBuiltin(path) || gatewayModulePattern.test(path)) return undefined;
        const hint = "`headgate put` bundles what a file imports; or bundle it first";
        const text = `"${path}" cannot be imported: a plugin in a store is one file`;
        return { errors: [{ text, notes: [{ text: hint }] }] };
      });
      bundle.onLoad({ filter: /.*/, namespace: "text" }, () => ({ contents: source, loader: "ts" }));
    },
  };
}

/**
 * Modules that are not bundled but asked for when the plugin runs. `names` stands in front of the gateway's own: it
 * lists their exports, so that a misspelt one is found while bundling, with its line.
 */
const gatewayModules: BundlerPlugin = {
  name: "gateway-modules",
  setup(bundle) {
    bundle.onResolve({ filter: /.*/ }, ({ path, namespace }) => {
      if (namespace === "gateway") return { path, external: true };
      if (namespace === "names" || isBuiltin(path)) return { path, namespace: "gateway" };
      if (!gatewayModulePattern.test(path)) return undefined;
      try {
        import.meta.resolve(path);
        return { path, namespace: "names" };
      } catch {
        return { errors: [{ text: `"${path}" is not part of the gateway; plugins may import "headgate" and "zod"` }] };
      }
    });
    bundle.onLoad({ filter: /.*/, namespace: "names" }, async ({ path }) => {
      const names = Object.keys((await import(path)) as object); // a module's namespace
      return { contents: `export { ${names.join(", ")} } from ${JSON.stringify(path)};` };
    });
    bundle.onLoad({ filter: /.*/, namespace: "gateway" }, ({ path }) => {
      const asked = `require(${JSON.stringify(path)})`;
      // The mark makes `default` the default export, as it would be without a bundler.
      const module = isBuiltin(path) ? asked : `{ __proto__: null, __esModule: true, ...${asked} }`;
      return { contents: `module.exports = ${module};` };
    });
  },
};

/** A bundle is one function; what it knows of its place is that of the plugin's own file. */
function importMeta(file: string): Record<string, string> {
  return {
    "import.meta.url": JSON.stringify(pathToFileURL(file).href),
    "import.meta.filename": JSON.stringify(file),
    "import.meta.dirname": JSON.stringify(dirname(file)),
  };
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

function problemOf(message: Message, severity: "error" | "warning", place: Place): PluginProblem {
  const { location, id } = message;
  const where =
    location === null || location.file === stubName
      ? { file: place.file }
      : { file: place.fileOf(location.file), line: location.line, column: location.column + 1 };
  if (id === "empty-import-meta") return { severity: "error", ...importMetaProblem(place), ...where };
  const hint = message.notes[0]?.text;
  return {
    severity,
    message: textOf(message, place),
    ...(hint === undefined || hint === "" ? {} : { hint }),
    ...where,
  };
}

function importMetaProblem({ entry }: Place): Pick<PluginProblem, "message" | "hint"> {
  if (entry.startsWith("./")) {
    return { message: "of import.meta a plugin has url, filename and dirname only" };
  }
  return { message: "import.meta has no meaning in a plugin in a store", hint: "put what it reads into its text" };
}

/** Without our own names for what the author wrote. */
function textOf({ text }: Message, { file }: Place): string {
  return text.startsWith("Could not resolve") && text.includes(`./${basename(file)}`)
    ? `Could not resolve ${JSON.stringify(file)}`
    : text.replaceAll(/\bnames:(?=headgate|@headgate|zod)/g, "");
}
