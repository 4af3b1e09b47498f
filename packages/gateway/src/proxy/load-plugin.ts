import { createHash, randomBytes } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { MiddlewareDefinition } from "./middleware.ts";

// One module a digest and thread, as ES modules are never unloaded: a plugin that many routes name is loaded once.
const loaded = new Map<string, Promise<MiddlewareDefinition>>();

/**
 * Imports a bundled plugin and checks what it exports; per snapshot and thread, each digest once. `module` is the text
 * of an ES module, `sha256` its digest in hex. The text is written to `<cacheDir>/<sha256>.mjs`; any number of threads
 * may do so at the same time. Rejects with an Error whose message is for the author of the plugin.
 */
export function loadPlugin(module: string, sha256: string, cacheDir: string): Promise<MiddlewareDefinition> {
  const known = loaded.get(sha256);
  if (known !== undefined) return known;
  const loading = load(module, sha256, cacheDir);
  loaded.set(sha256, loading);
  // A full disk may have room again; what the module itself did wrong fails the same way the next time.
  loading.catch(() => loaded.delete(sha256));
  return loading;
}

async function load(module: string, sha256: string, cacheDir: string): Promise<MiddlewareDefinition> {
  if (createHash("sha256").update(module).digest("hex") !== sha256) {
    throw new Error("the plugin's code does not have the digest it was announced with");
  }
  const path = await writeModule(module, sha256, resolve(cacheDir));
  let namespace: unknown;
  try {
    namespace = await import(pathToFileURL(path).href);
  } catch (error) {
    throw new Error(`the plugin failed while it was loaded: ${messageOf(error)}`, { cause: error });
  }
  return definitionOf(namespace);
}

/** Only the gateway's own user may write where it takes code from, and no thread sees half a file. */
async function writeModule(module: string, sha256: string, cacheDir: string): Promise<string> {
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const path = join(cacheDir, `${sha256}.mjs`);
  const temporary = join(cacheDir, `.${sha256}.${randomBytes(6).toString("hex")}`);
  try {
    await writeFile(temporary, module, { mode: 0o600, flag: "wx" });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return path;
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
