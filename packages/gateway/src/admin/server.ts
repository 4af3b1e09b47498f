import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Log } from "../core/log.ts";
import { tokenMatches } from "./token.ts";

/** A request's body must fit into this; 413 otherwise. */
const bodyBytesMax = 1024 * 1024;
const requestTimeoutMs = 30_000;

/** An answer: JSON by default, text of a given type, or text in pieces. */
export type AdminAnswer =
  | { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly type: string; readonly text: string }
  | { readonly status: number; readonly type: string; readonly pieces: AsyncIterable<string> };

export interface AdminRequest {
  readonly url: URL;
  readonly header: (name: string) => string | undefined;
  /** The parsed body. Throws an AdminError with 400 or 413. */
  readonly json: () => Promise<unknown>;
}

/** Who may call it: `anyone`; `local` also without a token when the server listens on loopback; `token` nobody else. */
export type Access = "anyone" | "local" | "token";

export interface AdminEndpoint {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly access: Access;
  readonly handle: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>;
}

/** Ends a request with this status and an RFC 9457 problem. */
export class AdminError extends Error {
  readonly status: number;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(status: number, detail: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(detail);
    this.name = "AdminError";
    this.status = status;
    this.extra = extra;
  }
}

export interface AdminOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  readonly token: string;
  readonly endpoints: readonly AdminEndpoint[];
  readonly log: Log;
}

export interface AdminServer {
  readonly address: string;
  close(): Promise<void>;
}

const titles: Readonly<Record<number, string>> = {
  400: "The request is not valid",
  401: "A token is required",
  403: "This is not allowed",
  404: "There is nothing here",
  405: "The method is not allowed here",
  413: "The body is too large",
  500: "The gateway failed",
  503: "The gateway is not ready",
};

/** Starts the admin server; resolves when it listens. Rejects when the address is taken. */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { host, port } = splitAddress(options.address);
  const local = isLoopback(host);
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
    (request, response) => {
      void serve(options, local, request, response).catch((error: unknown) => {
        options.log.error({ err: error }, "the admin server could not answer");
        response.destroy();
      });
    },
  );
  await listen(server, host, port);
  const bound = server.address() as AddressInfo; // A TCP server's address is one once it listens.
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(
  options: AdminOptions,
  local: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let answer: AdminAnswer;
  try {
    const endpoint = find(options, local, request);
    answer = await endpoint.handle(requestOf(request));
  } catch (error) {
    if (!(error instanceof AdminError)) options.log.error({ err: error }, "an admin request failed");
    answer = problem(error instanceof AdminError ? error : new AdminError(500, "The log has the details."));
  }
  await send(answer, request, response);
}

function find(options: AdminOptions, local: boolean, request: IncomingMessage): AdminEndpoint {
  const path = urlOf(request).pathname;
  if (local) refuseForeignHost(request);
  const here = options.endpoints.filter((endpoint) => endpoint.path === path);
  const open = here.some(({ access }) => access === "anyone" || (access === "local" && local));
  // Before 404 and 405, so that nobody without a token learns what is here.
  if (!open && !tokenMatches(options.token, request.headers.authorization)) {
    throw new AdminError(401, "Send the token in <dataDir>/admin-token as `Authorization: Bearer <token>`.");
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const endpoint = here.find((candidate) => candidate.method === method);
  if (endpoint !== undefined) return endpoint;
  if (here.length === 0) throw new AdminError(404, `There is no ${path}.`);
  const allowed = here.flatMap((candidate) => (candidate.method === "GET" ? ["GET", "HEAD"] : [candidate.method]));
  throw new AdminError(405, `${path} takes ${allowed.join(", ")}.`, { allow: allowed.join(", ") });
}

/**
 * A web page may point a name of its own at 127.0.0.1 and read what a loopback address answers without a token (DNS
 * rebinding). Its requests carry that name in `Host`.
 */
function refuseForeignHost(request: IncomingMessage): void {
  const host = (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (host === "" || host === "localhost" || isLoopback(host.replace(/^\[|\]$/g, ""))) return;
  throw new AdminError(403, "The admin address answers to its address or localhost only.");
}

function requestOf(request: IncomingMessage): AdminRequest {
  return {
    url: urlOf(request),
    header: (name) => {
      const value = request.headers[name.toLowerCase()];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    json: () => readJson(request),
  };
}

function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? "/", "http://admin.invalid");
  } catch {
    throw new AdminError(400, "The request target is not valid.");
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  // Without setEncoding a request stream yields buffers.
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bodyBytesMax) throw new AdminError(413, `The limit is ${bodyBytesMax} bytes.`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8")) as unknown;
  } catch {
    throw new AdminError(400, "The body is not valid JSON.");
  }
}

function problem(error: AdminError): AdminAnswer {
  const { allow, ...extra } = error.extra;
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (error.status === 401) headers["www-authenticate"] = 'Bearer realm="headgate"';
  if (typeof allow === "string") headers["allow"] = allow;
  const title = titles[error.status] ?? "The request failed";
  return {
    status: error.status,
    headers,
    json: { type: "about:blank", title, status: error.status, detail: error.message, ...extra },
  };
}

async function send(answer: AdminAnswer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const bare = request.method === "HEAD";
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  // A body nobody read would be taken for the next request.
  if (!request.complete) response.setHeader("connection", "close");
  if ("pieces" in answer) {
    response.writeHead(answer.status, { "content-type": answer.type });
    if (!bare) for await (const piece of answer.pieces) await write(response, piece);
    response.end();
    return;
  }
  const text = "json" in answer ? `${JSON.stringify(answer.json)}\n` : answer.text;
  const headers =
    "json" in answer ? { "content-type": "application/json", ...answer.headers } : { "content-type": answer.type };
  response.writeHead(answer.status, { ...headers, "content-length": String(Buffer.byteLength(text)) });
  response.end(bare ? undefined : text);
}

function write(response: ServerResponse, text: string): Promise<void> {
  if (response.destroyed || response.write(text)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** `host:port` in two; brackets around an IPv6 host removed. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

export function isLoopback(host: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(host) || host === "::1" || host === "localhost";
}
