import { createHash } from "node:crypto";
import { createRequire, isBuiltin } from "node:module";
import type { SourceMap } from "node:module";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import type { MiddlewareDefinition } from "./middleware.ts";
import { authorPlaces, pluginFileName, readMap, splitModule } from "./plugin-places.ts";

/** The name under which a bundled plugin hands over what its file exports. */
export const exportFunctionName = "headgateExport";

/** What a plugin may import beside node's own modules. They are the gateway's: the same classes on both sides. */
export const gatewayModulePattern = /^(?:headgate|@headgate\/schema|zod)(?:\/|$)/;

const loading = new Map<string, Promise<MiddlewareDefinition>>();
// Weak, so that a version goes when the last snapshot and exchange that use it are gone; without it 200 updates would
// leave 200 versions. What is in use is loaded once, however many names it has.
const loaded = new Map<string, WeakRef<MiddlewareDefinition>>();
const collected = new FinalizationRegistry<string>((sha256) => {
  if (loaded.get(sha256)?.deref() === undefined) loaded.delete(sha256);
});
/** Source maps in base64; read when a stack is shown. */
const maps = new WeakMap<MiddlewareDefinition, string>();

/**
 * Runs a bundled plugin and checks what it exports; per thread once while a version is in use. `module` is what
 * `bundlePlugin` made, `sha256` its digest in hex. A version that nobody uses any more is garbage like any other
 * object, which a module that node imports never is. Rejects with an Error whose message is for the plugin's author.
 */
export function loadPlugin(module: string, sha256: string): Promise<MiddlewareDefinition> {
  const known = loaded.get(sha256)?.deref();
  if (known !== undefined) return Promise.resolve(known);
  let running = loading.get(sha256);
  if (running === undefined) {
    running = load(module, sha256).finally(() => loading.delete(sha256));
    loading.set(sha256, running);
  }
  return running;
}

async function load(module: string, sha256: string): Promise<MiddlewareDefinition> {
  if (createHash("sha256").update(module).digest("hex") !== sha256) {
    throw new Error("the plugin's code does not have the digest it was announced with");
  }
  const { code, map } = splitModule(module);
  let namespace: unknown;
  try {
    await compile(code, sha256)(requireForPlugins, (exported) => {
      namespace = exported;
    });
  } catch (error) {
    throw new Error(`the plugin failed while it was loaded: ${messageOf(error)}`, { cause: error });
  }
  const definition = definitionOf(namespace);
  loaded.set(sha256, new WeakRef(definition));
  collected.register(definition, sha256);
  if (map !== undefined) maps.set(definition, map);
  return definition;
}

type Run = (require: (specifier: string) => unknown, take: (exported: unknown) => void) => Promise<void>;

/** As the body of an async function, for `await` at the top of a module. A bundle has no import and export statements. */
function compile(code: string, sha256: string): Run {
  // V8 would keep the last versions for identical code that is compiled again, and lets go of them only when memory
  // is short: measured, 0.4 MB for each update of a 200 KB plugin, without end. The gateway compiles no code twice.
  setFlagsFromString("--no-compilation-cache");
  const before = `(async function (require, ${exportFunctionName}) { "use strict"; `;
  // Lines and columns in stacks are those of `code`. The closing line is one of its own: code may end in a comment.
  const script = new Script(`${before}${code}\n})`, {
    filename: pluginFileName(sha256),
    columnOffset: -before.length,
  });
  return script.runInThisContext() as Run; // the function written above
}

const requireOwn = createRequire(import.meta.url);

/** The `require` of bundled code: node's modules and the gateway's own instances, nothing from any folder. */
function requireForPlugins(specifier: string): unknown {
  if (isBuiltin(specifier)) return requireOwn(specifier);
  if (!gatewayModulePattern.test(specifier)) {
    throw new Error(
      `"${specifier}" cannot be imported while a plugin runs; it may import "headgate", "zod" and node's modules`,
    );
  }
  // Resolved as an import: what `require` would find of zod is another instance with other classes.
  return requireOwn(fileURLToPath(import.meta.resolve(specifier)));
}

/** The stack of an error with the author's files and lines in it, where code of loaded plugins stands in it. */
export function authorStack(stack: string): string {
  const read = new Map<string, SourceMap>();
  return authorPlaces(stack, (sha256) => {
    const definition = loaded.get(sha256)?.deref();
    const map = definition === undefined ? undefined : maps.get(definition);
    if (map !== undefined && !read.has(sha256)) read.set(sha256, readMap(map));
    return read.get(sha256);
  });
}

/** Checks the default export of a plugin's module. Throws an Error that says what is missing. */
export function definitionOf(namespace: unknown): MiddlewareDefinition {
  const exported = isObject(namespace) ? namespace["default"] : undefined;
  if (exported === undefined) {
    throw new Error("the plugin has no default export; write `export default defineMiddleware({ ... })`");
  }
  if (!isObject(exported)) {
    throw new Error(`the plugin's default export is a ${typeof exported}; it must be what defineMiddleware returns`);
  }
  const { name, config, build } = exported;
  if (typeof name !== "string" || !/^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/.test(name)) {
    throw new Error('the plugin\'s "name" must be lower-case words with hyphens between them');
  }
  if (!isObject(config) || typeof config["safeParse"] !== "function" || !("_zod" in config)) {
    throw new Error('the plugin\'s "config" must be a zod 4 schema; import z from "headgate" or from "zod"');
  }
  if (typeof build !== "function") throw new Error('the plugin\'s "build" must be a function');
  // The shape is checked above; what the functions take and return is the author's word, which types have checked.
  return exported as unknown as MiddlewareDefinition;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
