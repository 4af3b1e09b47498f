import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";

/** The repository's root, absolute. */
export const root = resolve(import.meta.dirname, "..");

const notOurs = new Set(["node_modules", ".git", "dist", "data"]);

/** Every file of the repository below `from`, as paths from the root with `/`, sorted. */
export function files(from = "."): string[] {
  const found: string[] = [];
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (notOurs.has(entry.name)) continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) found.push(relative(root, path));
    }
  };
  walk(resolve(root, from));
  return found.toSorted();
}

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** A fenced block of a Markdown page. */
export interface CodeBlock {
  readonly page: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** What stands behind the opening fence: `yaml`, `ts run`, `ts file=path`. */
  readonly info: string;
  /** The line before the block, trimmed; `<!-- fragment -->` marks a block that is not whole. */
  readonly before: string;
  readonly text: string;
}

/** The fenced blocks of a page, in order. A fence that is never closed runs to the end, as in CommonMark. */
export function codeBlocks(page: string, markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const lines = markdown.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const open = /^(\s*)(`{3,})([^`]*)$/.exec(lines[i] ?? "");
    if (open === null) continue;
    const [, indent = "", fence = "```", info = ""] = open;
    const start = i;
    const body: string[] = [];
    for (i++; i < lines.length && !(lines[i] ?? "").trim().startsWith(fence); i++) {
      const line = lines[i] ?? "";
      body.push(line.startsWith(indent) ? line.slice(indent.length) : line);
    }
    const before = lines.slice(0, start).findLast((line) => line.trim() !== "") ?? "";
    blocks.push({ page, line: start + 1, info: info.trim(), before: before.trim(), text: body.join("\n") + "\n" });
  }
  return blocks;
}

/** Markdown without its fenced blocks and inline code, for looking at links. */
export function proseOf(markdown: string): string {
  return markdown.replaceAll(/^\s*(`{3,})[\s\S]*?^\s*\1\s*$/gm, "").replaceAll(/`[^`\n]*`/g, "");
}
