/** Classes of characters in a path, RFC 3986 §§2.2, 2.3, 3.3. */

const unreserved = new Uint8Array(256);
const pathCharacters = new Uint8Array(256);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") unreserved[c.charCodeAt(0)] = 1;
pathCharacters.set(unreserved);
for (const c of "!$&'()*+,;=:@") pathCharacters[c.charCodeAt(0)] = 1;

/** Encoding such a character changes nothing: `%61` is `a`. */
export function isUnreserved(byte: number): boolean {
  return unreserved[byte] === 1;
}

/** What may stand in a segment as itself (`pchar` without the percent sign). */
export function isPathCharacter(byte: number): boolean {
  return pathCharacters[byte] === 1;
}

/** The byte of two hex digits at `at`, or -1. */
export function hexByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const encoder = new TextEncoder();
const canonicalAlready = /^[A-Za-z0-9\-._~!$&'()*+,;=:@]*$/;

/**
 * The one spelling of a segment that `matchPath` uses: characters of a path as themselves, everything else as `%XX` of
 * its UTF-8 bytes. For patterns in a document, where `/café`, `/caf%c3%a9` and `/caf%C3%A9` mean the same.
 */
export function canonicalSegment(text: string): string {
  if (canonicalAlready.test(text)) return text;
  const bytes = encoder.encode(text);
  let canonical = "";
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i] ?? 0;
    if (byte === 0x25) {
      const decoded = hexByte(String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0), 0);
      if (decoded >= 0) {
        byte = decoded;
        i += 2;
      }
    }
    canonical += isPathCharacter(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return canonical;
}
