import { STATUS_CODES } from "node:http";
import { GatewayError, errors } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { Exchange } from "./exchange.ts";
import type { ResponseHead } from "./http1/parse-response.ts";
import { fieldLines, restoredLength } from "./http1/write-head.ts";

/**
 * The body of an error answer (RFC 9457 problem details).
 */
export function problemBody(code: ErrorCode, detail: string | undefined, requestId: string): string {
  const { status, title } = errors[code];
  return JSON.stringify({
    type: `urn:headgate:error:${code.slice(3).toLowerCase().replaceAll("_", "-")}`,
    title,
    status,
    ...(detail === undefined ? {} : { detail }),
    code,
    requestId,
  });
}

/** Makes any error the exchange's answer. What is not a GatewayError becomes HG_INTERNAL and tells the client nothing. */
export function answerWithError(exchange: Exchange, error: unknown): GatewayError {
  let gatewayError = error instanceof GatewayError ? error : new GatewayError("HG_INTERNAL", { cause: error });
  const respond = ({ code, facts, details }: GatewayError): void => {
    const headers = { "content-type": "application/problem+json", ...details.headers };
    exchange.respond({ status: facts.status, headers, body: problemBody(code, details.detail, exchange.id) });
  };
  try {
    respond(gatewayError);
  } catch (cause) {
    // A step's error with fields that are not valid in HTTP.
    gatewayError = new GatewayError("HG_INTERNAL", { cause });
    respond(gatewayError);
  }
  exchange.error = gatewayError;
  return gatewayError;
}

let dateText = "";
let dateSecond = -1;

/** The Date field's line, made once a second. `wallMs`: milliseconds since 1970. */
function dateLine(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(wallMs).toUTCString()}\r\n`;
  }
  return dateText;
}

/** Whether an answer with this status has no body whatever its fields say (RFC 9110 §6.4.1). */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304 || status < 200;
}

/** Head and body of an answer the gateway makes. `connectionLine`: empty or a Connection field's line. */
export function gatewayAnswer(
  exchange: Exchange,
  connectionLine: string,
  wallMs: number,
): { head: string; body: Uint8Array | undefined } {
  const { response, request } = exchange;
  const { status } = response;
  const body =
    response.body !== undefined && response.body.length > 0 && !isBodiless(status) ? response.body : undefined;
  const length = isBodiless(status) ? "" : `content-length: ${body?.length ?? 0}\r\n`;
  const date = response.headers.has("date") ? "" : dateLine(wallMs);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${fieldLines(response.headers, 0, [], undefined)}${date}${length}${connectionLine}\r\n`;
  return { head, body: request.method === "HEAD" ? undefined : body };
}

/** An answer to a request that was refused before there was an exchange; the connection is closed behind it. */
export function refusal(code: ErrorCode, detail: string | undefined, id: string, wallMs: number): string {
  const { status } = errors[code];
  const body = problemBody(code, detail, id);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\ncontent-type: application/problem+json\r\n${dateLine(wallMs)}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;
}

/** The head of an instance's answer as it goes to the client. `chunked`: the body keeps its coding. */
export function upstreamHead(exchange: Exchange, head: ResponseHead, chunked: boolean, connectionLine: string): string {
  const { response } = exchange;
  const { fields } = head;
  const statusLine =
    response.status === head.status && head.minorVersion === 1
      ? fields.raw.slice(0, head.fieldsStart)
      : `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ""}\r\n`;
  // A step may have put another block of fields in the place of the received one.
  const received = response.headers === fields;
  const lines = received
    ? fieldLines(fields, head.fieldsStart, head.hopByHop, head.nominated)
    : fieldLines(response.headers, 0, [], undefined);
  const length = received
    ? restoredLength(fields, head.contentLength)
    : head.contentLength < 0
      ? ""
      : `content-length: ${head.contentLength}\r\n`;
  return `${statusLine}${lines}${length}${chunked ? "transfer-encoding: chunked\r\n" : ""}${connectionLine}\r\n`;
}
