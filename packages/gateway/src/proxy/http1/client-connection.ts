import type net from "node:net";
import { GatewayError } from "../../core/errors.ts";
import { WheelTimer } from "../../core/wheel.ts";
import type { Client } from "../exchange.ts";
import { Exchange, ExchangeRequest } from "../exchange.ts";
import { refusal } from "../respond.ts";
import { normalizeTarget } from "../router/normalize.ts";
import type { UpstreamCall } from "../upstream/call.ts";
import { clientBehind, connectionLines, plainIp } from "./forwarding.ts";
import { HeadError } from "./grammar.ts";
import type { RequestHead } from "./parse-head.ts";
import { parseRequestHead } from "./parse-head.ts";
import type { ServerContext } from "./server-context.ts";
import { ServerExchange } from "./server-exchange.ts";
import { Tunnel } from "./tunnel.ts";
import { adopt, hasUnsent, takenBytes } from "./wire.ts";
import type { WireEvents } from "./wire.ts";

/** Most bytes of pipelined requests held while one is answered; then the client has to wait. */
const heldBytesMax = 64 * 1024;
/** After the last answer: how long what a client still sends is read, so that it sees the answer and not a reset. */
const lingerMs = 2_000;
/** A client that has ended its side and to which nothing was sent for this long is gone, not half-closed. */
const halfClosedMs = 500;
/** A tunnel in which nothing moves for this long is closed. */
const tunnelIdleMs = 3_600_000;

/** What the connection is doing; each has its own meaning of bytes, of an end, and of the timer. */
type Phase = "head" | "exchange" | "discard" | "clogged" | "linger" | "tunnel" | "closed";

