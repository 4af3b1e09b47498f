import type { Key, KeyRange } from "./store.ts";

/** The key of a text: its UTF-8 bytes, one character each. */
export function keyOf(text: string): Key {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** The text of a key; bytes that are not UTF-8 become U+FFFD. For people only: not reversible then. */
export function textOf(key: Key): string {
  return Buffer.from(key, "latin1").toString("utf8");
}

export function bytesOfKey(key: Key): Buffer {
  return Buffer.from(key, "latin1");
}

export function keyOfBytes(bytes: Uint8Array): Key {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** Every key that begins with `prefix`. */
export function prefixRange(prefix: Key): KeyRange {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix.charCodeAt(at);
    if (byte < 0xff) return { key: prefix, end: prefix.slice(0, at) + String.fromCharCode(byte + 1) };
  }
  return { key: prefix === "" ? "\0" : prefix, end: "\0" };
}

/** Whether a range holds a key. */
export function inRange({ key, end }: KeyRange, candidate: Key): boolean {
  if (end === undefined) return candidate === key;
  return candidate >= key && (end === "\0" || candidate < end);
}
