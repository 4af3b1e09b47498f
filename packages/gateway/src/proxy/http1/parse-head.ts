import { METHODS } from "node:http";
import type { BodyFraming } from "../exchange.ts";
import { Fields } from "./fields.ts";
import type { ConnectionOptions, HeadLimits } from "./grammar.ts";
import { HeadError, equalsLower, isHost, isTarget, isToken, parseLength, readConnection, walkFields } from "./grammar.ts";

/** A request's head, checked. */
export interface RequestHead {
  readonly method: string;
  /** In origin form, or `*` for `OPTIONS *`. */
  readonly target: string;
  /** 0 or 1. */
  readonly minorVersion: number;
  readonly fields: Fields;
  /** Lower case, without port; of the target where that is in absolute form. Empty only for HTTP/1.0 without Host. */
  readonly host: string;
  readonly framing: BodyFraming;
  /** -1 where none is declared. */
  readonly contentLength: number;
  /** Whether the client allows another request on this connection. */
  readonly keepAlive: boolean;
  /** Whether a protocol change is asked for (`Connection: upgrade` with an `Upgrade` field). */
  readonly upgrade: boolean;
  readonly expectContinue: boolean;
  /** Offsets (into `fields.offsets`) of fields that are not forwarded: hop-by-hop ones, framing, expectations. */
  readonly hopByHop: number[];
  /** Offsets of X-Forwarded-* and Forwarded, which are believed only from trusted proxies. */
  readonly forwarding: number[] | undefined;
  /** Names that `Connection` nominated, lower case. */
  readonly nominated: string[] | undefined;
  /** The Host field (or the target's authority) as it was sent. */
  readonly hostText: string;
  /** Offset of the first field line in `fields.raw`. */
  readonly fieldsStart: number;
  /** Offset behind the head. */
  readonly end: number;
}

const methods = new Set(METHODS);

/**
 * Parses a request head at `offset` of latin1 text. Returns undefined where the head is not complete; throws HeadError.
 * Strict by RFC 9112: no leniency switches. Methods are those node's own parser knows.
 */
export function parseRequestHead(text: string, limits: HeadLimits, offset = 0): RequestHead | undefined {
  let at = offset;
  // RFC 9112 §2.2: a CRLF in front of the request line is ignored; old clients send one after a body.
  while (text.charCodeAt(at) === 13 && at - offset < 8) {
    if (at + 1 >= text.length) return undefined;
    if (text.charCodeAt(at + 1) !== 10) throw new HeadError("HG_BAD_REQUEST", "a CR without LF before the request line");
    at += 2;
  }
  const methodEnd = endOfMethod(text, at);
  if (methodEnd < 0) return tooLongOr(text, offset, limits);
  const method = text.slice(at, methodEnd);
  const targetStart = methodEnd + 1;
  const targetEnd = endOfTarget(text, targetStart, limits);
  if (targetEnd < 0) return tooLongOr(text, offset, limits);
  if (text.length < targetEnd + 11) {
    checkVersionPrefix(text, targetEnd + 1);
    return tooLongOr(text, offset, limits);
  }
  const minorVersion = parseVersion(text, targetEnd + 1);
  if (!methods.has(method)) throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "an unknown method");
  if (method === "CONNECT") throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "CONNECT is not supported");
  const offsets: number[] = [];
  const end = walkFields(text, targetEnd + 11, offsets, limits.headers);
  if (end < 0) return tooLongOr(text, offset, limits);
  if (end - offset > limits.headBytes) throw tooLong(limits);
  return readFields(text, method, text.slice(targetStart, targetEnd), minorVersion, offsets, end, at, targetEnd + 11 - at);
}

function tooLongOr(text: string, offset: number, limits: HeadLimits): undefined {
  if (text.length - offset > limits.headBytes) throw tooLong(limits);
  return undefined;
}

function tooLong(limits: HeadLimits): HeadError {
  return new HeadError("HG_HEADERS_TOO_LARGE", `the request head is over ${limits.headBytes} bytes`);
}

function endOfMethod(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 32 && at > start) return at;
    if (isToken[c] !== 1) throw new HeadError("HG_BAD_REQUEST", "the request line does not start with a method");
    if (at - start > 32) throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "an unknown method");
  }
  return -1;
}

function endOfTarget(text: string, start: number, limits: HeadLimits): number {
  let at = start;
  while (at < text.length && isTarget[text.charCodeAt(at)] === 1) at++;
  if (at - start > limits.uriBytes) {
    throw new HeadError("HG_URI_TOO_LONG", `the request target is over ${limits.uriBytes} bytes`);
  }
  if (at >= text.length) return -1;
  if (text.charCodeAt(at) !== 32) throw new HeadError("HG_BAD_REQUEST", "the request line is not METHOD SP target SP version");
  if (at === start) throw new HeadError("HG_BAD_REQUEST", "the request line has no target");
  return at;
}

