import { HTTPParser, methods as methodNames } from "node:_http_common";
import { ChunkedDecoder } from "../../packages/gateway/src/proxy/http1/chunked.ts";
import { HeadError } from "../../packages/gateway/src/proxy/http1/grammar.ts";
import { parseRequestHead } from "../../packages/gateway/src/proxy/http1/parse-head.ts";
import { parseResponseHead } from "../../packages/gateway/src/proxy/http1/parse-response.ts";
import { normalizeTarget } from "../../packages/gateway/src/proxy/router/normalize.ts";
import type { Seen, SeenMessage } from "./outcome.ts";

const limits = { headBytes: 65_536, headers: 1_000, uriBytes: 65_536 };

function empty(): Seen {
  return { messages: [], end: "complete", reason: "" };
}

function start(seen: Seen, line: string, fields: readonly string[]): SeenMessage {
  const message: SeenMessage = { line, fields, body: "", trailers: [], complete: false };
  seen.messages.push(message);
  return message;
}

function refuse(seen: Seen, error: unknown): Seen {
  if (!(error instanceof HeadError)) throw error;
  seen.end = "refused";
  seen.reason = error.message.replaceAll(/\d+/g, "N");
  return seen;
}

/** Reads a body that starts at `at`; returns where it ends, or -1 where it does not end within the bytes. */
function readBody(bytes: Buffer, text: string, at: number, framing: string, length: number, into: SeenMessage): number {
  if (framing === "chunked") {
    const decoder = new ChunkedDecoder();
    const end = decoder.feed(bytes, at, bytes.length, (from, to) => void (into.body += text.slice(from, to)), true);
    into.trailers = decoder.trailerLines.split("\r\n").slice(0, -1);
    into.complete = decoder.done;
    return decoder.done ? end : -1;
  }
  const end = framing === "length" ? at + length : at;
  into.body = text.slice(at, end);
  into.complete = end <= bytes.length;
  return into.complete ? end : -1;
}

/** The gateway's reading of a client's bytes: heads, the check of the target, bodies. */
export function oursRequests(text: string): Seen {
  const bytes = Buffer.from(text, "latin1");
  const seen = empty();
  try {
    for (let at = 0; at < text.length;) {
      const head = parseRequestHead(bytes, at, bytes.length, limits);
      if (head !== undefined && head.target !== "*" && normalizeTarget(head.target) === undefined) {
        throw new HeadError("HG_BAD_REQUEST", "the path is not valid");
      }
      if (head === undefined) {
        seen.end = "incomplete";
        return seen;
      }
      const message = start(seen, `${head.method} ${head.target}`, [...head.fields].flat());
      if (head.upgrade) {
        seen.end = "upgraded";
        return seen;
      }
      at = readBody(bytes, text, head.end, head.framing, head.contentLength, message);
      if (at < 0 || !head.keepAlive) {
        seen.end = at < 0 ? "incomplete" : "closing";
        return seen;
      }
    }
  } catch (error) {
    return refuse(seen, error);
  }
  return seen;
}

/** The gateway's reading of an instance's bytes up to their end; `method` is that of the requests. */
export function oursResponses(text: string, method: string): Seen {
  const bytes = Buffer.from(text, "latin1");
  const seen = empty();
  try {
    for (let at = 0; at < text.length;) {
      const head = parseResponseHead(bytes, at, bytes.length, method, limits);
      if (head === undefined) {
        seen.end = "incomplete";
        return seen;
      }
      const message = start(seen, String(head.status), [...head.fields].flat());
      if (head.status === 101) {
        seen.end = "upgraded";
        return seen;
      }
      const bodyStart = head.end;
      const close = head.framing === "close";
      at = readBody(
        bytes,
        text,
        bodyStart,
        close ? "length" : head.framing,
        close ? text.length - bodyStart : head.contentLength,
        message,
      );
      if (at < 0 || (!head.keepAlive && head.status >= 200)) {
        seen.end = at < 0 ? "incomplete" : "closing";
        return seen;
      }
    }
  } catch (error) {
    return refuse(seen, error);
  }
  return seen;
}

