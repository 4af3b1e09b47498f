/**
 * The header fields of one message. Received fields stay where they arrived: offsets into the head's text, so that a
 * field nobody reads costs no object and an unchanged head is forwarded as ranges of the received text. Changes mark a
 * received field as removed and keep what was added in a short list.
 */
export class Fields {
  /** The received head, latin1. Empty for a message the gateway made itself. */
  readonly raw: string;
  /** Four offsets a field: name start, name end, value start, value end. A removed field has name start -1. */
  readonly offsets: number[];
  /** Added fields: name, value, name, value. */
  added: string[] | undefined;
  /** Whether a received field was removed: then the head cannot be copied in one piece. */
  altered = false;

  constructor(raw = "", offsets: number[] = []) {
    this.raw = raw;
    this.offsets = offsets;
  }

  /** Builds a block from pairs; for tests and for answers the gateway makes. */
  static from(fields: Iterable<readonly [string, string]> | Readonly<Record<string, string>>): Fields {
    const made = new Fields();
    const pairs = Symbol.iterator in fields ? fields : Object.entries(fields);
    for (const [name, value] of pairs) made.append(name, value);
    return made;
  }

  /** The first value of the field, or undefined. Names are compared without case. */
  get(name: string): string | undefined {
    const lower = name.toLowerCase();
    const at = this.indexOf(lower, 0);
    if (at >= 0) return this.raw.slice(this.offsets[at + 2], this.offsets[at + 3]);
    const { added } = this;
    if (added !== undefined) {
      for (let i = 0; i < added.length; i += 2) {
        if (added[i]?.toLowerCase() === lower) return added[i + 1];
      }
    }
    return undefined;
  }

  /** Every value of the field, in order. */
  getAll(name: string): string[] {
    const lower = name.toLowerCase();
    const values: string[] = [];
    for (let at = this.indexOf(lower, 0); at >= 0; at = this.indexOf(lower, at + 4)) {
      values.push(this.raw.slice(this.offsets[at + 2], this.offsets[at + 3]));
    }
    const { added } = this;
    if (added !== undefined) {
      for (let i = 0; i < added.length; i += 2) {
        if (added[i]?.toLowerCase() === lower) values.push(added[i + 1] ?? "");
      }
    }
    return values;
  }

  has(name: string): boolean {
    const lower = name.toLowerCase();
    if (this.indexOf(lower, 0) >= 0) return true;
    const { added } = this;
    if (added === undefined) return false;
    for (let i = 0; i < added.length; i += 2) if (added[i]?.toLowerCase() === lower) return true;
    return false;
  }

  /** Replaces every field of that name by one. Throws a TypeError on a name or value that is not valid in HTTP. */
  set(name: string, value: string): void {
    this.delete(name);
    this.append(name, value);
  }

  /** Adds one more field of that name. Throws a TypeError on a name or value that is not valid in HTTP. */
  append(name: string, value: string): void {
    checkField(name, value);
    (this.added ??= []).push(name, value);
  }

  delete(name: string): void {
    const lower = name.toLowerCase();
    for (let at = this.indexOf(lower, 0); at >= 0; at = this.indexOf(lower, at + 4)) {
      this.offsets[at] = -1;
      this.altered = true;
    }
    const { added } = this;
    if (added !== undefined) {
      for (let i = added.length - 2; i >= 0; i -= 2) {
        if (added[i]?.toLowerCase() === lower) added.splice(i, 2);
      }
    }
  }

  /** Every field in order, names as they were written. */
  *entries(): IterableIterator<[string, string]> {
    const { raw, offsets, added } = this;
    for (let at = 0; at < offsets.length; at += 4) {
      const start = offsets[at] ?? -1;
      if (start < 0) continue;
      yield [raw.slice(start, offsets[at + 1]), raw.slice(offsets[at + 2], offsets[at + 3])];
    }
    if (added !== undefined) {
      for (let i = 0; i < added.length; i += 2) yield [added[i] ?? "", added[i + 1] ?? ""];
    }
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  /** Offset index of the next received field of that (lower case) name at or after `from`, or -1. */
  indexOf(lower: string, from: number): number {
    const { raw, offsets } = this;
    const length = lower.length;
    for (let at = from; at < offsets.length; at += 4) {
      const start = offsets[at] as number; // inside the loop's bound; -1 marks a removed field
      if (start >= 0 && (offsets[at + 1] as number) - start === length && sameName(raw, start, lower)) return at;
    }
    return -1;
  }
}

/** Compares a received name with a lower-case one without making a string. */
export function sameName(raw: string, start: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i++) {
    const c = raw.charCodeAt(start + i);
    if (c !== lower.charCodeAt(i) && (c < 65 || c > 90 || c + 32 !== lower.charCodeAt(i))) return false;
  }
  return true;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110 §5.5: visible characters, space, tab and obs-text; the wire is latin1.
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

function checkField(name: string, value: string): void {
  if (!token.test(name)) throw new TypeError(`"${name.slice(0, 64)}" is not a valid header name`);
  if (!fieldValue.test(value))
    throw new TypeError(`the value of header ${name} holds characters that HTTP does not allow`);
}