const versionPrefix = "HTTP/1.";

function checkVersionPrefix(text: string, start: number): void {
  const part = text.slice(start, start + 7);
  if (!versionPrefix.startsWith(part) && !/^HTTP\/\d?/.test(part)) throw badVersion();
}

function badVersion(): HeadError {
  return new HeadError("HG_BAD_REQUEST", "the request line does not end in an HTTP version");
}

function parseVersion(text: string, start: number): number {
  if (!text.startsWith(versionPrefix, start)) {
    if (/^HTTP\/\d\.\d\r\n/.test(text.slice(start, start + 10))) {
      throw new HeadError("HG_HTTP_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    throw badVersion();
  }
  const minor = text.charCodeAt(start + 7) - 48;
  if (text.charCodeAt(start + 8) !== 13 || text.charCodeAt(start + 9) !== 10 || minor < 0 || minor > 9) throw badVersion();
  if (minor > 1) throw new HeadError("HG_HTTP_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return minor;
}

/** What the known fields say, gathered in one pass over the offsets. */
interface Known extends ConnectionOptions {
  hostAt: number;
  contentLength: number;
  chunked: boolean;
  upgradeField: boolean;
  expectContinue: boolean;
  hopByHop: number[];
  forwarding: number[] | undefined;
}

function readFields(
  text: string, method: string, target: string, minorVersion: number, offsets: number[], end: number, start: number,
  fieldsStart: number,
): RequestHead {
  const known: Known = {
    hostAt: -1, contentLength: -1, chunked: false, upgradeField: false, expectContinue: false,
    hopByHop: [], forwarding: undefined, close: false, keepAlive: false, upgrade: false, nominated: undefined,
  };
  for (let i = 0; i < offsets.length; i += 4) readField(text, offsets, i, known);
  if (known.chunked && known.contentLength >= 0) {
    throw new HeadError("HG_BAD_REQUEST", "both Content-Length and Transfer-Encoding");
  }
  if (known.chunked && minorVersion === 0) throw new HeadError("HG_BAD_REQUEST", "Transfer-Encoding in an HTTP/1.0 request");
  const { path, authority } = splitTarget(method, target);
  const hostText = known.hostAt < 0 ? (authority ?? "") : text.slice(offsets[known.hostAt + 2], offsets[known.hostAt + 3]);
  const host = readHost(hostText, known.hostAt >= 0, authority, minorVersion);
  const framing = known.chunked ? "chunked" : known.contentLength > 0 ? "length" : "none";
  return {
    method, target: path, minorVersion, host, framing,
    fields: new Fields(start === 0 && end === text.length ? text : text.slice(start, end), rebase(offsets, start)),
    contentLength: known.contentLength,
    keepAlive: minorVersion === 1 ? !known.close : known.keepAlive && !known.close,
    upgrade: known.upgrade && known.upgradeField && minorVersion === 1,
    expectContinue: known.expectContinue && minorVersion === 1,
    hopByHop: known.hopByHop, forwarding: known.forwarding, nominated: known.nominated,
    hostText, fieldsStart, end,
  };
}

function rebase(offsets: number[], start: number): number[] {
  if (start !== 0) for (let i = 0; i < offsets.length; i++) offsets[i] = (offsets[i] as number) - start; // inside bounds
  return offsets;
}

function readField(text: string, offsets: number[], i: number, known: Known): void {
  const start = offsets[i] as number; // four offsets a field, always present
  const end = offsets[i + 1] as number;
  // Length first: most fields are none of these and cost one switch.
  switch (end - start) {
    case 2:
      if (equalsLower(text, start, end, "te")) known.hopByHop.push(i);
      return;
    case 4:
      if (!equalsLower(text, start, end, "host")) return;
      if (known.hostAt >= 0) throw new HeadError("HG_BAD_REQUEST", "more than one Host");
      known.hostAt = i;
      return;
    case 6:
      if (equalsLower(text, start, end, "expect")) readExpect(text, offsets, i, known);
      return;
    case 7:
      if (!equalsLower(text, start, end, "upgrade")) return;
      known.upgradeField = true;
      known.hopByHop.push(i);
      return;
    case 9:
      if (equalsLower(text, start, end, "forwarded")) (known.forwarding ??= []).push(i);
      return;
    case 10:
      if (equalsLower(text, start, end, "connection")) {
        readConnection(text.slice(offsets[i + 2], offsets[i + 3]), known);
        known.hopByHop.push(i);
      } else if (equalsLower(text, start, end, "keep-alive")) known.hopByHop.push(i);
      return;
    case 14:
      if (equalsLower(text, start, end, "content-length")) readContentLength(text, offsets, i, known);
      return;
    case 15:
      if (equalsLower(text, start, end, "x-forwarded-for")) (known.forwarding ??= []).push(i);
      return;
    case 16:
      if (equalsLower(text, start, end, "proxy-connection")) known.hopByHop.push(i);
      else if (equalsLower(text, start, end, "x-forwarded-host") || equalsLower(text, start, end, "x-forwarded-port")) {
        (known.forwarding ??= []).push(i);
      }
      return;
    case 17:
      if (equalsLower(text, start, end, "transfer-encoding")) readTransferEncoding(text, offsets, i, known);
      else if (equalsLower(text, start, end, "x-forwarded-proto")) (known.forwarding ??= []).push(i);
      return;
    case 19:
      // RFC 9110 §11.7.2: for the next proxy, which is this one.
      if (equalsLower(text, start, end, "proxy-authorization")) known.hopByHop.push(i);
      return;
    default:
  }
}

function readExpect(text: string, offsets: number[], i: number, known: Known): void {
  if (!equalsLower(text, offsets[i + 2] as number, offsets[i + 3] as number, "100-continue")) { // offsets are in fours
    throw new HeadError("HG_EXPECTATION_FAILED", "the only expectation is 100-continue");
  }
  known.expectContinue = true;
}

function readContentLength(text: string, offsets: number[], i: number, known: Known): void {
  if (known.contentLength >= 0) throw new HeadError("HG_BAD_REQUEST", "more than one Content-Length");
  known.contentLength = parseLength(text, offsets[i + 2] as number, offsets[i + 3] as number); // offsets are in fours
  if (known.contentLength < 0) throw new HeadError("HG_BAD_REQUEST", "Content-Length is not a plain number");
}

function readTransferEncoding(text: string, offsets: number[], i: number, known: Known): void {
  // RFC 9112 §6.1: anything but exactly `chunked`, once, is where two parsers disagree on where a body ends.
  if (known.chunked || !equalsLower(text, offsets[i + 2] as number, offsets[i + 3] as number, "chunked")) {
    throw new HeadError("HG_BAD_REQUEST", "a Transfer-Encoding other than chunked");
  }
  known.chunked = true;
  known.hopByHop.push(i);
}

/** RFC 9112 §3.2: origin form, absolute form, or `*` for OPTIONS. */
function splitTarget(method: string, target: string): { path: string; authority: string | undefined } {
  if (target.charCodeAt(0) === 47) return { path: target, authority: undefined };
  if (target === "*" && method === "OPTIONS") return { path: target, authority: undefined };
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute === null) throw new HeadError("HG_BAD_REQUEST", "the request target is neither a path nor an http URL");
  const [, authority = "", rest = ""] = absolute;
  if (authority === "") throw new HeadError("HG_BAD_REQUEST", "the request target has no host");
  const path = rest.startsWith("/") ? rest : `/${rest}`;
  return { path, authority };
}

function readHost(value: string, present: boolean, authority: string | undefined, minorVersion: number): string {
  if (!present) {
    if (minorVersion === 1) throw new HeadError("HG_BAD_REQUEST", "no Host");
    return value === "" ? "" : hostName(value);
  }
  const host = hostName(value);
  // RFC 9112 §3.2.2 lets the target win; a difference is used to reach one host's routes with another's checks.
  if (authority !== undefined && authority.toLowerCase() !== value.toLowerCase()) {
    throw new HeadError("HG_BAD_REQUEST", "the request target and Host name different hosts");
  }
  return host;
}

/** Checks `host[:port]` and returns the host in lower case, brackets of IPv6 kept, one trailing dot removed. */
export function hostName(value: string): string {
  for (let i = 0; i < value.length; i++) {
    if (isHost[value.charCodeAt(i)] !== 1) throw badHost();
  }
  let end = value.length;
  if (value.charCodeAt(0) === 91) {
    end = value.indexOf("]") + 1;
    if (end < 4 || !/^\[[0-9A-Fa-f:.]+\]$/.test(value.slice(0, end))) throw badHost();
  } else {
    const colon = value.indexOf(":");
    if (colon >= 0) end = colon;
    if (value.includes("[") || value.includes("]")) throw badHost();
  }
  if (end === 0) throw badHost();
  if (end < value.length && !/^:\d{0,5}$/.test(value.slice(end))) throw badHost();
  if (value.charCodeAt(end - 1) === 46 && end > 1) end--;
  return value.slice(0, end).toLowerCase();
}

function badHost(): HeadError {
  return new HeadError("HG_BAD_REQUEST", "Host is not a valid host");
}
