import { SourceMap } from "node:module";
import type { SourceMapPayload } from "node:module";

/** What stands in stacks for the code of the version with that digest, until `authorPlaces` has put the author's file there. */
export function pluginFileName(sha256: string): string {
  return `headgate-plugin:${sha256}`;
}

const mapComment = "\n//# sourceMappingURL=data:application/json;base64,";

/** A module's code, and its source map in base64 if it has one. */
export function splitModule(module: string): { readonly code: string; readonly map: string | undefined } {
  const at = module.lastIndexOf(mapComment);
  if (at === -1) return { code: module, map: undefined };
  return { code: module.slice(0, at), map: module.slice(at + mapComment.length).trim() };
}

/** The source map as `authorPlaces` takes it. */
export function readMap(base64: string): SourceMap {
  // What a bundler wrote for the code that has the digest it was announced with.
  return new SourceMap(JSON.parse(Buffer.from(base64, "base64").toString("utf8")) as SourceMapPayload);
}

/**
 * A stack with the author's files, lines and columns in place of those of bundled code, as far as `mapOf` knows the
 * code. File names are those the bundler was given. Done where a stack is shown: node's own source maps, switched on,
 * cost on every error that is made.
 */
export function authorPlaces(stack: string, mapOf: (sha256: string) => SourceMap | undefined): string {
  return stack.replace(/headgate-plugin:([0-9a-f]{64}):([0-9]+):([0-9]+)/g, (bundled, sha256: string, line, column) => {
    const entry = mapOf(sha256)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (entry === undefined || !("originalSource" in entry)) return bundled;
    return `${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}
