/** A stretch of whole lines of a document. */
export interface Stretch {
  readonly text: string;
  /** The line of the document that `text` begins with, from 1. */
  readonly line: number;
}

/** What stands under one key of the top level. */
export type SplitSection =
  /** A block map: its entries can be read one by one. */
  | { readonly name: string; readonly line: number; readonly entries: readonly Stretch[] }
  /** Anything else: the key and what stands behind it. */
  | { readonly whole: Stretch };

const sectionHead = /^([A-Za-z][\w-]*):(?:[ ]+#.*|[ ]*)\r?$/;
const sectionKey = /^[A-Za-z][\w-]*:(?=[ \r]|$)/;
const entryKey = /^(?:[A-Za-z0-9_][\w.-]*|"[^"\\<]*"|'[^'<]*'):(?=[ \r]|$)/;

const newline = 10;
const carriageReturn = 13;
const tab = 9;
const space = 32;
const hash = 35;
const dash = 45;

/**
 * Cuts a YAML document where a reader of single lines can: in front of each key of the top level, and in front of each
 * key of the block maps below them. Undefined for whatever is not that plain: document markers, directives, flow style
 * at the top level, explicit keys, indentation that does not fit.
 *
 * A cut is where the whole document would begin a new key too, provided the stretches before it are complete by
 * themselves: what could reach across (an open quote or bracket) is a syntax error of its stretch, and whatever is
 * indented ends at a line that is indented less. So a document whose stretches all parse without a problem means what
 * they mean together. Anchors reach across as well; it is for the reader of the stretches to look for them.
 */
export function splitText(text: string): readonly SplitSection[] | undefined {
  // A carriage return alone is no line break here and might be one to others.
  if (/\r(?!\n)/.test(text)) return undefined;
  const splitter = new Splitter(text);
  let lineNumber = 1;
  for (let start = 0; start < text.length; lineNumber++) {
    const found = text.indexOf("\n", start);
    const end = found < 0 ? text.length : found + 1;
    if (!splitter.take(start, end, lineNumber)) return undefined;
    start = end;
  }
  return splitter.finish();
}

interface OpenSection {
  readonly start: number;
  readonly line: number;
  /** Empty where something stands behind the key: such a section stays whole. */
  readonly name: string;
  /** Of its entries; undefined until the first one, 0 where there are none. */
  indent: number | undefined;
  readonly cuts: { readonly start: number; readonly line: number }[];
}

class Splitter {
  readonly #text: string;
  readonly #sections: SplitSection[] = [];
  #open: OpenSection | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** Answers false where the document cannot be cut. */
  take(start: number, end: number, line: number): boolean {
    const text = this.#text;
    let at = start;
    while (text.charCodeAt(at) === space) at++;
    const first = at < end ? text.charCodeAt(at) : newline;
    // Blank lines and comments belong to what is before them.
    if (first === newline || first === carriageReturn || first === hash) return true;
    const indent = at - start;
    if (indent === 0) return this.#takeTop(start, end, line);
    const open = this.#open;
    if (open === undefined) return false;
    if (open.name === "" || open.indent === 0) return true;
    const isKey = (open.indent === undefined || open.indent === indent) && entryKey.test(text.slice(at, end).trimEnd());
    if (open.indent === undefined) {
      open.indent = isKey ? indent : 0;
      if (isKey) open.cuts.push({ start, line });
      return true;
    }
    if (indent > open.indent) return true;
    if (isKey) open.cuts.push({ start, line });
    // A list may stand as far left as its key. Whatever else is here is a mistake, or part of something unusual.
    return isKey || (indent === open.indent && this.#isItem(at));
  }

  finish(): readonly SplitSection[] | undefined {
    this.#close(this.#text.length);
    return this.#sections.length === 0 ? undefined : this.#sections;
  }

  #takeTop(start: number, end: number, line: number): boolean {
    const text = this.#text.slice(start, end).replace(/\n$/, "");
    if (!sectionKey.test(text)) {
      if (this.#open === undefined || !this.#isItem(start)) return false;
      // The section is a list that is not indented, or a mistake: either way it has no entries.
      this.#open.indent = 0;
      return true;
    }
    this.#close(start);
    this.#open = { start, line, name: sectionHead.exec(text)?.[1] ?? "", indent: undefined, cuts: [] };
    return true;
  }

  #isItem(at: number): boolean {
    const text = this.#text;
    if (text.charCodeAt(at) !== dash) return false;
    const next = at + 1 < text.length ? text.charCodeAt(at + 1) : newline;
    return next === space || next === newline || next === carriageReturn || next === tab;
  }

  #close(end: number): void {
    const open = this.#open;
    if (open === undefined) return;
    const { start, line, name, indent, cuts } = open;
    if (name === "" || indent === undefined || indent === 0) {
      this.#sections.push({ whole: { text: this.#text.slice(start, end), line } });
      return;
    }
    const entries = cuts.map((cut, index) => ({
      text: this.#text.slice(cut.start, cuts[index + 1]?.start ?? end),
      line: cut.line,
    }));
    this.#sections.push({ name, line, entries });
  }
}
