import { hexByte, isPathCharacter, isUnreserved } from "./characters.ts";

/** A request target taken apart: what routes are matched on and what is sent on. */
export interface NormalizedTarget {
  /** The path to send on: as received, without dot segments and without encoding of unreserved characters. */
  readonly path: string;
  /** The query with its `?`, untouched; empty where there is none. */
  readonly search: string;
  /**
   * The path that routes are matched on: that of `path`, with `%2f` as a separator, repeated slashes as one, and every
   * character in one spelling (RFC 3986 §6.2.2): literal where it may stand in a path, else `%XX` in upper case.
   */
  readonly matchPath: string;
}

const slash = 0x2f;
const dot = 0x2e;
const question = 0x3f;
const percent = 0x25;

// What a byte of the path asks for. Anything beyond the table (0x80 and above) is refused: a target is ASCII.
const refused = 0;
const plain = 1;
const rewritten = 2;
const pathBytes = new Uint8Array(128);
for (let c = 0x21; c < 0x7f; c++) pathBytes[c] = isPathCharacter(c) || c === slash ? plain : rewritten;
pathBytes[0x23] = refused; // "#": a fragment is never sent; a server that cuts it off sees another path than we match
pathBytes[0x5c] = refused; // "\": a separator to some servers

/**
 * Normalises a target in origin form. Runs once per request; without anything to rewrite it is one pass over the text
 * and `path` and `matchPath` are the same string. Undefined where the target is refused (HG_BAD_REQUEST): no leading
 * `/`, characters that do not belong in a target, broken percent-encoding in the path, `%00`, or a dot segment hidden
 * from us but not from every server (`..%5c`, `..;x`).
 *
 * For every result, normalising `path` again gives the same `path` and `matchPath`: an instance that reads what is
 * sent on arrives where the router arrived.
 */
export function normalizeTarget(target: string): NormalizedTarget | undefined {
  if (target.charCodeAt(0) !== slash) return undefined;
  const { length } = target;
  let end = length;
  let simple = true;
  let previous = 0;
  for (let i = 0; i < length; i++) {
    const c = target.charCodeAt(i);
    if (c === question) {
      end = i;
      break;
    }
    const kind = pathBytes[c];
    if (kind === plain) {
      if (previous === slash && (c === slash || c === dot)) simple = false;
    } else if (kind === rewritten) simple = false;
    else return undefined;
    previous = c;
  }
  if (end === length) return simple ? { path: target, search: "", matchPath: target } : rewrite(target, "");
  for (let i = end; i < length; i++) {
    const c = target.charCodeAt(i);
    if (c < 0x21 || c > 0x7e || c === 0x23) return undefined;
  }
  const path = target.slice(0, end);
  const search = target.slice(end);
  return simple ? { path, search, matchPath: path } : rewrite(path, search);
}

interface Segment {
  /** What stood in front of it: `/` or one spelling of `%2f`. */
  separator: string;
  /** As it is sent on. */
  sent: string;
  /** As it is matched. */
  match: string;
}

function rewrite(path: string, search: string): NormalizedTarget | undefined {
  const segments = split(path);
  const kept = segments === undefined ? undefined : resolveDots(segments);
  if (kept === undefined) return undefined;
  let sent = "";
  let match = "";
  for (const [index, segment] of kept.entries()) {
    sent += (index === 0 ? "/" : segment.separator) + segment.sent;
    if (segment.match !== "" || index === kept.length - 1) match += `/${segment.match}`;
  }
  return { path: sent, search, matchPath: match };
}

/** Cuts at `/` and `%2f` alike: a server that decodes first sees both as separators. */
function split(path: string): Segment[] | undefined {
  let current: Segment = { separator: "/", sent: "", match: "" };
  const segments = [current];
  for (let i = 1; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c === slash) {
      segments.push((current = { separator: "/", sent: "", match: "" }));
    } else if (c !== percent) {
      const character = path.charAt(i);
      current.sent += character;
      current.match += isPathCharacter(c) ? character : encodeByte(c);
    } else {
      const byte = hexByte(path, i + 1);
      if (byte <= 0) return undefined; // -1: not two hex digits; 0: ends the path early for servers written in C
      const encoded = path.slice(i, i + 3);
      i += 2;
      if (byte === slash) {
        segments.push((current = { separator: encoded, sent: "", match: "" }));
      } else {
        current.sent += isUnreserved(byte) ? String.fromCharCode(byte) : encoded;
        current.match += isPathCharacter(byte) ? String.fromCharCode(byte) : encoded.toUpperCase();
      }
    }
  }
  return segments;
}

/** RFC 3986 §5.2.4 on the list of segments; `..` above the root stays there. */
function resolveDots(segments: readonly Segment[]): Segment[] | undefined {
  const kept: Segment[] = [];
  for (const [index, segment] of segments.entries()) {
    const { match } = segment;
    let { separator } = segment;
    if (match === "..") separator = kept.pop()?.separator ?? "/";
    else if (match !== ".") {
      if (hidesDots(match)) return undefined;
      kept.push(segment);
      continue;
    }
    // A dot segment at the end names a directory: "/a/b/.." is "/a/".
    if (index === segments.length - 1) kept.push({ separator, sent: "", match: "" });
  }
  return kept;
}

/**
 * Servers on Windows read `%5c` as a separator, servlet containers cut a segment at `;`: to them `..%5cadmin` and
 * `..;x` climb. Both occur in attacks only.
 */
function hidesDots(match: string): boolean {
  if (!match.includes("%5C") && !match.includes(";")) return false;
  return match.split("%5C").some((part) => /^\.{1,2}(?:;|$)/.test(part));
}

function encodeByte(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
