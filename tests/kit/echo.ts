import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { gzipSync } from "node:zlib";
import { portOf } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { Bell, deferred, type Deferred } from "./wait.ts";

/** What the echo answers: the request as it arrived at the instance. */
export interface Echo {
  readonly method: string;
  readonly url: string;
  /** In order, names as received. */
  readonly headers: readonly (readonly [string, string])[];
  readonly trailers: readonly (readonly [string, string])[];
  readonly bodyBytes: number;
  readonly bodySha256: string;
  /** Which echo upstream answered. */
  readonly server: string;
}

export interface EchoUpstream {
  readonly port: number;
  readonly address: string;
  readonly server: http.Server;
  /** Requests whose head arrived, in order: `METHOD url`. */
  readonly seen: readonly string[];
  /** Requests that ended before their answer was complete: the gateway aborted them. */
  readonly aborted: readonly string[];
  /** TCP connections accepted so far. */
  connectionCount(): number;
  /** Lets the oldest held `/slow` request, or the next event of the oldest `/sse`, go on; waits until there is one. */
  release(): Promise<void>;
  /** Waits for the nth (from 1) request to arrive. */
  arrived(count: number): Promise<void>;
  /** Waits for the nth (from 1) aborted request. */
  aborts(count: number): Promise<void>;
  /** Stops listening and cuts every connection. */
  close(): void;
}

class EchoServer implements EchoUpstream {
  readonly server: http.Server;
  readonly seen: string[] = [];
  readonly aborted: string[] = [];
  readonly #name: string;
  readonly #bell = new Bell();
  readonly #held: Deferred[] = [];
  #connections = 0;

  constructor(name: string) {
    this.#name = name;
    this.server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    this.server.on("connection", () => this.#connections++);
  }

  get port(): number {
    return portOf(this.server);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  connectionCount(): number {
    return this.#connections;
  }

  async release(): Promise<void> {
    const held = await this.#bell.until(() => this.#held.shift(), "a held request");
    held.resolve();
  }

  async arrived(count: number): Promise<void> {
    await this.#bell.until(() => this.seen.length >= count || undefined, `request ${count} at ${this.#name}`);
  }

  async aborts(count: number): Promise<void> {
    await this.#bell.until(
      () => this.aborted.length >= count || undefined,
      `aborted request ${count} at ${this.#name}`,
    );
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  #hold(response: http.ServerResponse): Promise<void> {
    const held = deferred();
    this.#held.push(held);
    // What the gateway has aborted is not released in place of what still waits.
    response.once("close", () => {
      const at = this.#held.indexOf(held);
      if (at >= 0) this.#held.splice(at, 1);
    });
    this.#bell.ring();
    return held.promise;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const line = `${request.method ?? ""} ${request.url ?? ""}`;
    this.seen.push(line);
    this.#bell.ring();
    response.on("close", () => {
      if (response.writableFinished) return;
      this.aborted.push(line);
      this.#bell.ring();
    });
    const { pathname } = new URL(request.url ?? "/", "http://echo");
    const [, action = "", argument = ""] =
      /\/(bytes|chunked|trailers|sse|gzip|status|slow)(?:\/(\d+))?$/.exec(pathname) ?? [];
    const echo = await this.#read(request);
    await this.#answer(response, action, Number(argument), echo);
  }

  async #read(request: http.IncomingMessage): Promise<Echo> {
    const hash = createHash("sha256");
    let bodyBytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bodyBytes += chunk.length;
    }
    return {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: pairs(request.rawHeaders),
      trailers: pairs(request.rawTrailers),
      bodyBytes,
      bodySha256: hash.digest("hex"),
      server: this.#name,
    };
  }

  async #answer(response: http.ServerResponse, action: string, argument: number, echo: Echo): Promise<void> {
    switch (action) {
      case "bytes":
        response.writeHead(200, { "content-type": "application/octet-stream", "content-length": argument });
        await sendPattern(response, argument);
        break;
      case "chunked":
        for (const part of ["one ", "two ", "three"]) response.write(part);
        break;
      case "trailers":
        response.writeHead(200, { trailer: "x-checksum" });
        response.write("body with trailers");
        response.addTrailers({ "x-checksum": "abc123" });
        break;
      case "sse":
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.flushHeaders();
        for (let event = 1; event <= argument; event++) {
          await this.#hold(response);
          response.write(`id: ${event}\ndata: event ${event}\n\n`);
        }
        break;
      case "gzip":
        response.writeHead(200, { "content-type": "text/plain", "content-encoding": "gzip" });
        response.write(gzipSync("compressed by the instance\n".repeat(100)));
        break;
      case "status":
        response.writeHead(argument, { "x-from": "upstream" });
        if (argument !== 204 && argument !== 304) response.write(`status ${argument}`);
        break;
      case "slow":
        await this.#hold(response);
        writeEcho(response, echo);
        break;
      default:
        writeEcho(response, echo);
    }
    response.end();
  }
}

function writeEcho(response: http.ServerResponse, echo: Echo): void {
  const body = JSON.stringify(echo);
  const id = echo.headers.find(([name]) => name.toLowerCase() === "x-id")?.[1];
  const length = Buffer.byteLength(body);
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": length,
    ...(id === undefined ? {} : { "x-id": id }),
  });
  if (echo.method !== "HEAD") response.write(body);
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? "", flat[2 * i + 1] ?? ""]);
}

const block = Buffer.from(Array.from({ length: 65_536 }, (_, i) => i % 251));

/** The bytes that `/bytes/N` sends. */
export function patternBytes(length: number): Buffer {
  const whole = Array.from({ length: Math.ceil(length / block.length) }, () => block);
  return Buffer.concat(whole).subarray(0, length);
}

async function sendPattern(response: http.ServerResponse, length: number): Promise<void> {
  for (let left = length; left > 0; left -= block.length) {
    if (!response.write(left >= block.length ? block : block.subarray(0, left))) await once(response, "drain");
  }
}

/**
 * An instance on node:http. Any path answers with an `Echo` as JSON (and the request's `x-id` as a header), except where
 * the path ends in: `/bytes/N`, `/chunked`, `/trailers`, `/gzip`, `/status/N`, `/slow` (answers when released),
 * `/sse/N` (N events, each sent when released).
 */
export async function echoUpstream(scope: Scope, name = "echo", port = 0): Promise<EchoUpstream> {
  const echo = new EchoServer(name);
  echo.server.listen(port, "127.0.0.1");
  await once(echo.server, "listening");
  scope.after(() => echo.close());
  return echo;
}
