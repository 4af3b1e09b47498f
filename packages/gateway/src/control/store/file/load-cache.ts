import type { ValidationCache } from "@headgate/schema";
import { validationCache } from "@headgate/schema";
import type { Surroundings } from "./expand.ts";
import { readPieces } from "./piece-tree.ts";
import type { PieceCache } from "./piece-tree.ts";
import { shareEntries } from "./share.ts";
import { SourceTree } from "./source-tree.ts";
import type { DocumentTree } from "./source-tree.ts";

interface FileCache {
  readonly pieces: PieceCache;
  /** What the file said when it could be read last. */
  value: unknown;
}

interface Changed {
  readonly changes: string;
  readonly value: unknown;
}

/**
 * What one load leaves to the next, so that a change costs what it changes. Given one, `loadFiles` answers the same as
 * without, and parts that did not change are the same objects as before: whoever compares them is done at once. Keeps
 * the newest text of each file, and no syntax tree.
 */
export class LoadCache {
  readonly validation: ValidationCache = validationCache();
  #files = new Map<string, FileCache>();
  /** Entries in which text from the environment became numbers, by the entry as it was read. */
  readonly #changed = new WeakMap<object, Changed>();

  /** Reads the text of a file; `value` is that of the tree, with what did not change shared. */
  read(file: string, text: string, surroundings: Surroundings): { tree: DocumentTree; value: unknown } {
    const cache = this.#files.get(file) ?? { pieces: new Map(), value: undefined };
    this.#files.set(file, cache);
    const pieces = readPieces(text, surroundings, cache.pieces);
    if (pieces !== undefined) {
      cache.value = pieces.value;
      return { tree: pieces, value: pieces.value };
    }
    const tree = new SourceTree(text, surroundings);
    if (tree.value === undefined) return { tree, value: undefined };
    cache.value = shareEntries(cache.value, tree.value, !tree.detached);
    return { tree, value: cache.value };
  }

  /** Forgets files that are no longer read. */
  keep(files: ReadonlySet<string>): void {
    for (const file of this.#files.keys()) if (!files.has(file)) this.#files.delete(file);
  }

  /** `make()`, or what it answered the last time the same was done to the same entry. */
  changed(entry: object, changes: string, make: () => unknown): unknown {
    const known = this.#changed.get(entry);
    if (known?.changes === changes) return known.value;
    const value = make();
    this.#changed.set(entry, { changes, value });
    return value;
  }
}
