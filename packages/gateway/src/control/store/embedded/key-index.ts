import type { Key, KeyRange } from "../store.ts";
import { KeyEntry, versionAt } from "./version.ts";

/** Neighbouring keys. */
export interface Block {
  readonly entries: KeyEntry[];
  /** Keys whose newest version is not a deletion. */
  live: number;
  /** The revision of the newest write to any of them. */
  changedRevision: number;
}

/** Entries of a block before it is split: inserting moves at most as many pointers. */
const blockEntriesMax = 256;

/**
 * All keys in byte order: a sorted list of sorted blocks. A new key costs two binary searches; counting a range costs one
 * step a block, so paging through 100,000 keys does not count 100,000 keys for every page.
 */
export class KeyIndex {
  readonly #blocks: Block[] = [];
  /** A write looks its key up three times; searching among 100,000 keys takes ten times as long as this. */
  readonly #entries = new Map<Key, KeyEntry>();

  find(key: Key): KeyEntry | undefined {
    return this.#entries.get(key);
  }

  /** The entry of a key, made if there is none. */
  open(key: Key): KeyEntry {
    const found = this.#entries.get(key);
    if (found !== undefined) return found;
    const at = this.#blockOf(key);
    const block = this.#blocks[at] ?? this.#firstBlock();
    const entry = new KeyEntry(key);
    entry.block = block;
    block.entries.splice(lowerBound(block.entries, key), 0, entry);
    this.#entries.set(key, entry);
    if (block.entries.length > blockEntriesMax) this.#split(at);
    return entry;
  }

  /** To be called after each write to an entry. `liveChange`: 1 when the key came to be, -1 when it was deleted. */
  changed(entry: KeyEntry, revision: number, liveChange: number): void {
    if (entry.block === undefined) return;
    entry.block.live += liveChange;
    entry.block.changedRevision = revision;
  }

  /** Forgets an entry whose newest version is a deletion. */
  remove(entry: KeyEntry): void {
    const at = this.#blockOf(entry.key);
    const block = this.#blocks[at];
    if (block === undefined) return;
    const position = lowerBound(block.entries, entry.key);
    if (block.entries[position] !== entry) return;
    block.entries.splice(position, 1);
    this.#entries.delete(entry.key);
    entry.block = undefined;
    entry.newest = undefined;
    if (block.entries.length === 0) this.#blocks.splice(at, 1);
  }

  /** Every entry of a range in order, until `visit` answers false. Nothing may be added or removed meanwhile. */
  visit(range: KeyRange, visit: (entry: KeyEntry) => boolean): void {
    if (range.end === undefined) {
      const entry = this.find(range.key);
      if (entry !== undefined) visit(entry);
      return;
    }
    for (let at = this.#blockOf(range.key); at < this.#blocks.length; at++) {
      const entries = this.#blocks[at]?.entries ?? [];
      for (let position = lowerBound(entries, range.key); position < entries.length; position++) {
        const entry = entries[position];
        if (entry === undefined || (range.end !== "\0" && entry.key >= range.end) || !visit(entry)) return;
      }
    }
  }

  /** Keys that the range held at a revision. */
  count(range: KeyRange, revision: number): number {
    if (range.end === undefined) {
      const entry = this.find(range.key);
      return entry !== undefined && versionAt(entry, revision) !== undefined ? 1 : 0;
    }
    let count = 0;
    for (let at = this.#blockOf(range.key); at < this.#blocks.length; at++) {
      const block = this.#blocks[at];
      const first = block?.entries[0];
      const last = block?.entries.at(-1);
      if (block === undefined || first === undefined || last === undefined) continue;
      if (range.end !== "\0" && first.key >= range.end) break;
      const whole = first.key >= range.key && (range.end === "\0" || last.key < range.end);
      count += whole && block.changedRevision <= revision ? block.live : countIn(block, range, revision);
    }
    return count;
  }

  /** The last block that begins at or before a key; the first if none does. */
  #blockOf(key: Key): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = this.#blocks[middle]?.entries[0];
      if (first !== undefined && first.key <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #firstBlock(): Block {
    const block: Block = { entries: [], live: 0, changedRevision: 0 };
    this.#blocks.push(block);
    return block;
  }

  #split(at: number): void {
    const block = this.#blocks[at];
    if (block === undefined) return;
    const upper: Block = {
      entries: block.entries.splice(block.entries.length >>> 1),
      live: 0,
      changedRevision: block.changedRevision,
    };
    for (const entry of upper.entries) {
      entry.block = upper;
      if (entry.newest !== undefined && entry.newest.version > 0) upper.live++;
    }
    block.live -= upper.live;
    this.#blocks.splice(at + 1, 0, upper);
  }
}

function countIn(block: Block, range: KeyRange, revision: number): number {
  let count = 0;
  for (let position = lowerBound(block.entries, range.key); position < block.entries.length; position++) {
    const entry = block.entries[position];
    if (entry === undefined || (range.end !== undefined && range.end !== "\0" && entry.key >= range.end)) break;
    if (versionAt(entry, revision) !== undefined) count++;
  }
  return count;
}

/** The position of the first entry at or after a key. */
function lowerBound(entries: readonly KeyEntry[], key: Key): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && entry.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
