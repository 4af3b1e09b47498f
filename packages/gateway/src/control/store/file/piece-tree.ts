import type { Path } from "@headgate/schema";
import { formatPath } from "@headgate/schema";
import { define } from "./coerce.ts";
import type { Surroundings } from "./expand.ts";
import { readsTheSame, recordReads } from "./recorded-reads.ts";
import type { RecordedRead } from "./recorded-reads.ts";
import { SourceTree } from "./source-tree.ts";
import type { DocumentTree, ExpandedText, Position, SourceProblem } from "./source-tree.ts";
import { splitText } from "./split-text.ts";
import type { SplitSection, Stretch } from "./split-text.ts";

/** What was read of stretches of a document, by what stands around them and their text. Holds no more than one text. */
export type PieceCache = Map<string, Map<string, Piece>>;

/** One stretch as it was read. Lines count from its own first one: a piece that moves stays the same. */
interface Piece {
  readonly name: string;
  readonly value: unknown;
  readonly problems: readonly SourceProblem[];
  readonly expanded: ReadonlyMap<string, ExpandedText>;
  readonly reads: readonly RecordedRead[];
  /** Places that were asked for: finding one costs parsing the piece again. */
  readonly places: Map<string, Position>;
}

/** A piece where it stands now. */
interface Placed {
  readonly piece: Piece;
  readonly text: string;
  readonly line: number;
}

type PlacedSection = { readonly line: number; readonly entries: ReadonlyMap<string, Placed> } | Placed;

/** An anchor; found in a text or comment as well, it costs only speed. */
const anchor = /(?:^|[\s,:[{])&[^\s,[\]{}]/m;

/**
 * Reads a document piece by piece, and only pieces that are not in `cache`: parsing ten thousand routes takes seconds,
 * one of them less than a millisecond. Answers what SourceTree would, or undefined where the document is for it to
 * read: the text does not come apart, or a piece has a problem of syntax, an alias or a repeated key. No syntax tree is
 * kept; `locate` parses a piece again.
 */
export function readPieces(text: string, surroundings: Surroundings, cache: PieceCache): DocumentTree | undefined {
  const sections = anchor.test(text) ? undefined : splitText(text);
  return sections === undefined ? undefined : new PieceReader(surroundings, cache).read(sections);
}

class PieceReader {
  readonly #surroundings: Surroundings;
  readonly #cache: PieceCache;
  readonly #next: PieceCache = new Map();
  #unusual = false;

  constructor(surroundings: Surroundings, cache: PieceCache) {
    this.#surroundings = surroundings;
    this.#cache = cache;
  }

  read(split: readonly SplitSection[]): DocumentTree | undefined {
    const sections = new Map<string, PlacedSection>();
    for (const section of split) {
      const [name, placed] = this.#section(section);
      if (sections.has(name)) this.#unusual = true;
      if (placed !== undefined) sections.set(name, placed);
    }
    // Replaced as a whole, also where a piece was unusual: a text that stays from an earlier document would keep all of
    // that document in memory.
    this.#cache.clear();
    for (const [key, pieces] of this.#next) this.#cache.set(key, pieces);
    return this.#unusual ? undefined : new PieceTree(sections);
  }

  #section(section: SplitSection): [string, PlacedSection | undefined] {
    if ("whole" in section) {
      const placed = this.#place(section.whole, []);
      return [placed?.piece.name ?? "", placed];
    }
    const entries = new Map<string, Placed>();
    for (const stretch of section.entries) {
      const placed = this.#place(stretch, [section.name]);
      if (placed === undefined) continue;
      if (entries.has(placed.piece.name)) this.#unusual = true;
      entries.set(placed.piece.name, placed);
    }
    return [section.name, { line: section.line, entries }];
  }

  #place({ text, line }: Stretch, base: Path): Placed | undefined {
    const around = base.join();
    const known = this.#cache.get(around)?.get(text);
    const valid = known !== undefined && readsTheSame(known.reads, this.#surroundings) ? known : undefined;
    // Once it is known that the document has to be read as a whole, only what is there is carried on.
    const piece = valid ?? (this.#unusual ? undefined : readPiece(text, base, this.#surroundings));
    if (piece === undefined) {
      this.#unusual = true;
      return undefined;
    }
    let pieces = this.#next.get(around);
    if (pieces === undefined) this.#next.set(around, (pieces = new Map()));
    pieces.set(text, piece);
    return { piece, text, line };
  }
}

function readPiece(text: string, base: Path, surroundings: Surroundings): Piece | undefined {
  const recording = recordReads(surroundings);
  const { unusual, value, problems, expanded } = new SourceTree(detached(text), recording, base);
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const [entry] = entries;
  if (unusual || entry === undefined || entries.length > 1) return undefined;
  return { name: entry[0], value: entry[1], problems, expanded, reads: recording.reads, places: new Map() };
}

/** A copy: values cut from the text itself would keep the whole document in memory for as long as one of them is used. */
function detached(text: string): string {
  return structuredClone(text);
}

class PieceTree implements DocumentTree {
  readonly value: unknown;
  readonly problems: readonly SourceProblem[];
  readonly expanded: ReadonlyMap<string, ExpandedText>;
  readonly #sections: ReadonlyMap<string, PlacedSection>;
  /** The piece that was parsed last: problems often come several at a time. */
  #parsed: { readonly piece: Piece; readonly tree: SourceTree } | undefined;

  constructor(sections: ReadonlyMap<string, PlacedSection>) {
    this.#sections = sections;
    const problems: SourceProblem[] = [];
    const expanded = new Map<string, ExpandedText>();
    const valueOf = ({ piece, line }: Placed): unknown => {
      if (piece.problems.length > 0)
        for (const problem of piece.problems) problems.push({ ...problem, position: below(problem.position, line) });
      if (piece.expanded.size > 0) for (const [path, text] of piece.expanded) expanded.set(path, text);
      return piece.value;
    };
    const values = {};
    for (const [name, section] of sections) {
      if ("entries" in section) {
        const entries = {};
        for (const [key, placed] of section.entries) define(entries, key, valueOf(placed));
        define(values, name, entries);
      } else define(values, name, valueOf(section));
    }
    this.value = values;
    this.problems = problems;
    this.expanded = expanded;
  }

  locate(path: Path, at: "key" | "value" = "value"): Position {
    const [first] = this.#sections.values();
    const section = path.length === 0 ? undefined : this.#sections.get(String(path[0]));
    if (section === undefined) return { line: first?.line ?? 1, column: 1 };
    if (!("entries" in section)) return this.#locateIn(section, path, at);
    const placed = path.length === 1 ? undefined : section.entries.get(String(path[1]));
    if (placed === undefined) return { line: section.line, column: 1 };
    return this.#locateIn(placed, path.slice(1), at);
  }

  release(): void {
    this.#parsed = undefined;
  }

  #locateIn({ piece, text, line }: Placed, path: Path, at: "key" | "value"): Position {
    const key = `${at} ${formatPath(path)}`;
    let place = piece.places.get(key);
    if (place === undefined) {
      if (this.#parsed?.piece !== piece) this.#parsed = { piece, tree: new SourceTree(text, nothing, [""]) };
      place = this.#parsed.tree.locate(path, at);
      piece.places.set(key, place);
    }
    return below(place, line);
  }
}

function below({ line, column }: Position, first: number): Position {
  return { line: line + first - 1, column };
}

/** For a text whose value is known. */
const nothing: Surroundings = { readEnv: () => undefined, readSecret: () => "" };