/** One client connection: reads requests one after the other and gives each to the chain; answers go out in order. */
export class ClientConnection implements WireEvents {
  readonly socket: net.Socket;
  /** Forwarding lines that are the same for all its requests. */
  readonly ownLines: string;
  /** The connection ends with the exchange under way. */
  closeAfter = false;
  /** The kernel has not taken all that was written: no further request is begun, or answers would pile up here. */
  clogged = false;
  readonly #server: ServerContext;
  readonly #peer: Client;
  readonly #trusted: boolean;
  #phase: Phase = "head";
  #current: ServerExchange | undefined;
  /** Bytes that came before their turn. */
  #held: Buffer | undefined;
  #paused = false;
  #ended = false;
  #tunnel: Tunnel | undefined;
  #writtenBytes = 0;
  #taken = 0;
  readonly #timer = new WheelTimer(() => {
    this.#onTimer();
  });

  constructor(server: ServerContext, accepted: net.Socket, scheme: "http" | "https") {
    this.#server = server;
    const ip = plainIp(accepted.remoteAddress ?? "");
    this.#peer = { ip, port: accepted.remotePort ?? 0, peer: ip, scheme, localPort: accepted.localPort ?? 0 };
    this.#trusted = server.trusted(ip);
    this.ownLines = connectionLines(this.#peer);
    this.socket = adopt(accepted, this);
    this.#arm(server.timeouts.requestHeadMs);
  }

  onBytes(buffer: Buffer, length: number): boolean {
    const more = this.#read(buffer, length);
    if (!more) this.#paused = true;
    return more;
  }

  onEnd(): void {
    this.#ended = true;
    switch (this.#phase) {
      case "tunnel":
        this.#tunnel?.clientEnded();
        return;
      case "exchange":
        if (this.#current?.body?.complete === false) this.#current.abort(new GatewayError("HG_CLIENT_CLOSED"));
        else this.#watchHalfClosed();
        return;
      default:
        this.#close();
    }
  }

  onClose(): void {
    this.#phase = "closed";
    this.#server.wheel.disarm(this.#timer);
    this.#tunnel?.close();
    if (this.#tunnel !== undefined) this.#current?.endTunnel(this.#tunnel.bytes);
    this.#current?.abort(new GatewayError("HG_CLIENT_CLOSED"));
    this.#server.closed(this);
  }

  onDrain(): void {
    this.clogged = false;
    if (this.#tunnel !== undefined) this.#tunnel.clientDrained();
    else if (this.#phase === "clogged") this.#next(this.#server.clock.now());
    else this.#current?.drained();
  }

  /** Closes it where nothing is under way, else after the exchange. */
  drain(): void {
    if (this.#phase === "head" && this.#held === undefined) this.#close();
    else this.closeAfter = true;
  }

  destroy(): void {
    this.socket.destroy();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  /** Waits for the client to take or send bytes, for the idle limit at most. */
  armIdle(): void {
    this.#arm(this.#server.timeouts.requestBodyIdleMs);
  }

  disarm(): void {
    this.#server.wheel.disarm(this.#timer);
  }

  /** Decides whether the answer about to be sent is the last one here. */
  closesAfter(): boolean {
    if (this.#server.draining || (this.#ended && this.#held === undefined)) this.closeAfter = true;
    return this.closeAfter;
  }

  /** The current exchange is booked: turns to what comes next. */
  exchangeOver(done: ServerExchange): void {
    if (this.#current !== done) return;
    this.#current = undefined;
    if (this.#phase === "closed" || this.#phase === "tunnel") return;
    const { body } = done;
    if (this.closeAfter || !done.restIsSmall) {
      this.#linger();
    } else if (body !== undefined && !body.complete) {
      this.#phase = "discard";
      this.#discarding = done;
      body.discard();
      this.armIdle();
      this.resume();
    } else this.#next(done.exchange.finishedMs);
  }
  #discarding: ServerExchange | undefined;

  /** From here on bytes pass both ways until one side ends. `text`: the head of the answer. */
  openTunnel(carrier: ServerExchange, call: UpstreamCall, text: string): void {
    this.#phase = "tunnel";
    const onProgress = (): void => {
      this.#arm(tunnelIdleMs);
    };
    const tunnel = new Tunnel(this.socket, call.connection, onProgress, () => {
      carrier.endTunnel(tunnel.bytes);
    });
    this.#tunnel = tunnel;
    const early = call.detach(tunnel);
    tunnel.bytes = early.length;
    this.socket.write(text + early, "latin1");
    onProgress();
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) tunnel.fromClient(held, held.length);
    if (this.#ended) tunnel.clientEnded();
    this.resume();
  }

  #read(buffer: Buffer, length: number): boolean {
    switch (this.#phase) {
      case "head":
        return this.#readHead(buffer, 0, length);
      case "exchange":
      case "discard":
        return this.#readBody(buffer, 0, length);
      case "clogged":
        return this.#hold(buffer, 0, length);
      case "tunnel":
        return this.#tunnel?.fromClient(buffer, length) ?? false;
      case "linger":
        return true;
      case "closed":
        return false;
    }
  }

  #readHead(buffer: Buffer, from: number, to: number): boolean {
    let bytes = buffer;
    let start = from;
    let end = to;
    const held = this.#held;
    if (held !== undefined) {
      bytes = Buffer.concat([held, buffer.subarray(from, to)]);
      start = 0;
      end = bytes.length;
      this.#held = undefined;
      // A head that trickles in is looked at once a line, not once a byte.
      if (end <= this.#server.limits.headBytes && buffer.subarray(from, to).indexOf(10) < 0) {
        this.#held = bytes;
        return true;
      }
    }
    try {
      const head = parseRequestHead(bytes, start, end, this.#server.limits);
      if (head !== undefined) return this.#begin(head, bytes, head.end, end);
    } catch (error) {
      this.#refuse(error);
      return true;
    }
    if (held === undefined) this.#arm(this.#server.timeouts.requestHeadMs);
    this.#held = held === undefined ? Buffer.from(bytes.subarray(start, end)) : bytes;
    return true;
  }

  #begin(head: RequestHead, buffer: Buffer, from: number, to: number): boolean {
    this.closeAfter = this.closeAfter || !head.keepAlive || this.#server.draining;
    if (head.target === "*") {
      this.#answerServerOptions(head, buffer, from, to);
      return !this.#paused;
    }
    const target = normalizeTarget(head.target);
    if (target === undefined) throw new HeadError("HG_BAD_REQUEST", "the path is not valid");
    const request = new ExchangeRequest({
      method: head.method,
      target: head.target,
      host: head.host,
      headers: head.fields,
      matchPath: target.matchPath,
      path: target.path,
      search: target.search,
      framing: head.framing,
      contentLength: head.contentLength,
    });
    const client = this.#trusted ? clientBehind(this.#peer, head, this.#server.trusted) : this.#peer;
    const exchange = new Exchange(request, client, this.#server.makeId);
    exchange.startedMs = this.#server.clock.now();
    const current = new ServerExchange(this, this.#server, exchange, head, this.#peer, this.#trusted);
    this.#current = current;
    this.#phase = "exchange";
    let more = true;
    if (current.body === undefined) this.disarm();
    else this.armIdle();
    if (current.body !== undefined) {
      // Nobody takes it yet: what came with the head is held, the rest waits in the kernel.
      more = (from === to || this.#readBody(buffer, from, to)) && current.body.complete;
      // It was refused, and the rest is read only to be thrown away.
      if (current.over) return true;
    } else if (from < to) more = this.#hold(buffer, from, to);
    if (!more) this.#paused = true;
    this.#server.handle(current);
    return !this.#paused;
  }

  #readBody(buffer: Buffer, from: number, to: number): boolean {
    const current = this.#current ?? this.#discarding;
    const body = current?.body;
    if (current === undefined || body === undefined || body.complete) return this.#hold(buffer, from, to);
    const fed = current.feed(buffer, from, to);
    if (fed === undefined) return true;
    const held = fed.end >= to || this.#hold(buffer, fed.end, to);
    if (this.#phase === "discard") {
      if (body.complete) this.#next(this.#server.clock.now());
      else this.armIdle();
    } else if (this.#phase === "exchange" && !current.blocked) {
      if (body.complete) this.disarm();
      else this.armIdle();
    }
    return fed.more && held;
  }

  #hold(buffer: Buffer, from: number, to: number): boolean {
    const bytes = buffer.subarray(from, to);
    this.#held = this.#held === undefined ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    return this.#held.length < heldBytesMax;
  }

  /** Waits for the next request, or begins it where its bytes are here already. */
  #next(nowMs: number): void {
    this.#phase = "head";
    this.#discarding = undefined;
    if (this.closeAfter) {
      this.#linger();
      return;
    }
    if (this.clogged) {
      this.#phase = "clogged";
      this.#taken = takenBytes(this.socket);
      this.armIdle();
      return;
    }
    this.#server.wheel.arm(this.#timer, nowMs + this.#server.timeouts.keepAliveMs);
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      if (!this.#readHead(held, 0, held.length)) return;
    }
    // What is left of a half-closed client's bytes is no whole request: nothing more will come.
    if (this.#ended && this.#phase === "head") this.#close();
    else this.resume();
  }

  /** Sends FIN and reads on for a while: closing with unread bytes would reset the answer away. */
  #linger(): void {
    if (this.#phase === "closed") return;
    this.#phase = "linger";
    this.#held = undefined;
    if (this.#ended) {
      this.socket.destroySoon();
      return;
    }
    this.socket.end();
    this.#taken = takenBytes(this.socket);
    if (hasUnsent(this.socket)) this.armIdle();
    else this.#arm(lingerMs);
    this.resume();
  }

  #close(): void {
    if (this.#phase !== "closed") this.#phase = "linger";
    this.socket.destroySoon();
  }

  #answerServerOptions(head: RequestHead, buffer: Buffer, from: number, to: number): void {
    if (head.framing !== "none") this.closeAfter = true;
    const connection = this.closesAfter() ? "connection: close\r\n" : "";
    if (!this.socket.write(`HTTP/1.1 204 No Content\r\n${connection}\r\n`, "latin1")) this.clogged = true;
    if (from < to && !this.#hold(buffer, from, to)) this.#paused = true;
    this.#phase = "clogged";
    // Not at once: a flood of them would go as deep as it is long.
    queueMicrotask(() => {
      if (this.#phase === "clogged") this.#next(this.#server.clock.now());
    });
  }

  #refuse(error: unknown): void {
    const code = error instanceof HeadError ? error.code : "HG_INTERNAL";
    const detail = error instanceof HeadError ? `${error.message}.` : undefined;
    this.#server.refused(code);
    this.socket.write(refusal(code, detail, this.#server.makeId(), this.#server.clock.wall()));
    this.#linger();
  }

  #onTimer(): void {
    switch (this.#phase) {
      case "head":
        // Nothing of a request has come: a quiet close is what both sides expect.
        if (this.#held === undefined) this.#close();
        else this.#refuse(new HeadError("HG_REQUEST_TIMEOUT", "the request head did not arrive in time"));
        return;
      case "exchange":
        if (this.#current !== undefined) this.#exchangeTimer(this.#current);
        return;
      case "clogged":
      case "linger": {
        const taken = takenBytes(this.socket);
        // A slow reader gets what was written for it; one that does not read at all does not.
        if (taken > this.#taken && !this.socket.writableFinished) this.armIdle();
        else this.socket.destroy();
        this.#taken = taken;
        return;
      }
      default:
        this.socket.destroy();
    }
  }

  #exchangeTimer(current: ServerExchange): void {
    if (this.#ended && this.socket.bytesWritten > this.#writtenBytes) this.#watchHalfClosed();
    else if (current.blocked && current.hasMoved()) this.armIdle();
    else if (this.#ended || current.blocked) current.abort(new GatewayError("HG_CLIENT_CLOSED"));
    else if (current.body?.complete === false && this.#paused) {
      // Its bytes are not what is missing: somebody does not take them.
      if (current.run === undefined) this.armIdle();
      else current.stop(new GatewayError("HG_UPSTREAM_TIMEOUT"));
    } else if (current.body?.complete === false) {
      this.closeAfter = true;
      current.stop(new GatewayError("HG_REQUEST_TIMEOUT"));
    }
  }

  /** To a client that has closed, and not only half-closed, what is written next brings a reset. */
  #watchHalfClosed(): void {
    this.#writtenBytes = this.socket.bytesWritten;
    this.#arm(halfClosedMs);
  }

  #arm(ms: number): void {
    this.#server.wheel.arm(this.#timer, this.#server.clock.now() + ms);
  }
}
