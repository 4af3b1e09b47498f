import { GatewayError } from "../../core/errors.ts";
import { ChunkedDecoder } from "../http1/chunked.ts";
import { HeadError } from "../http1/grammar.ts";
import type { HeadLimits } from "../http1/grammar.ts";
import type { ResponseHead } from "../http1/parse-response.ts";
import { parseResponseHead } from "../http1/parse-response.ts";
import type { BodySink } from "../http1/request-body.ts";
import type { ConnectionUser, UpstreamConnection } from "./connection.ts";

/** A body of at most this that came with its head is kept as text, to leave in one write with the new head. */
const textBytesMax = 16 * 1024;
/** Most bytes of answer held while the chain still works on the head; then the instance has to wait. */
const earlyBytesMax = 256 * 1024;

const responseLimits: HeadLimits = { headBytes: 64 * 1024, headers: 256, uriBytes: 0 };

/** What a call tells its attempt. After `onFailure` or `onDone` nothing more comes. */
export interface CallEvents {
  /** A 1xx head other than 101. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead): void;
  /** Before the head: the attempt failed. After it: the answer was cut. */
  onFailure(error: GatewayError): void;
  /** The answer has arrived in full and the sink has it. */
  onDone(): void;
  /** The instance takes request bytes again. */
  onDrain(): void;
  /** Any byte of the answer came. */
  onProgress(): void;
  /** About the present, monotonic. */
  nowMs(): number;
}

/**
 * One request on one connection, the answering side: finds the head, checks the body's framing, hands the body to a
 * sink, and knows whether the connection can carry another request.
 */
export class UpstreamCall implements ConnectionUser {
  readonly connection: UpstreamConnection;
  /** Whether the connection served before; a close without an answer is then a keep-alive race. */
  readonly onReused: boolean;
  head: ResponseHead | undefined;
  /** The answer has arrived in full. */
  complete = false;
  /** Data bytes of the body. */
  bodyBytes = 0;
  readonly #method: string;
  readonly #dechunk: boolean;
  readonly #events: CallEvents;
  /** The bytes being read came with the head and are small: they are kept as text. */
  #collecting = false;
  /** The beginning of a head that has not come in full. */
  #held: Buffer | undefined;
  /** What came behind a 101. */
  #behindUpgrade = "";
  #remaining = 0;
  #decoder: ChunkedDecoder | undefined;
  #sink: BodySink | undefined;
  #earlyText = "";
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #over = false;
  #spoiled = false;
  /** The request was sent in full; else the connection cannot be used again. */
  requestSent = false;

  /** `dechunk`: the client speaks HTTP/1.0 and gets the data without the coding. */
  constructor(connection: UpstreamConnection, method: string, dechunk: boolean, events: CallEvents) {
    this.connection = connection;
    this.onReused = connection.reused;
    this.#method = method;
    this.#dechunk = dechunk;
    this.#events = events;
    connection.use(this);
  }

  /**
   * The part of the body that came with the head, as text to be written behind the head in one go; empty where it came
   * in several reads or was too big for that. Taken once.
   */
  takeEarlyText(): string {
    const text = this.#earlyText;
    this.#earlyText = "";
    return text;
  }

