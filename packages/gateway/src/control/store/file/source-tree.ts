import type { Path, Problem } from "@headgate/schema";
import { formatPath, quote } from "@headgate/schema";
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Alias, Document, Node, Pair, YAMLError, YAMLMap } from "yaml";
import { expandText } from "./expand.ts";
import type { Surroundings } from "./expand.ts";
import { readPlainJson } from "./plain-json.ts";

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

export interface SourceProblem extends Pick<Problem, "message" | "hint" | "severity"> {
  readonly path: Path;
  readonly position: Position;
}

/** A text into which something was put. */
export interface ExpandedText {
  /** As it is written in the document. */
  readonly source: string;
  readonly text: string;
}

/** What aliases may add to a document, in values: a few nested ones could stand for billions ("billion laughs"). */
const aliasedValuesMax = 100_000;
const depthMax = 100;
/** UTF-16 units. Beyond it a document is a mistake, and parsing it would stall the control thread for minutes. */
export const documentLengthMax = 64 * 1024 * 1024;

/** A document that was read. */
export interface DocumentTree {
  /** Undefined where the text could not be read; null where it says nothing. */
  readonly value: unknown;
  readonly problems: readonly SourceProblem[];
  /** By `formatPath`. */
  readonly expanded: ReadonlyMap<string, ExpandedText>;
  /** Where a part stands, or the nearest part around it that is written. `key`: its name rather than its value. */
  locate(path: Path, at?: "key" | "value"): Position;
  /** Lets go of what `locate` needs and what can be had again from the text. */
  release(): void;
}

/** One YAML or JSON document: its plain value, and where each part of it stands. JSON is read as the YAML it also is. */
export class SourceTree implements DocumentTree {
  readonly value: unknown;
  readonly problems: SourceProblem[] = [];
  readonly expanded = new Map<string, ExpandedText>();
  /** Whether the value shares no memory with the text. */
  readonly detached: boolean = false;
  /** Whether there are syntax problems, anchors or aliases: what a text may mean differently as a part of another. */
  unusual = false;
  #lines = new LineCounter();
  /** In place of what was released. */
  #again: SourceTree | undefined;
  #released = false;
  readonly #surroundings: Surroundings;
  readonly #text: string;
  /** Undefined until someone asks for a place in plain JSON. */
  #root: Node | null | undefined;
  readonly #anchors = new Map<string, Node>();
  // An alias stands for the anchor that was last seen when it was written, wherever it is read from later.
  readonly #targets = new Map<Alias, Node>();
  readonly #pairs = new Map<YAMLMap, ReadonlyMap<string, Pair>>();
  readonly #open = new Set<Node>();
  #aliasDepth = 0;
  #aliasedValues = 0;

  /** `base`: the path of the text where it is a part of a document; paths given to `locate` start below it. */
  constructor(text: string, surroundings: Surroundings, base: Path = []) {
    this.#surroundings = surroundings;
    this.#text = text;
    const plain = text.length > documentLengthMax || base.length > 0 ? undefined : readPlainJson(text, depthMax);
    if (plain !== undefined) {
      this.value = this.#readPlain(plain, base);
      this.detached = true;
      return;
    }
    this.#root = this.#parse();
    // After a syntax error the tree is a guess; problems found in it would lead astray.
    const broken = this.problems.some((problem) => problem.severity === "error");
    this.value = broken ? undefined : this.#read(this.#root, base);
  }

