import { once } from "node:events";
import net from "node:net";
import type { Scope } from "./scope.ts";
import { Bell, deferred, within } from "./wait.ts";
import { escapeBytes, readResponse, type WireResponse } from "./wire.ts";

/** How the other end closed: in order, or by a reset. */
export type CloseKind = "end" | "reset";

/** A TCP client that sends exactly what the test says and reads with the kit's own parser. */
export class RawClient {
  readonly socket: net.Socket;
  /** Resolves when the gateway has closed its side (FIN or RST). */
  readonly closed: Promise<CloseKind>;
  #received: Buffer = Buffer.alloc(0);
  #offset = 0;
  #ended = false;
  readonly #bell = new Bell();

  private constructor(socket: net.Socket) {
    this.socket = socket;
    const closed = deferred<CloseKind>();
    this.closed = closed.promise;
    const finish = (kind: CloseKind): void => {
      this.#ended = true;
      closed.resolve(kind);
      this.#bell.ring();
    };
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#bell.ring();
    });
    socket.on("end", () => finish("end"));
    socket.on("error", () => finish("reset"));
    socket.on("close", () => finish("reset"));
  }

  /** Connects to 127.0.0.1; the connection is cut with the test. `allowHalfOpen`: our side stays writable after theirs ended. */
  static async connect(scope: Scope, port: number): Promise<RawClient> {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    scope.after(() => void socket.destroy());
    await once(socket, "connect");
    return new RawClient(socket);
  }

  /** Sends text as latin1, or bytes. */
  send(bytes: string | Buffer): void {
    if (!this.socket.writable) return;
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Sends one byte a packet, so that the reader meets every split. */
  async sendBytewise(bytes: string): Promise<void> {
    for (const byte of Buffer.from(bytes, "latin1")) {
      if (!this.socket.writable) return;
      const flushed = deferred();
      this.socket.write(Buffer.of(byte), () => flushed.resolve());
      await flushed.promise;
    }
  }

  /** Ends our side: FIN, still reading. */
  end(): void {
    this.socket.end();
  }

  /** Ends both sides with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Ends both sides. */
  close(): void {
    this.socket.destroy();
  }

  /** Everything received so far, also what was already read as responses, as latin1. */
  get received(): string {
    return this.#received.toString("latin1");
  }

  /** What came after the last response that was read, as latin1. */
  get unread(): string {
    return this.#received.toString("latin1", this.#offset);
  }

  /** The next response, informational ones included. `method`: that of the request it answers. */
  response(method = "GET"): Promise<WireResponse> {
    return this.#bell.until(
      () => {
        const read = readResponse(this.#received, this.#offset, method, this.#ended);
        if (read === undefined) {
          if (this.#ended)
            throw new Error(`the connection closed before a whole response: ${escapeBytes(this.unread.slice(0, 400))}`);
          return undefined;
        }
        this.#offset = read.end;
        return read.message;
      },
      () => `a response; so far: ${escapeBytes(this.unread.slice(0, 400))}`,
    );
  }

  /** The next response that is not informational. */
  async finalResponse(method = "GET"): Promise<WireResponse> {
    for (;;) {
      const response = await this.response(method);
      if (response.status >= 200 || response.status === 101) return response;
    }
  }

  /** Waits until the unread text holds `text`; returns the unread text. */
  until(text: string): Promise<string> {
    return this.#bell.until(
      () => {
        if (this.unread.includes(text)) return this.unread;
        if (this.#ended)
          throw new Error(`the connection closed before ${escapeBytes(text)}: ${escapeBytes(this.unread.slice(-400))}`);
        return undefined;
      },
      () => `${escapeBytes(text)}; so far: ${escapeBytes(this.unread.slice(-400))}`,
    );
  }

  /** Waits for the gateway to close. */
  waitClosed(): Promise<CloseKind> {
    return within(this.closed, () => `the connection to close; last: ${escapeBytes(this.unread.slice(-200))}`);
  }
}

export interface RequestInit {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The text of a plain request: Host, the given fields, Content-Length where there is a body. */
export function requestText(target: string, init: RequestInit = {}): string {
  const { method = "GET", headers = {}, body } = init;
  const fields = Object.entries({ host: "test.example", ...headers });
  if (body !== undefined) fields.push(["content-length", String(Buffer.byteLength(body))]);
  return `${method} ${target} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body ?? ""}`;
}

/** One request on a connection of its own; the final response. */
export async function request(
  scope: Scope,
  port: number,
  target: string,
  init: RequestInit = {},
): Promise<WireResponse> {
  const client = await RawClient.connect(scope, port);
  client.send(requestText(target, init));
  const response = await client.finalResponse(init.method);
  client.close();
  return response;
}
