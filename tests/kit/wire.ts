/**
 * A second, independent reader of HTTP/1.1, so that tests do not judge the gateway's parser by itself. It reads whole
 * messages from bytes, by RFC 9112 and strictly: anything it does not expect is an error that fails the test.
 */

export interface WireMessage {
  readonly startLine: string;
  /** In order, names as written. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  readonly framing: "none" | "length" | "chunked" | "close";
  /** First value of a field, names without case. */
  get(name: string): string | undefined;
  getAll(name: string): string[];
  /** The body as UTF-8. */
  readonly text: string;
}

export interface WireResponse extends WireMessage {
  readonly status: number;
}

export interface WireRequest extends WireMessage {
  readonly method: string;
  readonly target: string;
}

export interface Read<T> {
  readonly message: T;
  /** Where the next message starts. */
  readonly end: number;
}

export interface Head {
  readonly startLine: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly end: number;
}

class Message implements WireMessage {
  readonly startLine: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  readonly framing: WireMessage["framing"];

  constructor(head: Head, framing: WireMessage["framing"], body: Buffer, trailers: WireMessage["trailers"]) {
    this.startLine = head.startLine;
    this.fields = head.fields;
    this.framing = framing;
    this.body = body;
    this.trailers = trailers;
  }

  get(name: string): string | undefined {
    return this.getAll(name)[0];
  }

  getAll(name: string): string[] {
    return fieldValues(this.fields, name);
  }

  get text(): string {
    return this.body.toString("utf8");
  }
}

class Response extends Message implements WireResponse {
  readonly status: number;
  constructor(head: Head, framing: WireMessage["framing"], body: Buffer, trailers: WireMessage["trailers"]) {
    super(head, framing, body, trailers);
    this.status = statusOf(head.startLine);
  }
}

class Request extends Message implements WireRequest {
  readonly method: string;
  readonly target: string;
  constructor(head: Head, framing: WireMessage["framing"], body: Buffer, trailers: WireMessage["trailers"]) {
    super(head, framing, body, trailers);
    const [, method = "", target = ""] =
      /^(\S+) (\S+) HTTP\/1\.[01]$/.exec(head.startLine) ?? fail("request line", head.startLine);
    this.method = method;
    this.target = target;
  }
}

function fieldValues(fields: Head["fields"], name: string): string[] {
  const lower = name.toLowerCase();
  return fields.filter(([key]) => key.toLowerCase() === lower).map(([, value]) => value);
}

function fail(what: string, text: string): never {
  throw new Error(`not a valid ${what}: ${JSON.stringify(text.slice(0, 200))}`);
}

function statusOf(startLine: string): number {
  const match = /^HTTP\/1\.[01] ([1-9]\d\d) [\t\x20-\x7e\x80-\xff]*$/.exec(startLine) ?? fail("status line", startLine);
  return Number(match[1]);
}

function parseFields(lines: readonly string[]): [string, string][] {
  return lines.map((line) => {
    const match =
      /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/.exec(line) ?? fail("field", line);
    return [match[1] ?? "", match[2] ?? ""];
  });
}

/** A head from `offset`, or undefined while it is incomplete. */
export function readHead(bytes: Buffer, offset = 0): Head | undefined {
  const stop = bytes.indexOf("\r\n\r\n", offset, "latin1");
  if (stop < 0) return undefined;
  const [startLine = "", ...lines] = bytes.toString("latin1", offset, stop).split("\r\n");
  return { startLine, fields: parseFields(lines), end: stop + 4 };
}

interface Body {
  readonly body: Buffer;
  readonly trailers: [string, string][];
  readonly end: number;
}

