import { costOf } from "./version.ts";
import type { Version } from "./version.ts";

/** Head of the list that is empty before it is cut off: cutting costs a copy of the rest. */
const emptyHeadMax = 4_096;

/** The writes of each revision, oldest first. Revisions follow each other without a gap. */
export class History {
  #revisions: (readonly Version[])[] = [];
  #head = 0;
  #first: number;
  #bytes = 0;

  /** `first`: the revision of the first append. */
  constructor(first: number) {
    this.#first = first;
  }

  /** The oldest revision that is kept; the next one when there is none. */
  get first(): number {
    return this.#first;
  }

  /** The revision of the next append. */
  get next(): number {
    return this.#first + this.#revisions.length - this.#head;
  }

  /** What it takes in memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  append(versions: readonly Version[]): void {
    this.#revisions.push(versions);
    this.#bytes += bytesOf(versions);
  }

  at(revision: number): readonly Version[] {
    return this.#revisions[this.#head + revision - this.#first] ?? [];
  }

  /** Forgets the oldest revision; returns its writes. */
  shift(): readonly Version[] {
    const versions = this.#revisions[this.#head];
    if (versions === undefined) return [];
    this.#revisions[this.#head] = [];
    this.#head++;
    this.#first++;
    this.#bytes -= bytesOf(versions);
    if (this.#head >= emptyHeadMax && this.#head * 2 >= this.#revisions.length) {
      this.#revisions = this.#revisions.slice(this.#head);
      this.#head = 0;
    }
    return versions;
  }

  /** The revision from which on the history takes at most so many bytes. */
  revisionWithin(bytesMax: number): number {
    let bytes = this.#bytes;
    let revision = this.#first;
    for (; bytes > bytesMax && revision < this.next; revision++) bytes -= bytesOf(this.at(revision));
    return revision;
  }
}

function bytesOf(versions: readonly Version[]): number {
  let bytes = 0;
  for (const { entry, value } of versions) bytes += costOf(entry.key, value);
  return bytes;
}
