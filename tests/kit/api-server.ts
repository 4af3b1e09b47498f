import { once } from "node:events";
import http from "node:http";
import { portOf } from "./ports.ts";
import type { Scope } from "./scope.ts";

/**
 * How an API fails. `error`: status 500. `garbage`: 200 with something else. `half`: an answer whose end is missing.
 * `silence`: nothing. `cut`: the connection is broken off. `slow`: the right answer, byte by byte.
 */
export type ApiFailure = "error" | "garbage" | "half" | "silence" | "cut" | "slow";

/** One request as the server saw it. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** An HTTP API of a test, which can be made to fail. */
export abstract class ApiServer {
  readonly requests: ApiRequest[] = [];
  failure: ApiFailure | undefined;
  readonly #server: http.Server;

  constructor(scope: Scope) {
    this.#server = http.createServer((request, response) => {
      this.#receive(request, response).catch(() => response.destroy());
    });
    scope.after(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** `http://127.0.0.1:port`. */
  get url(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`;
  }

  /** Connections that are open. */
  connections(): Promise<number> {
    return new Promise((resolve) => this.#server.getConnections((_, count) => resolve(count)));
  }

  /** Answers a request that is not to fail, now or later. */
  protected abstract answer(request: ApiRequest, response: http.ServerResponse): void;

  /** Sends JSON, or what `failure` makes of it. */
  protected send(response: http.ServerResponse, value: unknown, headers: http.OutgoingHttpHeaders = {}): void {
    const text = JSON.stringify(value);
    switch (this.failure) {
      case undefined:
        response.writeHead(200, { "content-type": "application/json", ...headers }).end(text);
        return;
      case "error":
        response.writeHead(500, { "content-type": "text/plain" }).end("rpc error: no leader");
        return;
      case "garbage":
        response.writeHead(200, { "content-type": "text/html", ...headers }).end("<html>welcome</html>");
        return;
      case "half":
        response.writeHead(200, { ...headers, "content-length": text.length + 1 });
        response.write(text.slice(0, text.length / 2), () => response.destroy());
        return;
      case "silence":
        return;
      case "cut":
        response.destroy();
        return;
      case "slow":
        void sendSlowly(response, text, headers);
    }
  }

  async #receive(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://api");
    const seen: ApiRequest = {
      method: request.method ?? "",
      path: pathname,
      query: searchParams,
      headers: request.headers,
      body: Buffer.concat(pieces).toString("utf8"),
    };
    this.requests.push(seen);
    if (this.failure === undefined || this.failure === "slow") this.answer(seen, response);
    else this.send(response, []);
  }
}

async function sendSlowly(
  response: http.ServerResponse,
  text: string,
  headers: http.OutgoingHttpHeaders,
): Promise<void> {
  response.writeHead(200, headers);
  for (const byte of Buffer.from(text)) {
    if (response.destroyed) return;
    await new Promise<void>((resolve) => response.write(Buffer.of(byte), () => setImmediate(resolve)));
  }
  response.end();
}
