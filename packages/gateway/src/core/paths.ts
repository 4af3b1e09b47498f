/**
 * Segments of a path that is sent on. The path is as the client spelled it, but what counts as a segment is what
 * matching saw: `/` and `%2f` separate, and repeated separators are one. Otherwise `/api%2fusers` would lose one
 * segment where the route counted two, and reach an instance under a name the route did not guard.
 */

/**
 * The path behind its first `count` segments: starts with `/`, never with `//` (which some servers read as a host),
 * and is `/` where nothing is left.
 */
export function dropSegments(path: string, count: number): string {
  let at = 0;
  for (let left = count; left > 0 && at < path.length; left--) {
    at = segmentEnd(path, skipSeparators(path, at));
  }
  return restFrom(path, at);
}

/**
 * The path without the segments `prefix` (decoded text) in front, or undefined where it does not begin with them.
 * Segments are compared decoded, so that an encoded spelling is the same prefix.
 */
export function dropPrefix(path: string, prefix: readonly string[]): string | undefined {
  let at = 0;
  for (const wanted of prefix) {
    const start = skipSeparators(path, at);
    at = segmentEnd(path, start);
    if (decodeText(path.slice(start, at)) !== wanted) return undefined;
  }
  return restFrom(path, at);
}

/** The decoded segments of a path without the empty ones. */
export function segmentsOf(path: string): string[] {
  const segments: string[] = [];
  for (let start = skipSeparators(path, 0); start < path.length;) {
    const end = segmentEnd(path, start);
    segments.push(decodeText(path.slice(start, end)));
    start = skipSeparators(path, end);
  }
  return segments;
}

/** Puts `prefix` in front of a path that starts with `/`, with one `/` between them. */
export function joinPaths(prefix: string, rest: string): string {
  const head = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  if (head === "") return rest;
  return rest === "/" ? (prefix.endsWith("/") ? prefix : head) : head + rest;
}

/**
 * Whether a segment is `.` or `..` in any spelling an instance may resolve: encoded dots, and `%2f`, `\` or `%5c` as
 * the separator. A path made from parts of a request must not hold one (RFC 3986 §5.2.4).
 */
export function holdsDotSegment(path: string): boolean {
  return path.includes(".") || path.includes("%") ? dotSegment.test(path) : false;
}
const dotSegment = /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\;]|%2f|%5c)/i;

/** Percent-encodes what a path may not hold (RFC 3986 §3.3); a `%` that begins no escape too. Bytes as latin1 text. */
export function encodePath(text: string): string {
  return safePath.test(text) ? text : text.replace(outsidePath, encodeByte);
}
const safePath = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const outsidePath = /%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/g;

/** Percent-encodes a value so that it stays within one segment: `/`, `%`, `?` and `;` too. Bytes as latin1 text. */
export function encodeSegment(text: string): string {
  return safeSegment.test(text) ? text : text.replace(outsideSegment, encodeByte);
}
const safeSegment = /^[A-Za-z0-9\-._~!$&'()*+,=:@]*$/;
const outsideSegment = /[^A-Za-z0-9\-._~!$&'()*+,=:@]/g;

/** Percent-encodes all but unreserved characters (RFC 3986 §2.3): a value within a query. Bytes as latin1 text. */
export function encodeQueryValue(text: string): string {
  return text.replace(/[^A-Za-z0-9\-._~]/g, encodeByte);
}

/** Percent-encodes what a query or a fragment may not hold (RFC 3986 §3.4). Bytes as latin1 text. */
export function encodeQuery(text: string): string {
  return text.replace(/%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/g, encodeByte);
}

/** Unicode text as the latin1 text that carries its UTF-8 bytes, which is what the wire holds. */
export function toWireText(text: string): string {
  return ascii.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}
const ascii = /^[\x00-\x7f]*$/;

function encodeByte(character: string): string {
  return "%" + character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
}

/** Percent-decoding that leaves text alone which is not valid UTF-8 in escapes. */
function decodeText(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Length of the separator at `at`, 0 where there is none. */
function separatorAt(path: string, at: number): number {
  const c = path.charCodeAt(at);
  if (c === 47) return 1;
  if (c !== 37 || path.charCodeAt(at + 1) !== 50) return 0;
  const f = path.charCodeAt(at + 2);
  return f === 102 || f === 70 ? 3 : 0;
}

function skipSeparators(path: string, at: number): number {
  for (let length = separatorAt(path, at); length > 0; length = separatorAt(path, at)) at += length;
  return at;
}

function segmentEnd(path: string, at: number): number {
  while (at < path.length && separatorAt(path, at) === 0) at++;
  return at;
}

function restFrom(path: string, at: number): string {
  // The usual case copies nothing: one plain slash in front of the rest.
  if (path.charCodeAt(at) === 47 && separatorAt(path, at + 1) === 0) return at === 0 ? path : path.slice(at);
  return "/" + path.slice(skipSeparators(path, at));
}
