import { METHODS } from "node:http";
import type { BodyFraming } from "../exchange.ts";
import { Fields } from "./fields.ts";
import type { ConnectionOptions, HeadLimits } from "./grammar.ts";
import {
  HeadError,
  equalsLower,
  isHost,
  isTarget,
  isToken,
  parseLength,
  readConnection,
  walkFields,
} from "./grammar.ts";

/** A request's head, checked. Filled in one pass over its fields. */
export class RequestHead implements ConnectionOptions {
  readonly method: string;
  /** In origin form, or `*` for `OPTIONS *`. */
  target: string;
  /** 0 or 1. */
  readonly minorVersion: number;
  readonly fields: Fields;
  /** Lower case, without port; of the target where that is in absolute form. Empty only for HTTP/1.0 without Host. */
  host = "";
  /** The Host field (or the target's authority) as it was sent. */
  hostText = "";
  framing: BodyFraming = "none";
  /** -1 where none is declared. */
  contentLength = -1;
  /** Whether the client allows another request on this connection. */
  keepAlive = false;
  close = false;
  /** Whether a protocol change is asked for (`Connection: upgrade` with an `Upgrade` field). */
  upgrade = false;
  expectContinue = false;
  /** Offsets (into `fields.offsets`) of fields that are not forwarded: hop-by-hop ones, framing. Ascending. */
  readonly hopByHop: number[] = [];
  /** Offsets of X-Forwarded-*, Forwarded and X-Envoy-Expected-Rq-Timeout-Ms: believed only from trusted proxies. */
  forwarding: number[] | undefined = undefined;
  /** Names that `Connection` nominated, lower case. */
  nominated: string[] | undefined = undefined;
  /** Offset of the first field line in `fields.raw`. */
  readonly fieldsStart: number;
  /** Offset behind the head. */
  readonly end: number;
  hostAt = -1;
  upgradeAt = -1;

  constructor(method: string, target: string, minorVersion: number, fields: Fields, fieldsStart: number, end: number) {
    this.method = method;
    this.target = target;
    this.minorVersion = minorVersion;
    this.fields = fields;
    this.fieldsStart = fieldsStart;
    this.end = end;
  }
}

const methods = new Map(METHODS.map((method) => [method, method]));

/**
 * Parses the request head that begins at bytes[from]. Returns undefined where bytes[from, to) holds no whole head;
 * throws HeadError. Strict by RFC 9112: no leniency switches. Methods are those node's own parser knows.
 */
export function parseRequestHead(bytes: Buffer, from: number, to: number, limits: HeadLimits): RequestHead | undefined {
  let at = from;
  // RFC 9112 §2.2: a CRLF in front of the request line is ignored; old clients send one after a body.
  while (at < to && bytes[at] === 13 && at - from < 8) {
    if (at + 1 >= to) return undefined;
    if (bytes[at + 1] !== 10) throw new HeadError("HG_BAD_REQUEST", "a CR without LF before the request line");
    at += 2;
  }
  const methodEnd = endOfMethod(bytes, at, to);
  if (methodEnd < 0) return tooLongOr(to - from, limits);
  const targetStart = methodEnd + 1;
  const targetEnd = endOfTarget(bytes, targetStart, to, limits);
  if (targetEnd < 0) return tooLongOr(to - from, limits);
  const fieldsStart = targetEnd + 11;
  if (to < fieldsStart) {
    checkVersionPrefix(bytes.latin1Slice(targetEnd + 1, Math.min(to, targetEnd + 8)));
    return tooLongOr(to - from, limits);
  }
  const minorVersion = parseVersion(bytes, targetEnd + 1);
  const offsets: number[] = [];
  const end = walkFields(bytes, fieldsStart, to, at, offsets, limits.headers);
  if (end < 0) return tooLongOr(to - from, limits);
  if (end - from > limits.headBytes) throw tooLong(limits);
  const raw = bytes.latin1Slice(at, end);
  const method = methodOf(raw, methodEnd - at);
  const target = raw.slice(targetStart - at, targetEnd - at);
  return readFields(new RequestHead(method, target, minorVersion, new Fields(raw, offsets), fieldsStart - at, end));
}

function tooLongOr(length: number, limits: HeadLimits): undefined {
  if (length > limits.headBytes) throw tooLong(limits);
  return undefined;
}

function tooLong(limits: HeadLimits): HeadError {
  return new HeadError("HG_HEADERS_TOO_LARGE", `the request head is over ${limits.headBytes} bytes`);
}

/** The method as one of the strings we already have: slicing and hashing one out of each request would cost more. */
function methodOf(raw: string, end: number): string {
  if (end === 3 && raw.startsWith("GET")) return "GET";
  if (end === 4 && raw.startsWith("POST")) return "POST";
  const method = methods.get(raw.slice(0, end));
  if (method === undefined) throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "an unknown method");
  if (method === "CONNECT") throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "CONNECT is not supported");
  return method;
}

