import type { ErrorCode } from "../../core/errors.ts";

/** Why a head or a body's framing was refused. The connection cannot be used further. */
export class HeadError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "HeadError";
    this.code = code;
  }
}

function table(allowed: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed(code) ? 1 : 0));
}

/** RFC 9110 §5.6.2 token characters. */
export const isToken = table((c) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(c)));

/** RFC 9110 §5.5 field-value characters: visible, space, tab, obs-text. No control character, so no bare CR or LF. */
export const isFieldValue = table((c) => c === 9 || (c >= 32 && c !== 127));

/** What a request target may hold: no control characters, no space. Whatever is not valid in a path is refused later. */
export const isTarget = table((c) => c > 32 && c !== 127);

/** RFC 3986 §3.2.2 characters of a host with its port, brackets of IPv6 included; no userinfo. */
export const isHost = table((c) => /[0-9A-Za-z\-._~%!$&'()*+,;=:[\]]/.test(String.fromCharCode(c)));

export interface HeadLimits {
  /** Most bytes of a head, its first line included. HG_HEADERS_TOO_LARGE. */
  readonly headBytes: number;
  /** Most fields. HG_HEADERS_TOO_LARGE. */
  readonly headers: number;
  /** Most bytes of a request target. HG_URI_TOO_LONG. */
  readonly uriBytes: number;
}

/**
 * Walks the field lines in bytes[from, to). Pushes four offsets a field, counted from `base`. Returns the offset behind
 * the empty line, or -1 where the bytes end before it. Refused: folded lines, white space before the colon, empty
 * names, bare CR or LF, control characters (RFC 9112 §5, §2.2).
 *
 * On bytes and not on text: measured on a browser's head, 0.9 µs against 2.6.
 */
export function walkFields(
  bytes: Uint8Array,
  from: number,
  to: number,
  base: number,
  offsets: number[],
  headersMax: number,
): number {
  let at = from;
  for (;;) {
    if (at >= to) return -1;
    const nameStart = at;
    let c = bytes[at] as number; // here and below: at < to
    if (c === 13) {
      if (at + 1 >= to) return -1;
      if (bytes[at + 1] !== 10) throw new HeadError("HG_BAD_REQUEST", "a CR without LF in the head");
      return at + 2;
    }
    while (isToken[c] === 1) {
      if (++at >= to) return -1;
      c = bytes[at] as number;
    }
    if (c !== 58 || at === nameStart) throw new HeadError("HG_BAD_REQUEST", badName(c, at === nameStart));
    const nameEnd = at;
    do {
      if (++at >= to) return -1;
      c = bytes[at] as number;
    } while (c === 32 || c === 9);
    const valueStart = at;
    while (isFieldValue[c] === 1) {
      if (++at >= to) return -1;
      c = bytes[at] as number;
    }
    if (c !== 13) throw new HeadError("HG_BAD_REQUEST", "a control character in a header value");
    if (at + 1 >= to) return -1;
    if (bytes[at + 1] !== 10) throw new HeadError("HG_BAD_REQUEST", "a CR without LF in the head");
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--;
    offsets.push(nameStart - base, nameEnd - base, valueStart - base, valueEnd - base);
    if (offsets.length > headersMax * 4) {
      throw new HeadError("HG_HEADERS_TOO_LARGE", `more than ${headersMax} header fields`);
    }
    at += 2;
  }
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9;
}

function badName(c: number, atStart: boolean): string {
  if (atStart && isBlank(c)) return "a folded header line";
  if (isBlank(c)) return "white space before the colon of a header";
  if (c === 58) return "an empty header name";
  return "a character in a header name that HTTP does not allow";
}

/** Parses a Content-Length: digits only, at most 15 of them. Returns -1 for anything else. */
export function parseLength(text: string, start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Whether text[start, end) equals `lower` without regard to case. */
export function equalsLower(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const c = text.charCodeAt(start + i);
    if (c !== lower.charCodeAt(i) && (c < 65 || c > 90 || c + 32 !== lower.charCodeAt(i))) return false;
  }
  return true;
}

/** What `Connection` says, over all its fields. */
export interface ConnectionOptions {
  close: boolean;
  keepAlive: boolean;
  upgrade: boolean;
  /** Other names: fields that concern this connection only (RFC 9110 §7.6.1). Lower case. */
  nominated: string[] | undefined;
}

/** Adds the options of one Connection field. */
export function readConnection(value: string, options: ConnectionOptions): void {
  // The two values nearly every message has, without splitting.
  if (value === "keep-alive" || value === "Keep-Alive") {
    options.keepAlive = true;
    return;
  }
  if (value === "close") {
    options.close = true;
    return;
  }
  for (const part of value.split(",")) {
    const option = part.trim().toLowerCase();
    if (option === "close") options.close = true;
    else if (option === "keep-alive") options.keepAlive = true;
    else if (option === "upgrade") options.upgrade = true;
    else if (option !== "") (options.nominated ??= []).push(option);
  }
}
