import { GatewayError } from "../../core/errors.ts";
import { WheelTimer } from "../../core/wheel.ts";
import type { Carrier, ExchangeRun } from "../carrier.ts";
import type { Epoch } from "../epochs.ts";
import type { Client, Exchange } from "../exchange.ts";
import { answerWithError, gatewayAnswer, isBodiless, upstreamHead } from "../respond.ts";
import type { Route } from "../route.ts";
import type { UpstreamCall } from "../upstream/call.ts";
import type { ResponseHead } from "./parse-response.ts";
import { Fields } from "./fields.ts";
import type { ClientConnection } from "./client-connection.ts";
import { expectedMs, forwardingLines } from "./forwarding.ts";
import { HeadError } from "./grammar.ts";
import type { RequestHead } from "./parse-head.ts";
import type { BodySink } from "./request-body.ts";
import { RequestBody } from "./request-body.ts";
import type { ServerContext } from "./server-context.ts";
import { takenBytes, writeCopy, writeText, writeTogether } from "./wire.ts";

/** A body whose rest is at most this is read and thrown away so that the connection can go on; else it is closed. */
const discardBytesMax = 256 * 1024;

/** How long the chain may take to end once its exchange was stopped. */
const stopGraceMs = 100;

/** One exchange on an HTTP/1.1 connection: sends what the chain decided, streams the instance's body to the client. */
export class ServerExchange implements Carrier, BodySink {
  readonly exchange: Exchange;
  readonly head: RequestHead;
  readonly body: RequestBody | undefined;
  run: ExchangeRun | undefined;
  readonly carriesKey = false;
  /** The head of the answer was written: from here on errors can only cut. */
  answerBegan = false;
  /** Set by the match step. */
  route: Route | undefined;
  /** What keeps the snapshot it runs on from being disposed of. */
  epoch: Epoch | undefined;
  /** Nothing more happens here. */
  over = false;
  readonly #connection: ClientConnection;
  readonly #server: ServerContext;
  readonly #peer: Client;
  readonly #trusted: boolean;
  #cut = false;
  #blocked = false;
  #taken = 0;
  #deadline: WheelTimer | undefined;

  constructor(
    connection: ClientConnection,
    server: ServerContext,
    exchange: Exchange,
    head: RequestHead,
    peer: Client,
    trusted: boolean,
  ) {
    this.exchange = exchange;
    this.head = head;
    this.body = head.framing === "none" ? undefined : new RequestBody(exchange.request);
    this.#connection = connection;
    this.#server = server;
    this.#peer = peer;
    this.#trusted = trusted;
    exchange.carrier = this;
  }

  get upgrade(): boolean {
    return this.head.upgrade;
  }

  get expectsContinue(): boolean {
    return this.head.expectContinue;
  }

  get dechunk(): boolean {
    return this.head.minorVersion === 0;
  }

  /** Whether the client is not taking what is written. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Whether what is left of the request's body is small enough to be read and thrown away. */
  get restIsSmall(): boolean {
    const { body } = this;
    if (body === undefined || body.complete) return true;
    // With 100-continue unanswered nobody knows whether the body will come.
    return body.remaining <= discardBytesMax && !(this.expectsContinue && body.bytes === 0);
  }

  requestLines(extraNames: readonly string[] | undefined, nowMs: number): string {
    const { exchange, head } = this;
    return forwardingLines(
      head,
      exchange.request,
      this.#peer,
      this.#connection.ownLines,
      this.#trusted,
      () => exchange.id,
      extraNames,
      exchange.instanceAddress,
      exchange.deadlineMs - nowMs,
    );
  }

  /** What a trusted proxy in front says it waits for the answer; Infinity where none says so. */
  get awaitedMs(): number {
    return this.#trusted ? expectedMs(this.head) : Infinity;
  }