function endOfMethod(bytes: Uint8Array, start: number, to: number): number {
  for (let at = start; at < to; at++) {
    const c = bytes[at] as number; // at < to
    if (c === 32 && at > start) return at;
    if (isToken[c] !== 1) throw new HeadError("HG_BAD_REQUEST", "the request line does not start with a method");
    if (at - start > 32) throw new HeadError("HG_METHOD_NOT_IMPLEMENTED", "an unknown method");
  }
  return -1;
}

function endOfTarget(bytes: Uint8Array, start: number, to: number, limits: HeadLimits): number {
  let at = start;
  while (at < to && isTarget[bytes[at] as number] === 1) at++; // at < to
  if (at - start > limits.uriBytes) {
    throw new HeadError("HG_URI_TOO_LONG", `the request target is over ${limits.uriBytes} bytes`);
  }
  if (at >= to) return -1;
  if (bytes[at] !== 32) throw new HeadError("HG_BAD_REQUEST", "the request line is not METHOD SP target SP version");
  if (at === start) throw new HeadError("HG_BAD_REQUEST", "the request line has no target");
  return at;
}

const versionPrefix = "HTTP/1.";

function checkVersionPrefix(part: string): void {
  if (!versionPrefix.startsWith(part) && !/^HTTP\/\d?/.test(part)) throw badVersion();
}

function badVersion(): HeadError {
  return new HeadError("HG_BAD_REQUEST", "the request line does not end in an HTTP version");
}

/** Reads `HTTP/1.x CRLF`, ten bytes that are there. */
function parseVersion(bytes: Buffer, start: number): number {
  for (let i = 0; i < versionPrefix.length; i++) {
    if (bytes[start + i] !== versionPrefix.charCodeAt(i)) throw otherVersion(bytes.latin1Slice(start, start + 10));
  }
  const minor = (bytes[start + 7] as number) - 48; // the ten bytes are there
  if (bytes[start + 8] !== 13 || bytes[start + 9] !== 10 || minor < 0 || minor > 9) throw badVersion();
  if (minor > 1) throw otherVersion("HTTP/1.2\r\n");
  return minor;
}

