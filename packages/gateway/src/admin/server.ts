import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Log } from "../core/log.ts";
import { bodyBytesMax, type AdminAnswer, type AdminEndpoint, type AdminRequest } from "./endpoint.ts";
import { chooseMethod, findPath, type FoundEndpoint } from "./find-endpoint.ts";
import { checkQuery } from "./parameters.ts";
import { AdminError, problemAnswer } from "./problem.ts";
import { bodyKind, parseBody, readBytes, type BodyKind, type ReadBody } from "./read-body.ts";
import { refusalOf } from "./refusals.ts";
import { discardBody, send, type OpenStreams } from "./send.ts";
import { tokenMatches } from "./token.ts";

const requestTimeoutMs = 30_000;
/** Beyond it new connections are closed: whoever needs that many has lost count of them. */
const connectionsMax = 1_024;

export interface AdminOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  readonly token: string;
  readonly endpoints: readonly AdminEndpoint[];
  readonly log: Log;
}

export interface AdminServer {
  readonly address: string;
  /** Ends open streams in order and everything else at once. */
  close(): Promise<void>;
}

/** What is the same for all requests. */
interface Serving extends AdminOptions {
  readonly local: boolean;
  readonly streams: OpenStreams;
}

/** A request, and whether its sender waits to be told to send the body (`Expect: 100-continue`). */
interface Incoming {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  held: boolean;
}

/** Starts the admin server; resolves when it listens. Rejects when the address is taken. */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { host, port } = splitAddress(options.address);
  const serving: Serving = { ...options, local: isLoopback(host), streams: new Set() };
  const server = createServer({ requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs });
  server.maxConnections = connectionsMax;
  const serveOne = (request: IncomingMessage, response: ServerResponse, held: boolean): void => {
    void serve(serving, { request, response, held }).catch((error: unknown) => {
      options.log.error({ err: error }, "the admin server could not answer");
      response.destroy();
    });
  };
  server.on("request", (request, response) => serveOne(request, response, false));
  // The body is asked for when it is read: what is refused before that need not be sent.
  server.on("checkContinue", (request, response) => serveOne(request, response, true));
  await listen(server, host, port);
  const bound = server.address() as AddressInfo; // A TCP server's address is one once it listens.
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        for (const end of [...serving.streams]) end();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(serving: Serving, incoming: Incoming): Promise<void> {
  const { request, response } = incoming;
  let answer: AdminAnswer;
  try {
    const found = find(serving, request);
    answer = await found.endpoint.handle(requestOf(incoming, found));
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) serving.log.error({ err: error }, "an admin request failed");
    answer = problemAnswer(refusal ?? new AdminError(500, "The log has the details."));
  }
  await discardBody(request, incoming.held);
  await send(answer, request, response, serving.streams);
}

function find({ endpoints, local, token }: Serving, request: IncomingMessage): FoundEndpoint {
  const url = urlOf(request);
  const path = url.pathname;
  if (local) refuseForeignHost(request);
  const here = findPath(endpoints, path);
  const open = here.endpoints.some(({ access }) => access === "anyone" || (access === "local" && local));
  // Before 404 and 405, so that nobody without a token learns what is here.
  if (!open && !tokenMatches(token, request.headers.authorization)) {
    throw new AdminError(401, "Send the token in <dataDir>/admin-token as `Authorization: Bearer <token>`.");
  }
  const found = chooseMethod(here, request.method ?? "", path, endpoints);
  const { access, about } = found.endpoint;
  // Probes and scrapers add parameters of their own.
  if (access === "token") checkQuery(url, about.query ?? []);
  return found;
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

function requestOf(incoming: Incoming, { endpoint, parameters }: FoundEndpoint): AdminRequest {
  const { request } = incoming;
  const header = (name: string): string | undefined => {
    const value = request.headers[name.toLowerCase()];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  const read = async (kinds: readonly BodyKind[]): Promise<ReadBody> => {
    const kind = bodyKind(header("content-type"), header("content-encoding"), kinds);
    return parseBody(await bytesOf(incoming, endpoint.bodyBytesMax ?? bodyBytesMax), kind);
  };
  return {
    url: urlOf(request),
    parameter: (name) => parameters.get(name) ?? "",
    header,
    read,
    json: async () => {
      const body = await read(["json"]);
      return body.kind === "text" ? body.text : body.value;
    },
  };
}

async function bytesOf(incoming: Incoming, bytesMax: number): Promise<Buffer> {
  const { request, response } = incoming;
  if (incoming.held && !(Number(request.headers["content-length"] ?? 0) > bytesMax)) {
    incoming.held = false;
    response.writeContinue();
  }
  return readBytes(request, bytesMax);
}

function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? "/", "http://admin.invalid");
  } catch {
    throw new AdminError(400, "The request target is not valid.");
  }
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