  /** The body goes to `sink` from here on: first what was held. */
  attach(sink: BodySink): void {
    let flowing = true;
    if (this.#earlyText !== "") {
      const bytes = Buffer.from(this.takeEarlyText(), "latin1");
      flowing = sink.write(bytes, 0, bytes.length);
    }
    for (const chunk of this.#early) flowing = sink.write(chunk, 0, chunk.length);
    this.#early = [];
    this.#sink = sink;
    if (this.complete) this.#finish();
    else if (flowing) this.connection.resume();
    else this.connection.pause();
  }

  /** The sink takes bytes again. */
  resume(): void {
    if (!this.#over) this.connection.resume();
  }

  /** Gives up: closes the connection, tells nobody. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.connection.release(this.complete && this.#reusable, this.head?.keepAliveMs ?? -1, this.#events.nowMs());
  }

  /** Leaves the socket to a tunnel. What came behind the head is returned. */
  detach(user: ConnectionUser): string {
    this.#over = true;
    this.connection.use(user);
    return this.#behindUpgrade;
  }

  onBytes(buffer: Buffer, length: number): boolean {
    if (this.#over) return false;
    this.#events.onProgress();
    try {
      if (this.head === undefined) return this.#readHead(buffer, length);
      const flowing = this.#readBody(buffer, 0, length);
      if (this.complete && this.#sink !== undefined) this.#finish();
      return flowing;
    } catch (error) {
      this.#fail(
        error instanceof HeadError
          ? new GatewayError("HG_UPSTREAM_PROTOCOL", { cause: error, ...this.#where() })
          : asGateway(error),
      );
      return false;
    }
  }

  onEnd(): void {
    if (this.#over || this.complete) return;
    if (this.head?.framing === "close") {
      this.complete = true;
      if (this.#sink !== undefined) this.#finish();
      return;
    }
    this.#fail(
      new GatewayError("HG_UPSTREAM_RESET", {
        ...this.#where(),
        cause: new Error("closed before the end of the answer"),
      }),
    );
  }

  onClose(error: Error | undefined): void {
    if (this.#over || this.complete) return;
    this.#fail(new GatewayError("HG_UPSTREAM_RESET", { ...this.#where(), cause: error ?? new Error("closed") }));
  }

  onDrain(): void {
    if (!this.#over) this.#events.onDrain();
  }

  get #reusable(): boolean {
    return this.requestSent && !this.#spoiled && this.head?.keepAlive === true;
  }

  #where(): { instance: string } {
    return { instance: this.connection.instance.address };
  }

  #readHead(buffer: Buffer, length: number): boolean {
    let bytes = buffer;
    let from = 0;
    let to = length;
    if (this.#held !== undefined) {
      bytes = Buffer.concat([this.#held, buffer.subarray(0, length)]);
      to = bytes.length;
      this.#held = undefined;
    }
    let head = parseResponseHead(bytes, from, to, this.#method, responseLimits);
    while (head !== undefined && head.status < 200 && head.status !== 101) {
      this.#events.onInterim(head);
      from = head.end;
      head = parseResponseHead(bytes, from, to, this.#method, responseLimits);
    }
    if (head === undefined) {
      this.#held = Buffer.from(bytes.subarray(from, to));
      return true;
    }
    this.head = head;
    if (head.status === 101) {
      this.#behindUpgrade = bytes.latin1Slice(head.end, to);
      this.#events.onHead(head);
      return true;
    }
    if (head.framing === "length") this.#remaining = head.contentLength;
    else if (head.framing === "chunked") this.#decoder = new ChunkedDecoder("HG_UPSTREAM_PROTOCOL");
    const more = this.#readEarly(bytes, head.end, to);
    this.#events.onHead(head);
    return more;
  }

  /** The body bytes that came in the same read as the head's end. */
  #readEarly(buffer: Buffer, from: number, to: number): boolean {
    this.#collecting = to - from <= textBytesMax;
    const more = this.#readBody(buffer, from, to);
    this.#collecting = false;
    return more;
  }

  /** Reads body bytes; returns whether to go on reading. */
  #readBody(buffer: Buffer, from: number, to: number): boolean {
    let flowing = true;
    let end = to;
    switch (this.head?.framing) {
      case "length":
        end = Math.min(to, from + this.#remaining);
        this.#remaining -= end - from;
        this.bodyBytes += end - from;
        if (end > from) flowing = this.#pass(buffer, from, end);
        if (this.#remaining === 0) this.complete = true;
        break;
      case "chunked":
        end = this.#readChunks(buffer, from, to, (start, until) => {
          if (!this.#pass(buffer, start, until)) flowing = false;
        });
        break;
      case "close":
        this.bodyBytes += end - from;
        if (end > from) flowing = this.#pass(buffer, from, end);
        break;
      default:
        end = from;
        this.complete = true;
    }
    // Bytes behind the answer belong to nothing: the next request on this connection must not read them.
    if (end < to) this.#spoiled = true;
    return flowing;
  }

  #readChunks(buffer: Buffer, from: number, to: number, pass: (from: number, to: number) => void): number {
    const decoder = this.#decoder;
    if (decoder === undefined) throw new Error("a chunked body without its decoder");
    const end = decoder.feed(buffer, from, to, pass, this.#dechunk);
    this.bodyBytes = decoder.dataBytes;
    if (decoder.done) {
      this.complete = true;
      if (!this.#dechunk) {
        const last = Buffer.from(decoder.lastLines, "latin1");
        this.#pass(last, 0, last.length);
      }
    }
    return end;
  }

  #pass(buffer: Buffer, from: number, to: number): boolean {
    if (this.#sink !== undefined) return this.#sink.write(buffer, from, to);
    if (this.#collecting) {
      this.#earlyText += buffer.latin1Slice(from, to);
      return true;
    }
    this.#early.push(Buffer.from(buffer.subarray(from, to)));
    this.#earlyBytes += to - from;
    return this.#earlyBytes < earlyBytesMax;
  }

  /** The answer is complete and its sink has all of it. */
  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.complete = true;
    const sink = this.#sink;
    this.connection.release(this.#reusable, this.head?.keepAliveMs ?? -1, this.#events.nowMs());
    sink?.end();
    this.#events.onDone();
  }

  #fail(error: GatewayError): void {
    // Released already: the connection may be another call's by now.
    if (this.#over) return;
    this.#over = true;
    this.connection.release(false, 0, 0);
    this.#events.onFailure(error);
  }
}

function asGateway(error: unknown): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError("HG_INTERNAL", { cause: error });
}
