import { redacted, redactQuery, secretTest } from "../../core/secrets.ts";
import type { Exchange } from "../../proxy/exchange.ts";

/** A value as JSON text, or empty where there is none; then the field is left out. */
export type Field = (exchange: Exchange) => string;

/** The fields of a `json` line, in their order, by the name `fields` selects them with. */
export const jsonFields: ReadonlyMap<string, Field> = new Map<string, Field>([
  ["time", (exchange) => `"${isoTime(exchange.startedWallMs)}"`],
  ["requestId", ({ id }) => quote(id)],
  ["client", ({ client }) => quote(client.ip)],
  ["method", ({ request }) => quote(request.method)],
  ["host", ({ request }) => quoteWire(request.host)],
  ["path", (exchange) => quoteWire(receivedPath(exchange))],
  ["query", (exchange) => quoteWire(receivedQuery(exchange))],
  ["status", (exchange) => String(statusOf(exchange))],
  ["durationMs", (exchange) => milliseconds(exchange.finishedMs - exchange.startedMs)],
  ["overheadMs", (exchange) => milliseconds((exchange.upstreamStartMs || exchange.finishedMs) - exchange.startedMs)],
  ["upstreamMs", upstreamMs],
  ["requestBytes", ({ requestBytes }) => String(requestBytes)],
  ["responseBytes", ({ responseBytes }) => String(responseBytes)],
  ["route", ({ routeName }) => quote(routeName)],
  ["service", ({ serviceName }) => quote(serviceName)],
  ["instance", ({ instanceAddress }) => quote(instanceAddress)],
  ["attempts", ({ attempts }) => (attempts === 0 ? "" : String(attempts))],
  ["consumer", ({ consumer }) => quote(consumer?.name ?? "")],
  ["userAgent", ({ request }) => quoteWire(request.headers.get("user-agent") ?? "")],
  ["referer", (exchange) => quoteWire(refererOf(exchange))],
  ["error", ({ error }) => quote(error?.code ?? "")],
  ["traceId", (exchange) => quote(traceIdOf(exchange))],
]);

/**
 * The field of that name: one of `jsonFields`, or `header.NAME` and `response.NAME` for the value of a request or
 * response header (several joined by a comma). Undefined where there is no such field.
 */
export function fieldNamed(name: string): Field | undefined {
  const known = jsonFields.get(name);
  if (known !== undefined) return known;
  const header = /^(header|response)\.([!#$%&'*+\-.^_`|~0-9A-Za-z]+)$/.exec(name);
  const headerName = header?.[2];
  if (headerName === undefined) return undefined;
  return (exchange) => {
    const message = header?.[1] === "header" ? exchange.request : exchange.response;
    const values = message.headers.getAll(headerName);
    if (values.length === 0) return "";
    return secretTest(exchange)(headerName) ? `"${redacted}"` : quoteWire(values.join(", "));
  };
}

/** The answer's status; of an exchange that ended before its answer that of its error. */
export function statusOf({ response, error }: Exchange): number {
  return response.status === 0 ? (error?.facts.status ?? 0) : response.status;
}

/** The path the client sent, not what the steps made of it. */
export function receivedPath({ request: { target } }: Exchange): string {
  const end = target.indexOf("?");
  return end < 0 ? target : target.slice(0, end);
}

/** The query the client sent, without its `?`, secrets replaced. */
export function receivedQuery(exchange: Exchange): string {
  const { target } = exchange.request;
  const start = target.indexOf("?");
  return start < 0 ? "" : redactQuery(target.slice(start + 1), secretTest(exchange));
}

/** The page a request came from, with the secrets of its query replaced. */
export function refererOf(exchange: Exchange): string {
  const referer = exchange.request.headers.get("referer") ?? "";
  const query = referer.indexOf("?");
  return query < 0 ? referer : referer.slice(0, query) + redactQuery(referer.slice(query), secretTest(exchange));
}

/** W3C Trace Context §3.2: the second part of `00-<32 hex>-<16 hex>-<2 hex>`, empty where the header is not valid. */
export function traceIdOf({ request }: Exchange): string {
  const traceparent = request.headers.get("traceparent");
  if (traceparent === undefined || traceparent.length < 55) return "";
  // By hand: on the hot path the expression for it cost as much as ten other fields.
  let isZero = true;
  for (let i = 0; i < 55; i++) {
    const c = traceparent.charCodeAt(i);
    if (i === 2 || i === 35 || i === 52) {
      if (c !== 45) return "";
    } else if (!((c >= 48 && c <= 57) || (c >= 97 && c <= 102))) {
      return "";
    } else if (i < 35 && i > 2 && c !== 48) {
      isZero = false;
    }
  }
  return isZero ? "" : traceparent.slice(3, 35);
}

function upstreamMs({ upstreamStartMs, upstreamHeadMs }: Exchange): string {
  return upstreamHeadMs === 0 ? "" : milliseconds(upstreamHeadMs - upstreamStartMs);
}

function milliseconds(ms: number): string {
  return String(Math.max(0, Math.round(ms * 1000) / 1000));
}

// Printable ASCII without `"` and `\`: what nearly every value is, and what needs no look at each character.
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** Text as a JSON string, empty for empty text. Control characters, also DEL and C1, are escaped: a line is one line. */
export function quote(text: string): string {
  if (text === "") return "";
  if (plain.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same for text of the wire, which is latin1 and in practice carries UTF-8. */
export function quoteWire(text: string): string {
  return plain.test(text) ? quote(text) : quote(Buffer.from(text, "latin1").toString("utf8"));
}

let isoSecond = NaN;
let isoPrefix = "";

/** `2026-01-01T00:00:00.000Z`. All but the milliseconds is made once a second. */
export function isoTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== isoSecond) {
    isoSecond = second;
    isoPrefix = new Date(second * 1000).toISOString().slice(0, 20);
  }
  return `${isoPrefix}${String(Math.floor(wallMs) - second * 1000).padStart(3, "0")}Z`;
}
