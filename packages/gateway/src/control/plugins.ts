import { createHash } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { BuildFailure, Message, Plugin } from "esbuild";
import type { Timers } from "../core/timers.ts";
import type { PluginTrial, PluginTrialData } from "./try-plugin.ts";

/** How long a plugin may take to load, milliseconds. A module that loops would hold a worker for ever. */
export const pluginLoadMsMax = 2000;
/** Modules kept in the cache besides those in use. */
const cachedModulesMax = 50;
/** Heap of the thread that tries a plugin, MiB: a plugin that eats memory while it loads ends that thread alone. */
const trialHeapMiB = 256;

/** What is wrong in a plugin's file or in one it imports. Lines and columns from 1; absent where nothing is known. */
export interface PluginProblem {
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly hint?: string;
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** A plugin that cannot be used. */
export class PluginError extends Error {
  /** At least one. */
  readonly problems: readonly PluginProblem[];
  /** Absolute paths of files whose change may mend it. */
  readonly inputs: readonly string[];

  constructor(problems: readonly PluginProblem[], inputs: readonly string[]) {
    super(problems.map((problem) => problem.message).join("; "));
    this.name = "PluginError";
    this.problems = problems;
    this.inputs = inputs;
  }
}

export interface BundledPlugin {
  /** Digest of `module`, hex. */
  readonly sha256: string;
  /** The text of one ES module; its imports are absolute, so that it runs from any place on this machine. */
  readonly module: string;
  /** Absolute paths of the files it was made from: those to watch. */
  readonly inputs: readonly string[];
  readonly warnings: readonly PluginProblem[];
}

/**
 * Bundles a user's middleware and all it imports into one module. `headgate`, `@headgate/schema` and `zod` stay the
 * gateway's own, so that errors and schemas are the same classes on both sides and the author installs nothing.
 * Types are removed, not checked. Rejects with a PluginError.
 */
export async function bundlePlugin(path: string): Promise<BundledPlugin> {
  const entry = resolve(path);
  // The names in comments and maps are relative to this, so that the same files give the same digest from any place
  // the gateway is started in.
  const folder = dirname(entry);
  const problemOf = (severity: "error" | "warning") => (message: Message) => problemOfMessage(message, severity, entry);
  try {
    const result = await build(entry, folder);
    const [output] = result.outputFiles;
    if (output === undefined) throw new Error("esbuild made no output");
    const inputs = Object.entries(result.metafile.inputs);
    const module = inputs.some(([, input]) => input.format === "cjs") ? requireForCommonJs + output.text : output.text;
    return {
      sha256: createHash("sha256").update(module).digest("hex"),
      module,
      inputs: inputs.map(([name]) => resolve(folder, name)),
      warnings: result.warnings.map(problemOf("warning")),
    };
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    const problems = error.errors.map(problemOf("error"));
    throw new PluginError(problems, [...new Set([entry, ...problems.map(({ file }) => file)])]);
  }
}

// Packages written for `require` may ask for node's own modules while they run. On the first line, without a line of
// its own, so that the source map stays right.
const requireForCommonJs =
  'import { createRequire as headgateCreateRequire } from "node:module"; const require = headgateCreateRequire(import.meta.url); ';

let building = 0;

async function build(entry: string, folder: string) {
  // Loaded when the first plugin is: most gateways have none, and it starts a process of its own.
  const esbuild = await import("esbuild");
  building++;
  try {
    return await esbuild.build({
      entryPoints: [entry],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      platform: "node",
      format: "esm",
      target: "node24",
      charset: "utf8",
      sourcemap: "inline",
      sourceRoot: pathToFileURL(join(folder, "/")).href,
      metafile: true,
      logLevel: "silent",
      plugins: [gatewayModules],
    });
  } finally {
    if (--building === 0) await esbuild.stop();
  }
}

const gatewayModules: Plugin = {
  name: "gateway-modules",
  setup(bundle) {
    bundle.onResolve({ filter: /^(?:headgate|@headgate\/schema|zod)(?:\/|$)/ }, ({ path }) => {
      try {
        return { path: import.meta.resolve(path), external: true };
      } catch {
        return { errors: [{ text: `"${path}" is not part of the gateway; plugins may import "headgate" and "zod"` }] };
      }
    });
  },
};

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

function problemOfMessage(message: Message, severity: "error" | "warning", entry: string): PluginProblem {
  const { location } = message;
  const hint = message.notes[0]?.text;
  return {
    severity,
    message: message.text,
    ...(hint === undefined || hint === "" ? {} : { hint }),
    ...(location === null
      ? { file: entry }
      : { file: resolve(dirname(entry), location.file), line: location.line, column: location.column + 1 }),
  };
}

/**
 * Loads a bundled plugin in a thread of its own that is thrown away: what would stop or end a worker ends that thread.
 * Resolves to the name of the middleware; rejects with a PluginError. `path` is the plugin's file, for messages.
 */
export async function tryPlugin(
  { module, sha256, inputs }: Pick<BundledPlugin, "module" | "sha256" | "inputs">,
  path: string,
  cacheDir: string,
  timers: Timers,
): Promise<string> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./try-plugin.${extension}`, import.meta.url), {
    workerData: { module, sha256, cacheDir } satisfies PluginTrialData,
    // What it prints it will print again where it is used.
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: trialHeapMiB },
  });
  worker.stdout.resume();
  worker.stderr.resume();
  let disarm = (): void => undefined;
  const trial = await new Promise<PluginTrial>((settle) => {
    const fail = (message: string, stack = ""): void => settle({ kind: "failed", message, stack });
    worker.on("message", (message: PluginTrial) => {
      if (message.kind !== "loading") return settle(message);
      // From here on it is the plugin's time: how long a thread takes to start is not its fault.
      disarm = timers.after(pluginLoadMsMax, () =>
        fail(`the plugin does not finish loading within ${pluginLoadMsMax / 1000} s`),
      );
    });
    worker.on("error", (error: unknown) => fail(`the plugin failed while it was loaded: ${String(error)}`));
    worker.on("exit", () => fail("the plugin ended its thread, or waits for what never comes, while it was loaded"));
  });
  disarm();
  await worker.terminate();
  if (trial.kind === "loaded") return trial.name;
  const problem: PluginProblem = {
    severity: "error",
    message: trial.kind === "failed" ? trial.message : "the plugin was not loaded",
    file: resolve(path),
    ...(trial.kind === "failed" ? placeInStack(trial.stack, inputs) : {}),
  };
  throw new PluginError([problem], inputs);
}

/** The first line of the stack that lies in one of the plugin's own files. */
function placeInStack(
  stack: string,
  inputs: readonly string[],
): { readonly file: string; readonly line: number; readonly column: number } | Record<string, never> {
  for (const [, place = "", line, column] of stack.matchAll(/^\s+at (?:.*\()?(.+?):([0-9]+):([0-9]+)\)?$/gm)) {
    const file = place.startsWith("file://") ? fileURLToPath(place) : place;
    if (inputs.includes(file)) return { file, line: Number(line), column: Number(column) };
  }
  return {};
}

/** Removes cached modules that nobody uses, all but the newest 50. `inUse`: digests. Run when no plugin is loading. */
export async function prunePluginCache(cacheDir: string, inUse: ReadonlySet<string>): Promise<void> {
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const unused = (await readdir(cacheDir)).filter(
    (name) => /^[0-9a-f]{64}\.mjs$/.test(name) && !inUse.has(basename(name, ".mjs")),
  );
  const aged = await Promise.all(
    unused.map(async (name) => ({ name, changedMs: (await stat(join(cacheDir, name))).mtimeMs })),
  );
  aged.sort((a, b) => b.changedMs - a.changedMs);
  for (const { name } of aged.slice(cachedModulesMax)) await rm(join(cacheDir, name), { force: true });
}
