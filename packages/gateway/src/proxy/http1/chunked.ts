import { HeadError, isFieldValue, isToken, walkFields } from "./grammar.ts";

/** Most bytes of the extensions of one chunk: nobody uses them, attackers do. */
const extensionBytesMax = 256;
/** Most bytes of a trailer section. */
const trailerBytesMax = 8 * 1024;
const trailersMax = 32;

/** Fields that must not come after the body: they say how the message is framed, routed or authenticated (RFC 9110 §6.5.1). */
const forbiddenTrailers = new Set([
  "host",
  "connection",
  "te",
  "trailer",
  "upgrade",
  "keep-alive",
  "expect",
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "content-encoding",
  "content-type",
  "content-range",
  "cache-control",
  "max-forwards",
  "range",
  "if-match",
  "if-none-match",
]);

/** Framing fields after the body are an attack or a broken sender: the message is refused. */
const refusedTrailers = new Set(["content-length", "transfer-encoding"]);

/** Where in `;name=value` or `;name="value"` an extension is (RFC 9112 §7.1.1, without its optional white space). */
type ExtensionPart = "semicolon" | "name-start" | "name" | "value-start" | "value" | "quoted" | "escaped" | "closed";

type State = "size" | "extension" | "size-cr" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailers" | "done";

/**
 * Checks the chunked coding (RFC 9112 §7.1) as it streams and says which of the bytes to pass on. Framing is passed on
 * as it came, without extensions, so that forwarding a chunked body copies ranges and builds nothing.
 * Throws HeadError: after that the connection's framing is lost.
 */
export class ChunkedDecoder {
  /** Bytes of body data seen. */
  dataBytes = 0;
  /** Trailer fields to forward, as lines; known when done. */
  trailerLines = "";
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #trailers = "";
  #part: ExtensionPart = "semicolon";
  readonly #errorCode: "HG_BAD_REQUEST" | "HG_UPSTREAM_PROTOCOL";

