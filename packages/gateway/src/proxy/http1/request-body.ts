import { GatewayError } from "../../core/errors.ts";
import type { ExchangeRequest } from "../exchange.ts";
import { ChunkedDecoder } from "./chunked.ts";

/** Most body bytes kept so that another attempt can send them again (as Linkerd's ReplayBody). */
export const replayBytesMax = 64 * 1024;

/** Where body bytes go. The buffer is valid during the call only. */
export interface BodySink {
  /** Returns false where the source should wait for `resume`. */
  write(buffer: Buffer, from: number, to: number): boolean;
  /** The body is complete. */
  end(): void;
}

/**
 * A request's body on its way from the client to an instance: checks its framing, counts it, holds what came before
 * somebody wanted it, and keeps the beginning for another attempt.
 */
export class RequestBody {
  /** All of it has arrived. */
  complete = false;
  readonly #request: ExchangeRequest;
  readonly #decoder: ChunkedDecoder | undefined;
  #remaining: number;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #replayable = true;
  #bytes = 0;
  #sink: BodySink | undefined;

  constructor(request: ExchangeRequest) {
    this.#request = request;
    this.#decoder = request.framing === "chunked" ? new ChunkedDecoder() : undefined;
    this.#remaining = request.framing === "length" ? request.contentLength : 0;
  }

  /** Data bytes that have arrived. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes still to come where the length is known; Infinity where it is not. */
  get remaining(): number {
    if (this.complete) return 0;
    return this.#decoder === undefined ? this.#remaining : Infinity;
  }

  /** Whether what was received so far can be sent again. */
  get replayable(): boolean {
    return this.#replayable;
  }

  /** Whether all of it is here and can be sent as often as wanted. */
  get repeatable(): boolean {
    return this.complete && this.#replayable && this.#keptBytes <= replayBytesMax;
  }

  /** Whether the held part is so big that reading should stop until somebody takes it. */
  get full(): boolean {
    return this.#sink === undefined && this.#keptBytes >= replayBytesMax;
  }

  /**
   * Takes buffer[from, to); returns the offset behind what belongs to the body and whether to go on reading.
   * Throws HeadError on bad framing and GatewayError HG_BODY_TOO_LARGE.
   */
  feed(buffer: Buffer, from: number, to: number): { end: number; more: boolean } {
    let more = true;
    const pass = (start: number, end: number): void => {
      if (!this.#pass(buffer, start, end)) more = false;
    };
    let end: number;
    if (this.#decoder === undefined) {
      end = Math.min(to, from + this.#remaining);
      this.#remaining -= end - from;
      this.#count(this.#bytes + end - from);
      if (end > from) pass(from, end);
      if (this.#remaining === 0) this.#finish();
    } else {
      end = this.#decoder.feed(buffer, from, to, pass);
      this.#count(this.#decoder.dataBytes);
      if (this.#decoder.done) {
        const last = Buffer.from(this.#decoder.lastLines, "latin1");
        if (!this.#pass(last, 0, last.length)) more = false;
        this.#finish();
      }
    }
    return { end, more: more && !this.full };
  }

  /** Sends what is there and then all that comes to `sink`. Returns whether to go on reading. */
  attach(sink: BodySink): boolean {
    let more = true;
    for (const chunk of this.#kept) {
      if (!sink.write(chunk, 0, chunk.length)) more = false;
    }
    this.#sink = sink;
    if (!this.#replayable || this.#keptBytes > replayBytesMax) this.#dropKept();
    if (this.complete) sink.end();
    return more;
  }

  /** The attempt is over; what comes is held for the next one. */
  detach(): void {
    this.#sink = undefined;
  }

  /** Nobody will want it: what comes is counted and thrown away. */
  discard(): void {
    this.#dropKept();
    this.#sink = { write: () => true, end() {} };
  }

  #pass(buffer: Buffer, from: number, to: number): boolean {
    const flowing = this.#sink === undefined || this.#sink.write(buffer, from, to);
    if (this.#sink === undefined || this.#replayable) this.#keep(buffer, from, to);
    return flowing;
  }

  #keep(buffer: Buffer, from: number, to: number): void {
    this.#keptBytes += to - from;
    if (this.#sink !== undefined && this.#keptBytes > replayBytesMax) {
      this.#dropKept();
      return;
    }
    this.#kept.push(Buffer.from(buffer.subarray(from, to)));
  }

  #dropKept(): void {
    this.#replayable = false;
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #count(bytes: number): void {
    this.#bytes = bytes;
    if (bytes > this.#request.bodyBytesMax) {
      throw new GatewayError("HG_BODY_TOO_LARGE", { detail: `The limit is ${this.#request.bodyBytesMax} bytes.` });
    }
  }

  #finish(): void {
    this.complete = true;
    this.#sink?.end();
  }
}