function otherVersion(text: string): HeadError {
  if (!/^HTTP\/\d\.\d\r\n/.test(text)) return badVersion();
  return new HeadError("HG_HTTP_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
}

function readFields(head: RequestHead): RequestHead {
  const { raw, offsets } = head.fields;
  const { minorVersion } = head;
  let chunked = false;
  for (let i = 0; i < offsets.length; i += 4) if (readField(raw, offsets, i, head)) chunked = true;
  if (chunked) {
    if (head.contentLength >= 0) throw new HeadError("HG_BAD_REQUEST", "both Content-Length and Transfer-Encoding");
    if (minorVersion === 0) throw new HeadError("HG_BAD_REQUEST", "Transfer-Encoding in an HTTP/1.0 request");
    head.framing = "chunked";
  } else if (head.contentLength > 0) head.framing = "length";
  const authority = splitTarget(head);
  head.hostText = head.hostAt < 0 ? (authority ?? "") : raw.slice(offsets[head.hostAt + 2], offsets[head.hostAt + 3]);
  head.host = readHost(head.hostText, head.hostAt >= 0, authority, minorVersion);
  head.keepAlive = !head.close && (minorVersion === 1 || head.keepAlive);
  head.upgrade &&= head.upgradeAt >= 0 && minorVersion === 1 && !namesHttp(raw, offsets, head.upgradeAt);
  head.expectContinue &&= minorVersion === 1;
  return head;
}

/** An upgrade to HTTP/2 would carry further requests through the tunnel, past every route and check ("h2c smuggling"). */
function namesHttp(raw: string, offsets: readonly number[], at: number): boolean {
  return /(?:^|[\s,])(?:h2|http)/i.test(raw.slice(offsets[at + 2], offsets[at + 3]));
}

/** Notes what a known field says; returns whether it is `Transfer-Encoding: chunked`. */
function readField(text: string, offsets: number[], i: number, known: RequestHead): boolean {
  const start = offsets[i] as number; // four offsets a field, always present
  const end = offsets[i + 1] as number;
  // Length first: most fields are none of these and cost one switch.
  switch (end - start) {
    case 2:
      if (equalsLower(text, start, end, "te")) known.hopByHop.push(i);
      return false;
    case 4:
      if (!equalsLower(text, start, end, "host")) return false;
      if (known.hostAt >= 0) throw new HeadError("HG_BAD_REQUEST", "more than one Host");
      known.hostAt = i;
      return false;
    case 6:
      if (equalsLower(text, start, end, "expect")) readExpect(text, offsets, i, known);
      return false;
    case 7:
      if (!equalsLower(text, start, end, "upgrade")) return false;
      known.upgradeAt = i;
      known.hopByHop.push(i);
      return false;
    case 9:
      if (equalsLower(text, start, end, "forwarded")) (known.forwarding ??= []).push(i);
      return false;
    case 10:
      if (equalsLower(text, start, end, "connection")) {
        readConnection(text.slice(offsets[i + 2], offsets[i + 3]), known);
        known.hopByHop.push(i);
      } else if (equalsLower(text, start, end, "keep-alive")) known.hopByHop.push(i);
      return false;
    case 14:
      if (equalsLower(text, start, end, "content-length")) readContentLength(text, offsets, i, known);
      return false;
    case 15:
      if (equalsLower(text, start, end, "x-forwarded-for")) (known.forwarding ??= []).push(i);
      return false;
    case 16:
      if (equalsLower(text, start, end, "proxy-connection")) known.hopByHop.push(i);
      else if (equalsLower(text, start, end, "x-forwarded-host") || equalsLower(text, start, end, "x-forwarded-port")) {
        (known.forwarding ??= []).push(i);
      }
      return false;
    case 17:
      if (equalsLower(text, start, end, "transfer-encoding")) return readTransferEncoding(text, offsets, i, known);
      if (equalsLower(text, start, end, "x-forwarded-proto")) (known.forwarding ??= []).push(i);
      return false;
    case 19:
      // RFC 9110 §11.7.2: for the next proxy, which is this one.
      if (equalsLower(text, start, end, "proxy-authorization")) known.hopByHop.push(i);
      return false;
    case 30:
      if (equalsLower(text, start, end, "x-envoy-expected-rq-timeout-ms")) (known.forwarding ??= []).push(i);
      return false;
    default:
      return false;
  }
}

function readExpect(text: string, offsets: number[], i: number, known: RequestHead): void {
  if (!equalsLower(text, offsets[i + 2] as number, offsets[i + 3] as number, "100-continue")) {
    // offsets are in fours
    throw new HeadError("HG_EXPECTATION_FAILED", "the only expectation is 100-continue");
  }
  known.expectContinue = true;
}

function readContentLength(text: string, offsets: number[], i: number, known: RequestHead): void {
  if (known.contentLength >= 0) throw new HeadError("HG_BAD_REQUEST", "more than one Content-Length");
  known.contentLength = parseLength(text, offsets[i + 2] as number, offsets[i + 3] as number); // offsets are in fours
  if (known.contentLength < 0) throw new HeadError("HG_BAD_REQUEST", "Content-Length is not a plain number");
}

function readTransferEncoding(text: string, offsets: number[], i: number, known: RequestHead): true {
  const end = offsets[i + 3] as number; // offsets are in fours
  // RFC 9112 §6.1: anything but exactly `chunked`, once, is where two parsers disagree on where a body ends; a tab
  // behind it is such a place.
  const exact = equalsLower(text, offsets[i + 2] as number, end, "chunked") && text.charCodeAt(end) !== 9; // as above
  if (!exact || known.hopByHop.some((at) => isTransferEncoding(text, offsets, at))) {
    throw new HeadError("HG_BAD_REQUEST", "a Transfer-Encoding other than chunked");
  }
  known.hopByHop.push(i);
  return true;
}

function isTransferEncoding(text: string, offsets: number[], at: number): boolean {
  return equalsLower(text, offsets[at] as number, offsets[at + 1] as number, "transfer-encoding"); // offsets are in fours
}

/** RFC 9112 §3.2: origin form, absolute form, or `*` for OPTIONS. Returns the authority of an absolute one. */
function splitTarget(head: RequestHead): string | undefined {
  const { target } = head;
  if (target.charCodeAt(0) === 47 || (target === "*" && head.method === "OPTIONS")) return undefined;
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute === null) throw new HeadError("HG_BAD_REQUEST", "the request target is neither a path nor an http URL");
  const [, authority = "", rest = ""] = absolute;
  if (authority === "") throw new HeadError("HG_BAD_REQUEST", "the request target has no host");
  head.target = rest.startsWith("/") ? rest : `/${rest}`;
  return authority;
}

function readHost(value: string, present: boolean, authority: string | undefined, minorVersion: number): string {
  if (!present) {
    if (minorVersion === 1) throw new HeadError("HG_BAD_REQUEST", "no Host");
    return value === "" ? "" : hostName(value);
  }
  const host = knownHost(value);
  // RFC 9112 §3.2.2 lets the target win; a difference is used to reach one host's routes with another's checks.
  if (authority !== undefined && authority.toLowerCase() !== value.toLowerCase()) {
    throw new HeadError("HG_BAD_REQUEST", "the request target and Host name different hosts");
  }
  return host;
}

let lastHostText = "";
let lastHost = "";

/** Most requests of a connection, and many of a thread, name the same host: its check is not repeated. */
function knownHost(value: string): string {
  if (value !== lastHostText || value === "") {
    lastHost = hostName(value);
    lastHostText = value;
  }
  return lastHost;
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