function readChunked(bytes: Buffer, offset: number): Body | undefined {
  const parts: Buffer[] = [];
  for (let at = offset; ;) {
    const lineEnd = bytes.indexOf("\r\n", at, "latin1");
    if (lineEnd < 0) return undefined;
    const line = bytes.toString("latin1", at, lineEnd);
    const size = Number.parseInt((/^([0-9a-fA-F]+)(?:;.+)?$/.exec(line) ?? fail("chunk size", line))[1] ?? "", 16);
    at = lineEnd + 2;
    if (size === 0) return readTrailers(bytes, at, Buffer.concat(parts));
    if (bytes.length < at + size + 2) return undefined;
    parts.push(bytes.subarray(at, at + size));
    at += size;
    if (bytes.toString("latin1", at, at + 2) !== "\r\n") fail("end of a chunk", bytes.toString("latin1", at, at + 8));
    at += 2;
  }
}

function readTrailers(bytes: Buffer, offset: number, body: Buffer): Body | undefined {
  if (bytes.length < offset + 2) return undefined;
  if (bytes.toString("latin1", offset, offset + 2) === "\r\n") return { body, trailers: [], end: offset + 2 };
  const stop = bytes.indexOf("\r\n\r\n", offset, "latin1");
  if (stop < 0) return undefined;
  return { body, trailers: parseFields(bytes.toString("latin1", offset, stop).split("\r\n")), end: stop + 4 };
}

function framingOf(fields: Head["fields"]): { framing: "none" | "length" | "chunked"; length: number } {
  const codings = fieldValues(fields, "transfer-encoding");
  const lengths = fieldValues(fields, "content-length");
  if (codings.length > 0) {
    if (lengths.length > 0 || codings.length > 1 || codings[0]?.toLowerCase() !== "chunked")
      fail("framing", JSON.stringify(fields));
    return { framing: "chunked", length: 0 };
  }
  if (lengths.length === 0) return { framing: "none", length: 0 };
  const [length = ""] = lengths;
  if (lengths.length > 1 || !/^\d+$/.test(length)) fail("content-length", lengths.join());
  return { framing: "length", length: Number(length) };
}

function readFramed(bytes: Buffer, head: Head): (Body & { framing: "none" | "length" | "chunked" }) | undefined {
  const { framing, length } = framingOf(head.fields);
  if (framing === "chunked") {
    const chunked = readChunked(bytes, head.end);
    return chunked && { ...chunked, framing };
  }
  const end = head.end + length;
  return bytes.length < end ? undefined : { framing, body: bytes.subarray(head.end, end), trailers: [], end };
}

/**
 * The response at `offset` to a request with `method`, or undefined while it is incomplete. `ended`: the peer closed,
 * which is what ends a body without a declared end. An answer to HEAD, 1xx, 204 and 304 carries no body (§6.3).
 */
export function readResponse(
  bytes: Buffer,
  offset: number,
  method: string,
  ended: boolean,
): Read<WireResponse> | undefined {
  const head = readHead(bytes, offset);
  if (head === undefined) return undefined;
  const status = statusOf(head.startLine);
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) {
    return { message: new Response(head, "none", Buffer.alloc(0), []), end: head.end };
  }
  if (framingOf(head.fields).framing === "none") {
    if (!ended) return undefined;
    return { message: new Response(head, "close", bytes.subarray(head.end), []), end: bytes.length };
  }
  const rest = readFramed(bytes, head);
  return rest && { message: new Response(head, rest.framing, rest.body, rest.trailers), end: rest.end };
}

/** The request at `offset`, or undefined while it is incomplete. */
export function readRequest(bytes: Buffer, offset: number): Read<WireRequest> | undefined {
  const head = readHead(bytes, offset);
  const rest = head && readFramed(bytes, head);
  return head && rest && { message: new Request(head, rest.framing, rest.body, rest.trailers), end: rest.end };
}

/** Bytes as text one can paste into a test: printable ASCII as it is, the rest escaped. */
export function escapeBytes(bytes: Buffer | string): string {
  return JSON.stringify(typeof bytes === "string" ? bytes : bytes.toString("latin1")).replace(
    /[\x7f-\xff]/g,
    (c) => `\\u00${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