  /** Ends the exchange with HG_TIMEOUT after `ms`, or cuts an answer that streams then. */
  limitTime(ms: number): void {
    this.exchange.deadlineMs = this.exchange.startedMs + ms;
    this.#deadline = new WheelTimer(() => {
      this.stop(new GatewayError("HG_TIMEOUT"));
    });
    this.#server.wheel.arm(this.#deadline, this.exchange.deadlineMs);
  }

  /**
   * Ends the exchange from outside the chain. Steps that wait for an instance see the error come from there, so that
   * they can add their fields to the answer; an answer that has begun is cut.
   */
  stop(error: GatewayError): void {
    if (this.over) return;
    if (this.answerBegan) {
      this.abort(error);
      return;
    }
    if (this.run === undefined || this.run.settled) {
      this.fail(error);
      return;
    }
    this.run.abort(error);
    // A step that holds on to the exchange does not hold on to the client.
    if (this.#deadline !== undefined) this.#server.wheel.disarm(this.#deadline);
    this.#deadline = new WheelTimer(() => {
      this.fail(error);
    });
    this.#server.wheel.arm(this.#deadline, this.#server.clock.now() + stopGraceMs);
  }

  /** The chain is done: sends what it decided. Ignored where the exchange has ended meanwhile. */
  answer(): void {
    if (this.over || this.answerBegan) return;
    const { exchange } = this;
    const { response } = exchange;
    const call = this.run?.answered;
    if (response.source === "none") {
      this.#failBecause("the chain ended without an answer");
    } else if (!isFinal(response.status) && response.status !== call?.head?.status) {
      this.#failBecause("a step answered with a status that is none");
    } else if (response.source === "gateway") {
      // A step replaced the instance's answer, or none was asked for.
      this.run?.abort(new GatewayError("HG_CLIENT_CLOSED"));
      this.#answerGateway();
    } else if (this.#cut || call?.head === undefined) {
      this.fail(exchange.error);
    } else if (isBodiless(response.status) !== isBodiless(call.head.status)) {
      this.#answerBodiless(call.head);
    } else {
      this.#answerUpstream(call, call.head);
    }
  }

  #failBecause(message: string): void {
    this.fail(new GatewayError("HG_INTERNAL", { cause: new Error(message) }));
  }

  /** A step changed the status between one that has a body and one that has none: the instance's framing is void. */
  #answerBodiless(head: ResponseHead): void {
    const { response } = this.exchange;
    const { headers } = response;
    const ours = new Set([
      ...head.hopByHop.map((at) =>
        head.fields.raw.slice(head.fields.offsets[at], head.fields.offsets[at + 1]).toLowerCase(),
      ),
      ...(head.nominated ?? []),
    ]);
    response.headers = Fields.from([...headers].filter(([name]) => !ours.has(name.toLowerCase())));
    response.body = undefined;
    response.source = "gateway";
    this.run?.abort(new GatewayError("HG_CLIENT_CLOSED"));
    this.#answerGateway();
  }

  /** The error is the answer. */
  fail(error: unknown): void {
    if (this.over || this.answerBegan) return;
    const answered = answerWithError(this.exchange, error);
    this.run?.abort(answered);
    this.#answerGateway();
  }

  /** The client is gone, or the answer cannot be ended well: ends the attempts and the connection. */
  abort(error: GatewayError): void {
    if (this.over) return;
    const { exchange } = this;
    exchange.error ??= error;
    if (!this.answerBegan) exchange.response.status = error.facts.status;
    this.run?.abort(error);
    this.#connection.closeAfter = true;
    this.#end();
    this.#connection.destroy();
  }

  interim(lines: string): void {
    // To a client that does not read, hints would pile up here; they are the one thing that may be left out.
    if (this.head.minorVersion === 0 || this.answerBegan || this.over || this.#connection.clogged) return;
    if (!this.#connection.socket.write(`${lines}\r\n`, "latin1")) this.#connection.clogged = true;
  }

  resumeBody(): void {
    if (!this.over) this.#connection.resume();
  }

  cut(): void {
    this.#cut = true;
    if (!this.answerBegan || this.over) return;
    // With the head sent, only a broken connection tells the client that the answer is not whole.
    this.#connection.closeAfter = true;
    // Before anything ends the socket: one that is shutting down cannot be reset any more, and node then leaks it.
    this.#connection.socket.resetAndDestroy();
    this.#end();
  }

  /** Takes bytes of the request's body; returns the offset behind them and whether to go on reading. */
  feed(buffer: Buffer, from: number, to: number): { end: number; more: boolean } | undefined {
    try {
      return this.body?.feed(buffer, from, to);
    } catch (error) {
      this.#badBody(error);
      return undefined;
    }
  }

  /** The answer's body. */
  write(buffer: Buffer, from: number, to: number): boolean {
    const { socket } = this.#connection;
    const flowing = writeCopy(socket, buffer, from, to);
    if (!flowing && !this.#blocked) {
      this.#blocked = true;
      this.#connection.clogged = true;
      this.#taken = takenBytes(socket);
      this.run?.pauseIdle();
      this.#connection.armIdle();
    }
    return flowing;
  }

  /** The answer's body is complete. */
  end(): void {
    this.#end();
  }

  /** The client has taken what was written. */
  drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    if (this.body?.complete === false) this.#connection.armIdle();
    else this.#connection.disarm();
    this.run?.resumeIdle();
  }

  /** Whether a blocked client has taken anything since this was asked last. */
  hasMoved(): boolean {
    const taken = takenBytes(this.#connection.socket);
    const moved = taken > this.#taken;
    this.#taken = taken;
    return moved;
  }

  /** Books the exchange that a tunnel has taken over. */
  endTunnel(bytes: number): void {
    this.exchange.responseBytes = bytes;
    this.run?.endTunnel();
    this.#end();
  }

  /** The body broke its framing or its limit: nothing after it can be read. */
  #badBody(error: unknown): void {
    this.#connection.closeAfter = true;
    const failure = error instanceof HeadError ? new GatewayError(error.code, { detail: `${error.message}.` }) : error;
    if (this.over) this.#connection.destroy();
    else if (this.answerBegan)
      this.abort(failure instanceof GatewayError ? failure : new GatewayError("HG_INTERNAL", { cause: failure }));
    else this.fail(failure);
  }

  #answerUpstream(call: UpstreamCall, head: ResponseHead): void {
    if (head.status === 101) {
      this.#openTunnel(call, head);
      return;
    }
    const chunked = head.framing === "chunked" && !this.dechunk;
    // Without a length and without chunks only the connection's end tells where the answer ends.
    if (head.framing === "close" || (head.framing === "chunked" && this.dechunk)) this.#connection.closeAfter = true;
    // A final answer in place of 100 Continue: whether the body still comes is anybody's guess.
    if (this.expectsContinue && this.body?.bytes === 0) this.#connection.closeAfter = true;
    const text = upstreamHead(this.exchange, head, chunked, this.#connectionLine());
    this.answerBegan = true;
    this.#send(text + call.takeEarlyText(), undefined);
    call.attach(this);
  }

  #answerGateway(): void {
    if (!this.restIsSmall) this.#connection.closeAfter = true;
    const { exchange } = this;
    const answer = gatewayAnswer(exchange, this.#connectionLine(), this.#server.clock.wall());
    this.answerBegan = true;
    this.#send(answer.head, answer.body);
    exchange.responseBytes = answer.body?.length ?? 0;
    this.#end();
  }

  #send(text: string, body: Uint8Array | undefined): void {
    const { socket } = this.#connection;
    const flowing = body === undefined ? writeText(socket, text, this.#connection) : writeTogether(socket, text, body);
    if (!flowing) this.#connection.clogged = true;
  }

  #connectionLine(): string {
    if (this.#connection.closesAfter()) return "connection: close\r\n";
    return this.dechunk ? "connection: keep-alive\r\n" : "";
  }

  #openTunnel(call: UpstreamCall, head: ResponseHead): void {
    const upgrade = head.fields.get("upgrade") ?? "";
    const text = upstreamHead(this.exchange, head, false, `connection: upgrade\r\nupgrade: ${upgrade}\r\n`);
    this.answerBegan = true;
    // The limit is one of requests; a tunnel has its own.
    if (this.#deadline !== undefined) this.#server.wheel.disarm(this.#deadline);
    this.run?.leaveToTunnel();
    this.#connection.openTunnel(this, call, text);
  }

  /** Books the exchange, once, and hands the connection back. */
  #end(): void {
    if (this.over) return;
    this.over = true;
    this.#blocked = false;
    if (this.#deadline !== undefined) this.#server.wheel.disarm(this.#deadline);
    const { exchange } = this;
    const call = this.run?.answered;
    if (call !== undefined && exchange.response.source === "upstream" && exchange.responseBytes === 0) {
      exchange.responseBytes = call.bodyBytes;
    }
    exchange.requestBytes = this.body?.bytes ?? 0;
    this.#server.finished(this);
    this.#connection.exchangeOver(this);
  }
}

/** Whether it is a status that ends a request. */
function isFinal(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 999;
}