  locate(path: Path, at: "key" | "value" = "value"): Position {
    if (this.#released) return (this.#again ??= new SourceTree(this.#text, nothing)).locate(path, at);
    let node: Node | null = (this.#root ??= this.#parse());
    let offset = offsetOf(node);
    for (const part of path) {
      const found = this.#child(node, part);
      if (found === undefined) break;
      ({ value: node, offset } = found);
    }
    // A map begins at its first key, often on the next line: its own name is what a reader looks for.
    const scalar = isScalar(node) && node.range !== undefined && node.value !== null;
    return this.#position(at === "value" && scalar ? offsetOf(node) : offset);
  }

  release(): void {
    this.#released = true;
    this.#again = undefined;
    this.#root = undefined;
    this.#lines = new LineCounter();
    this.#anchors.clear();
    this.#targets.clear();
    this.#pairs.clear();
  }

  #parse(): Node | null {
    if (this.#text.length > documentLengthMax) {
      this.#add([], `the document is larger than ${documentLengthMax / 1024 ** 2} MiB`, 0);
      return null;
    }
    let document: Document.Parsed;
    try {
      // Unique keys are checked below: the parser's own check compares each key with each.
      const options = { strict: true, uniqueKeys: false, prettyErrors: false, stringKeys: true };
      document = parseDocument(this.#text, { ...options, lineCounter: this.#lines });
    } catch (error) {
      const reason = error instanceof RangeError ? "is nested too deeply" : `could not be read: ${String(error)}`;
      this.unusual = true;
      this.#add([], `the document ${reason}`, 0);
      return null;
    }
    // Where brackets nest by the thousand the parser reports its own exhausted stack, once a level.
    const exhausted = document.errors.some(({ message }) => /call stack|Stack overflow/.test(message));
    if (exhausted) this.#add([], "the document is nested too deeply", 0);
    this.unusual ||= exhausted;
    for (const problem of exhausted ? [] : document.errors) this.#addSyntax(problem, "error");
    for (const problem of document.warnings) this.#addSyntax(problem, "warning");
    return document.contents;
  }

  #readPlain(value: unknown, path: Path): unknown {
    if (typeof value === "string") return this.#readText(value, path, () => this.locate(path));
    if (Array.isArray(value)) return value.map((item: unknown, index) => this.#readPlain(item, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#readPlain(item, [...path, key])]));
  }

  #read(node: Node | null, path: Path): unknown {
    if (this.#aliasDepth > 0 && ++this.#aliasedValues > aliasedValuesMax) {
      if (this.#aliasedValues === aliasedValuesMax + 1) {
        this.#add(path, `aliases stand for more than ${aliasedValuesMax} values`, offsetOf(node));
      }
      return null;
    }
    if (path.length > depthMax) {
      if (path.length === depthMax + 1) this.#add(path, `is nested more than ${depthMax} levels deep`, offsetOf(node));
      return null;
    }
    if (isAlias(node)) return this.#readAlias(node, path);
    if (node !== null && "anchor" in node && typeof node.anchor === "string") {
      this.unusual = true;
      this.#anchors.set(node.anchor, node);
    }
    if (isScalar(node)) {
      if (typeof node.value !== "string") return node.value;
      return this.#readText(node.value, path, () => this.#position(offsetOf(node)));
    }
    if (!isMap(node) && !isSeq(node)) return null;
    this.#open.add(node);
    const value = isMap(node)
      ? this.#readMap(node.items, path)
      : node.items.map((item, index) => this.#read(nodeOf(item), [...path, index]));
    this.#open.delete(node);
    return value;
  }

  #readMap(pairs: readonly Pair[], path: Path): Record<string, unknown> {
    const own = new Map<string, unknown>();
    const merged = new Map<string, unknown>();
    for (const pair of pairs) {
      const key = keyOf(pair);
      const at = [...path, key];
      const offset = offsetOf(nodeOf(pair.key));
      if (key === "<<") {
        for (const [name, value] of this.#readMerged(nodeOf(pair.value), path, offset)) {
          if (!merged.has(name)) merged.set(name, value);
        }
        continue;
      }
      if (own.has(key)) {
        this.#add(at, `the key ${quote(key)} appears twice`, offset, "remove one of the two");
        continue;
      }
      // Objects that get a prototype from a document mislead whatever reads them.
      if (key === "__proto__") this.#add(at, `${quote(key)} cannot be a key`, offset);
      own.set(key, this.#read(nodeOf(pair.value), at));
    }
    return Object.fromEntries([...merged, ...own]);
  }

  /** `<<: *base` and `<<: [*a, *b]`: the keys of other maps, behind a map's own; earlier ones come first. */
  #readMerged(node: Node | null, path: Path, offset: number): [string, unknown][] {
    if (isSeq(node)) return node.items.flatMap((item) => this.#readMerged(nodeOf(item), path, offset));
    const value = this.#read(node, path);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return Object.entries(value);
    this.#add(path, '"<<" takes a map or a list of maps', offset);
    return [];
  }

  #readAlias(alias: Alias, path: Path): unknown {
    this.unusual = true;
    const target = this.#targets.get(alias) ?? this.#anchors.get(alias.source);
    if (target === undefined) {
      this.#add(path, `the alias ${quote(`*${alias.source}`)} has no anchor before it`, offsetOf(alias));
      return null;
    }
    this.#targets.set(alias, target);
    if (this.#open.has(target)) {
      this.#add(path, `the alias ${quote(`*${alias.source}`)} stands for something that holds it`, offsetOf(alias));
      return null;
    }
    this.#aliasDepth++;
    const value = this.#read(target, path);
    this.#aliasDepth--;
    return value;
  }

  #readText(written: string, path: Path, place: () => Position): string {
    const { text, expanded, problems } = expandText(written, this.#surroundings);
    for (const problem of problems) this.problems.push({ ...problem, path, position: place() });
    if (expanded) this.expanded.set(formatPath(path), { source: written, text });
    return text;
  }

  #child(node: Node | null, part: string | number): { value: Node | null; offset: number } | undefined {
    const container = isAlias(node) ? (this.#targets.get(node) ?? null) : node;
    if (isSeq(container)) {
      if (typeof part !== "number" || part >= container.items.length) return undefined;
      const item = nodeOf(container.items[part]);
      return { value: item, offset: offsetOf(item) };
    }
    if (!isMap(container)) return undefined;
    const own = this.#pairsOf(container).get(String(part));
    if (own !== undefined) return { value: nodeOf(own.value), offset: offsetOf(nodeOf(own.key)) };
    for (const pair of container.items) {
      if (keyOf(pair) !== "<<") continue;
      const merged = nodeOf(pair.value);
      for (const one of isSeq(merged) ? merged.items.map(nodeOf) : [merged]) {
        const found = this.#child(one, part);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** Ten thousand routes with a problem each would otherwise be looked for ten thousand times from the first. */
  #pairsOf(map: YAMLMap): ReadonlyMap<string, Pair> {
    let pairs = this.#pairs.get(map);
    // In reverse, so that of a repeated key the first stays.
    pairs ??= new Map(map.items.map((pair): [string, Pair] => [keyOf(pair), pair]).reverse());
    this.#pairs.set(map, pairs);
    return pairs;
  }

  #add(path: Path, message: string, offset: number, hint?: string): void {
    const position = this.#position(offset);
    this.problems.push({ path, message, ...(hint === undefined ? {} : { hint }), severity: "error", position });
  }

  #addSyntax(error: YAMLError, severity: "error" | "warning"): void {
    this.unusual = true;
    const told = error.message.split("\n", 1)[0] ?? error.message;
    const hint = error.code === "TAB_AS_INDENT" ? "indent with spaces" : undefined;
    const position = this.#position(error.pos[0]);
    this.problems.push({ path: [], message: told, ...(hint === undefined ? {} : { hint }), severity, position });
  }

  #position(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return line === 0 ? { line: 1, column: 1 } : { line, column: col };
  }
}

/** For a text whose value is known. */
const nothing: Surroundings = { readEnv: () => undefined, readSecret: () => "" };

function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value ?? "") : "";
}

function offsetOf(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}

/** The parser's types allow plain values where a parsed document only has nodes. */
function nodeOf(value: unknown): Node | null {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value) ? value : null;
}
