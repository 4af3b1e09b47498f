import { Fields } from "./fields.ts";
import type { ConnectionOptions, HeadLimits } from "./grammar.ts";
import { HeadError, equalsLower, isFieldValue, parseLength, readConnection, walkFields } from "./grammar.ts";

export type ResponseFraming = "none" | "length" | "chunked" | "close";

/** A response's head, checked as strictly as a request's. */
export interface ResponseHead {
  readonly status: number;
  readonly minorVersion: number;
  readonly fields: Fields;
  readonly framing: ResponseFraming;
  /** -1 where none is declared. Of a HEAD answer it says nothing about the body. */
  readonly contentLength: number;
  /** Whether the instance keeps the connection open for another request. */
  readonly keepAlive: boolean;
  /** The instance's `Keep-Alive: timeout=` in milliseconds, or -1. */
  readonly keepAliveMs: number;
  readonly hopByHop: number[];
  readonly nominated: string[] | undefined;
  /** Offset of the first field line in the head's text. */
  readonly fieldsStart: number;
  /** Offset behind the head in the bytes it was read from. */
  readonly end: number;
}

/**
 * Parses the response head that begins at bytes[from]. Returns undefined where bytes[from, to) holds no whole head;
 * throws HeadError with HG_UPSTREAM_PROTOCOL. `method` is the request's: it decides whether a body follows
 * (RFC 9112 §6.3).
 */
export function parseResponseHead(
  bytes: Buffer,
  from: number,
  to: number,
  method: string,
  limits: HeadLimits,
): ResponseHead | undefined {
  try {
    return parse(bytes, from, to, method, limits);
  } catch (error) {
    if (error instanceof HeadError && error.code !== "HG_UPSTREAM_PROTOCOL") throw broken(error.message);
    throw error;
  }
}

function broken(message: string): HeadError {
  return new HeadError("HG_UPSTREAM_PROTOCOL", message);
}

const versionPrefix = "HTTP/1.";

function parse(bytes: Buffer, from: number, to: number, method: string, limits: HeadLimits): ResponseHead | undefined {
  for (let i = 0; i < versionPrefix.length; i++) {
    if (from + i >= to) return undefined;
    if (bytes[from + i] !== versionPrefix.charCodeAt(i)) throw broken("the answer does not start with HTTP/1.x");
  }
  if (to - from < 15) return undefined;
  const minorVersion = (bytes[from + 7] as number) - 48; // the first 15 bytes are there
  if ((minorVersion !== 0 && minorVersion !== 1) || bytes[from + 8] !== 32)
    throw broken("the status line is not valid");
  let at = from + 12;
  // RFC 9112 §4: SP before the reason; servers that leave out an empty reason often leave out the SP too.
  if (bytes[at] === 32) while (at < to && isFieldValue[bytes[at] as number] === 1) at++; // at < to
  if (at + 1 >= to) return incomplete(to - from, limits);
  if (bytes[at] !== 13 || bytes[at + 1] !== 10) throw broken("the status line is not valid");
  const offsets: number[] = [];
  const end = walkFields(bytes, at + 2, to, from, offsets, limits.headers);
  if (end < 0) return incomplete(to - from, limits);
  if (end - from > limits.headBytes) throw broken(`the response head is over ${limits.headBytes} bytes`);
  const raw = bytes.latin1Slice(from, end);
  const status = parseLength(raw, 9, 12);
  if (status < 100) throw broken("the status line is not valid");
  return readFields(raw, method, status, minorVersion, offsets, at + 2 - from, end);
}

function incomplete(length: number, limits: HeadLimits): undefined {
  if (length > limits.headBytes) throw broken(`the response head is over ${limits.headBytes} bytes`);
  return undefined;
}

interface Known extends ConnectionOptions {
  contentLength: number;
  chunked: boolean;
  keepAliveMs: number;
  hopByHop: number[];
}

function readFields(
  text: string,
  method: string,
  status: number,
  minorVersion: number,
  offsets: number[],
  fieldsStart: number,
  end: number,
): ResponseHead {
  const known: Known = {
    contentLength: -1,
    chunked: false,
    keepAliveMs: -1,
    hopByHop: [],
    close: false,
    keepAlive: false,
    upgrade: false,
    nominated: undefined,
  };
  for (let i = 0; i < offsets.length; i += 4) readField(text, offsets, i, known);
  if (known.chunked && known.contentLength >= 0) throw broken("both Content-Length and Transfer-Encoding");
  if (known.chunked && minorVersion === 0) throw broken("Transfer-Encoding in an HTTP/1.0 answer");
  const framing = framingOf(method, status, known);
  return {
    status,
    minorVersion,
    fields: new Fields(text, offsets),
    framing,
    contentLength: known.contentLength,
    keepAlive: framing !== "close" && !known.close && (minorVersion === 1 || known.keepAlive),
    keepAliveMs: known.keepAliveMs,
    hopByHop: known.hopByHop,
    nominated: known.nominated,
    fieldsStart,
    end,
  };
}

/** RFC 9112 §6.3. */
function framingOf(method: string, status: number, known: Known): ResponseFraming {
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return "none";
  if (known.chunked) return "chunked";
  if (known.contentLength < 0) return "close";
  return known.contentLength === 0 ? "none" : "length";
}

function readField(text: string, offsets: number[], i: number, known: Known): void {
  const start = offsets[i] as number; // four offsets a field, always present
  const end = offsets[i + 1] as number;
  const valueStart = offsets[i + 2] as number;
  const valueEnd = offsets[i + 3] as number;
  switch (end - start) {
    case 7:
      if (equalsLower(text, start, end, "upgrade")) known.hopByHop.push(i);
      return;
    case 10:
      if (equalsLower(text, start, end, "connection")) {
        readConnection(text.slice(valueStart, valueEnd), known);
        known.hopByHop.push(i);
      } else if (equalsLower(text, start, end, "keep-alive")) {
        const timeout = /timeout=(\d{1,6})/i.exec(text.slice(valueStart, valueEnd));
        if (timeout !== null) known.keepAliveMs = Number(timeout[1]) * 1000;
        known.hopByHop.push(i);
      }
      return;
    case 14:
      if (!equalsLower(text, start, end, "content-length")) return;
      if (known.contentLength >= 0) throw broken("more than one Content-Length");
      known.contentLength = parseLength(text, valueStart, valueEnd);
      if (known.contentLength < 0) throw broken("Content-Length is not a plain number");
      return;
    case 16:
      if (equalsLower(text, start, end, "proxy-connection")) known.hopByHop.push(i);
      return;
    case 17:
      if (!equalsLower(text, start, end, "transfer-encoding")) return;
      // A tab behind it counts as another value: that is how node's parser reads it.
      if (known.chunked || !equalsLower(text, valueStart, valueEnd, "chunked") || text.charCodeAt(valueEnd) === 9) {
        throw broken("a Transfer-Encoding other than chunked");
      }
      known.chunked = true;
      known.hopByHop.push(i);
      return;
    default:
  }
}