const parser = new HTTPParser();

/** llhttp numbers QUERY behind the RTSP methods, which its list for HTTP leaves out. */
function methodName(number: number): string {
  return (number === 46 ? "QUERY" : methodNames[number]) ?? "?";
}

/** Origin form of a target, as ours reports it; both parsers' targets go through this. */
function originForm(target: string): string {
  const rest = /^https?:\/\/[^/?#]*(.*)$/i.exec(target)?.[1];
  return rest === undefined ? target : rest.startsWith("/") ? rest : `/${rest}`;
}

/** Trailers and heads of more than 32 fields come in parts, before what they belong to is complete. */
interface Pending {
  fields: string[];
  url: string;
  message: SeenMessage | undefined;
}

type HeadersComplete = (
  major: number,
  minor: number,
  fields: string[] | undefined,
  method: number,
  url: string | undefined,
  status: number,
  reason: string,
  upgrade: boolean,
  keepAlive: boolean,
) => number;

function execute(
  type: number,
  text: string,
  seen: Seen,
  line: (method: number, url: string, status: number) => string,
  skipBody: (status: number) => boolean,
): void {
  const pending: Pending = { fields: [], url: "", message: undefined };
  let keepAlive = true;
  let upgraded = false;
  const headersComplete: HeadersComplete = (_major, _minor, fields, method, url, status, _reason, upgrade, keep) => {
    pending.message = start(seen, line(method, pending.url + (url ?? ""), status), pending.fields.concat(fields ?? []));
    pending.fields = [];
    pending.url = "";
    keepAlive = keep || status < 200;
    upgraded = upgrade;
    return skipBody(status) ? 1 : 0;
  };
  parser.initialize(type, {}, limits.headBytes, 0);
  parser[HTTPParser.kOnHeaders] = (fields: string[], url: string): void => {
    pending.fields = pending.fields.concat(fields);
    // With trailers the URL of their message comes once more.
    if (pending.message === undefined) pending.url += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = headersComplete;
  parser[HTTPParser.kOnBody] = (body: Buffer): void => {
    if (pending.message !== undefined) pending.message.body += body.toString("latin1");
  };
  parser[HTTPParser.kOnMessageComplete] = (): void => {
    const { message, fields } = pending;
    if (message === undefined) return;
    message.trailers = fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1] ?? ""}`] : []));
    message.complete = true;
    pending.fields = [];
    pending.message = undefined;
  };
  const result = parser.execute(Buffer.from(text, "latin1"));
  if (upgraded) seen.end = "upgraded";
  else if (!keepAlive && seen.messages.at(-1)?.complete === true) seen.end = "closing";
  else if (typeof result !== "number") {
    // llhttp takes `Connection: close` on a 1xx for the end of the connection, before the answer proper has come.
    const interim = result.reason.startsWith("Data after") && Number(seen.messages.at(-1)?.line) < 200;
    seen.end = interim ? "incomparable" : "refused";
    seen.reason = result.reason;
  } else if (parser.finish() !== undefined || pending.message !== undefined) seen.end = "incomplete";
}

/** node's reading of a client's bytes. */
export function nodeRequests(text: string): Seen {
  const seen = empty();
  execute(
    HTTPParser.REQUEST,
    text,
    seen,
    (method, url) => `${methodName(method)} ${originForm(url)}`,
    () => false,
  );
  return seen;
}

/** node's reading of an instance's bytes up to their end. */
export function nodeResponses(text: string, method: string): Seen {
  const seen = empty();
  // As node's own client does (parserOnIncomingClient): a 1xx is not the answer and has no body.
  execute(
    HTTPParser.RESPONSE,
    text,
    seen,
    (_method, _url, status) => String(status),
    (status) => method === "HEAD" || status < 200,
  );
  return seen;
}