  /** `errorCode`: HG_BAD_REQUEST for requests, HG_UPSTREAM_PROTOCOL for answers. */
  constructor(errorCode: "HG_BAD_REQUEST" | "HG_UPSTREAM_PROTOCOL" = "HG_BAD_REQUEST") {
    this.#errorCode = errorCode;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /**
   * Reads buffer[start, end). Calls `onRange(from, to)` for each range to pass on: with `dataOnly` the body's data, else
   * the coding too, up to and without the trailer section (the caller ends it with `lastLines`). Returns the offset
   * behind what belongs to this body.
   */
  feed(
    buffer: Uint8Array,
    start: number,
    end: number,
    onRange: (from: number, to: number) => void,
    dataOnly = false,
  ): number {
    let at = start;
    // Start of the framing bytes not passed on yet.
    let from = start;
    const flush = (to: number): void => {
      if (!dataOnly && to > from) onRange(from, to);
    };
    while (at < end && this.#state !== "done") {
      switch (this.#state) {
        case "data": {
          const take = Math.min(end - at, this.#size);
          if (dataOnly) onRange(at, at + take);
          at += take;
          this.#size -= take;
          this.dataBytes += take;
          if (this.#size === 0) this.#state = "data-cr";
          break;
        }
        case "extension":
          // What was passed on so far ends before the extension; it goes on at the CR.
          flush(at);
          at = this.#skipExtension(buffer, at, end);
          from = at;
          break;
        case "trailers":
          flush(at);
          at = this.#readTrailers(buffer, at, end);
          from = at;
          break;
        default:
          // The semicolon belongs to the extension, which is not passed on.
          if (this.#step(buffer[at] as number)) at++; // at < end
      }
    }
    flush(at);
    return at;
  }

  /** What ends the passed-on coding once `done`: the trailer lines and the empty line. */
  get lastLines(): string {
    return `${this.trailerLines}\r\n`;
  }

  /** One byte of framing; returns whether it was used up. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case "size":
        return this.#sizeByte(byte);
      case "size-cr":
        this.#state = "size-lf";
        return true;
      case "size-lf":
        if (byte !== 10) throw this.#refuse("a chunk size is not followed by CRLF");
        this.#digits = 0;
        this.#extensionBytes = 0;
        this.#state = this.#size === 0 ? "trailers" : "data";
        return true;
      case "data-cr":
        if (byte !== 13) throw this.#refuse("a chunk is longer than its size");
        this.#state = "data-lf";
        return true;
      case "data-lf":
        if (byte !== 10) throw this.#refuse("a chunk is not followed by CRLF");
        this.#state = "size";
        return true;
      default:
        throw new Error(`no step in state ${this.#state}`);
    }
  }

  #sizeByte(byte: number): boolean {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      // 13 digits are 2^52: every sum stays exact.
      if (++this.#digits > 13) throw this.#refuse("a chunk size has too many digits");
      this.#size = this.#size * 16 + digit;
    } else if (this.#digits > 0 && byte === 13) {
      this.#state = "size-lf";
    } else if (this.#digits > 0 && byte === 59) {
      this.#state = "extension";
      return false;
    } else throw this.#refuse("a chunk size is not hexadecimal");
    return true;
  }

  #skipExtension(buffer: Uint8Array, start: number, end: number): number {
    let at = start;
    for (; at < end; at++) {
      const byte = buffer[at] as number; // at < end
      if (byte === 13 && (this.#part === "name" || this.#part === "value" || this.#part === "closed")) {
        // The CR is passed on with the LF that must follow.
        this.#state = "size-cr";
        this.#part = "semicolon";
        return at;
      }
      const part = nextPart(this.#part, byte);
      if (part === undefined) throw this.#refuse("a chunk extension is not valid");
      this.#part = part;
      if (++this.#extensionBytes > extensionBytesMax) throw this.#refuse("a chunk extension is too long");
    }
    return at;
  }

  #readTrailers(buffer: Uint8Array, start: number, end: number): number {
    const before = this.#trailers.length;
    const take = Math.min(end - start, trailerBytesMax - before + 1);
    this.#trailers += Buffer.from(buffer.buffer, buffer.byteOffset + start, take).latin1Slice();
    const offsets: number[] = [];
    let behind: number;
    try {
      const bytes = Buffer.from(this.#trailers, "latin1");
      behind = walkFields(bytes, 0, bytes.length, 0, offsets, trailersMax);
    } catch (error) {
      throw error instanceof HeadError ? this.#refuse(`in the trailers: ${error.message}`) : error;
    }
    if (behind < 0) {
      if (this.#trailers.length > trailerBytesMax) throw this.#refuse("the trailers are too long");
      return start + take;
    }
    for (let i = 0; i < offsets.length; i += 4) {
      const name = this.#trailers.slice(offsets[i], offsets[i + 1]);
      const lower = name.toLowerCase();
      if (refusedTrailers.has(lower)) throw this.#refuse(`${lower} in the trailers`);
      if (forbiddenTrailers.has(lower)) continue;
      this.trailerLines += `${name}: ${this.#trailers.slice(offsets[i + 2], offsets[i + 3])}\r\n`;
    }
    this.#state = "done";
    return start + behind - before;
  }

  #refuse(message: string): HeadError {
    return new HeadError(this.#errorCode, message);
  }
}

function nextPart(part: ExtensionPart, byte: number): ExtensionPart | undefined {
  const token = isToken[byte] === 1;
  switch (part) {
    case "semicolon":
    case "closed":
      return byte === 59 ? "name-start" : undefined;
    case "name-start":
      return token ? "name" : undefined;
    case "name":
      if (token) return "name";
      if (byte === 61) return "value-start";
      return byte === 59 ? "name-start" : undefined;
    case "value-start":
      if (byte === 34) return "quoted";
      return token ? "value" : undefined;
    case "value":
      if (token) return "value";
      return byte === 59 ? "name-start" : undefined;
    case "quoted":
      if (byte === 34) return "closed";
      if (byte === 92) return "escaped";
      return isFieldValue[byte] === 1 ? "quoted" : undefined;
    case "escaped":
      return isFieldValue[byte] === 1 ? "quoted" : undefined;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
