import { once } from "node:events";
import net from "node:net";
import { portOf } from "./ports.ts";
import type { Scope } from "./scope.ts";
import { Bell, deferred, within } from "./wait.ts";
import { escapeBytes, readHead, readRequest, type Head, type WireRequest } from "./wire.ts";

/** What a script's wait ends in when the gateway closes the connection; a script may let it pass. */
export class UpstreamClosed extends Error {}

/** One connection the gateway made, driven by the test. */
export class UpstreamConnection {
  /** From 0, in order of arrival. */
  readonly index: number;
  readonly socket: net.Socket;
  /** Resolves when the gateway has closed its side; `reset` when by RST. */
  readonly closed: Promise<"end" | "reset">;
  /** Whole requests read so far. */
  readonly requests: WireRequest[] = [];
  #received: Buffer = Buffer.alloc(0);
  #offset = 0;
  #ended = false;
  readonly #bell = new Bell();
  readonly #log: WireRequest[];

  /** `log`: where every connection of the upstream adds the requests it read. */
  constructor(socket: net.Socket, index: number, log: WireRequest[]) {
    this.#log = log;
    this.socket = socket;
    this.index = index;
    const closed = deferred<"end" | "reset">();
    this.closed = closed.promise;
    const finish = (kind: "end" | "reset"): void => {
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
    socket.on("close", () => finish("end"));
  }

  /** Exactly the bytes received so far, as latin1. */
  get received(): string {
    return this.#received.toString("latin1");
  }

  /** The next whole request: head and body. */
  request(): Promise<WireRequest> {
    return this.#wait("a request", () => {
      const read = readRequest(this.#received, this.#offset);
      if (read === undefined) return undefined;
      this.#offset = read.end;
      this.requests.push(read.message);
      this.#log.push(read.message);
      return read.message;
    });
  }

  /** The next request's head; its body stays unread, and `request` would read the whole message again. */
  head(): Promise<Head> {
    return this.#wait("a request head", () => readHead(this.#received, this.#offset));
  }

  /** Waits until the bytes received hold `text`. */
  async until(text: string): Promise<void> {
    await this.#wait(escapeBytes(text), () => this.received.includes(text) || undefined);
  }

  /** Sends text as latin1, or bytes. */
  send(bytes: string | Buffer): void {
    if (this.socket.writable) this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Sends one byte a packet. */
  async sendBytewise(bytes: string): Promise<void> {
    for (const byte of Buffer.from(bytes, "latin1")) {
      if (!this.socket.writable) return;
      const flushed = deferred();
      this.socket.write(Buffer.of(byte), () => flushed.resolve());
      await flushed.promise;
    }
  }

  /** Answers 200 with a length, keep-alive. */
  ok(body = "ok"): void {
    this.send(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  }

  /** FIN after what was sent; still reads. */
  end(): void {
    this.socket.end();
  }

  /** RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  waitClosed(): Promise<"end" | "reset"> {
    return within(this.closed, `the gateway to close upstream connection ${this.index}`);
  }

  #wait<T>(what: string, condition: () => T | undefined): Promise<T> {
    return this.#bell.until(
      () => {
        const value = condition();
        if (value === undefined && this.#ended)
          throw new UpstreamClosed(`connection ${this.index} closed before ${what}`);
        return value;
      },
      () => `${what} on upstream connection ${this.index}; so far: ${escapeBytes(this.received.slice(-300))}`,
    );
  }
}

export interface ScriptedUpstream {
  readonly port: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Every connection so far; its length is their number. */
  readonly connections: readonly UpstreamConnection[];
  /** Waits for the connection with that index. */
  connection(index: number): Promise<UpstreamConnection>;
  /** Every whole request that scripts read, in order of reading. */
  requests(): WireRequest[];
}

/**
 * An instance over plain TCP. `script` runs once per connection and does what it likes: expect a request, send bytes,
 * wait for a promise of the test, cut, reset, lie. An error in a script other than the gateway closing fails the test.
 * Without a script the connection is accepted and never answered. `port`: one that is free; 0: any.
 */
export async function scriptedUpstream(
  scope: Scope,
  script: (connection: UpstreamConnection, index: number) => Promise<void> | void = () => undefined,
  port = 0,
): Promise<ScriptedUpstream> {
  const connections: UpstreamConnection[] = [];
  const log: WireRequest[] = [];
  const errors: unknown[] = [];
  const bell = new Bell();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = new UpstreamConnection(socket, connections.length, log);
    connections.push(connection);
    bell.ring();
    void (async () => {
      try {
        await script(connection, connection.index);
      } catch (error) {
        if (!(error instanceof UpstreamClosed)) errors.push(error);
      }
    })();
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  scope.after(() => {
    for (const { socket } of connections) socket.destroy();
    server.close();
    if (errors.length > 0) throw errors[0];
  });
  return {
    port: portOf(server),
    address: `127.0.0.1:${portOf(server)}`,
    connections,
    connection: (index) => bell.until(() => connections[index], `upstream connection ${index}`),
    requests: () => [...log],
  };
}

/** A script that answers every request on the connection with 200, until the gateway closes. */
export async function answerAll(connection: UpstreamConnection): Promise<void> {
  for (;;) {
    const { method, target, body } = await connection.request();
    if (method === "HEAD") connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    else connection.ok(`${method} ${target} ${body.toString("latin1")}`);
  }
}
