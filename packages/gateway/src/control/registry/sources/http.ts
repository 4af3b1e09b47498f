import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Timers } from "../../../core/timers.ts";

/** Of an answer that is read as a whole. Ten thousand instances with all their metadata are about half of it. */
const answerBytesMax = 32 * 1024 * 1024;
/** Of one line of a stream. A slice of Kubernetes has at most a thousand endpoints. */
const lineBytesMax = 8 * 1024 * 1024;
/** What is told of an answer that was refused. */
const reasonCharsMax = 200;

export interface HttpQuestion {
  readonly url: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as a form. */
  readonly form?: Readonly<Record<string, string>>;
  /** PEM; absent: the authorities that Node.js knows. */
  readonly ca?: string | undefined;
  /** Until the whole answer is there; of a stream, until its head is. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly timers: Timers;
}

export interface JsonAnswer {
  readonly json: unknown;
  readonly header: (name: string) => string | undefined;
  /** As it came, to see whether it differs from another. */
  readonly text: string;
}

/** An answer with another status than 200. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A stream that broke off after it had begun. */
export class BrokenStreamError extends Error {}

/**
 * Asks an API for JSON. Rejects, with one sentence that names the place without query and credentials, where there is no
 * answer, half of one, more than 32 MiB, or no JSON; with a StatusError for another status than 200 (redirects too: what
 * a document names is what is asked).
 */
export async function askJson(question: HttpQuestion): Promise<JsonAnswer> {
  return exchange(question, async (call) => {
    const response = await call.response();
    const text = await readAll(response, answerBytesMax);
    if (response.statusCode !== 200) throw statusError(response, text);
    try {
      const json = JSON.parse(text) as unknown;
      return { json, text, header: (name) => response.headers[name]?.toString() };
    } catch {
      throw new Error("did not answer with JSON");
    }
  });
}

/**
 * Asks for a stream of lines, and ends when it ends, or when nothing came for `silenceMs`. What comes behind the last
 * line break is no line. Rejects as `askJson` does, and with a BrokenStreamError when the stream breaks off.
 */
export async function* askLines(question: HttpQuestion, silenceMs: number): AsyncGenerator<string, void, void> {
  const call = new Call(question);
  try {
    const response = await call.response();
    if (response.statusCode !== 200) throw statusError(response, await readAll(response, answerBytesMax));
    yield* linesOf(response, (onLate) => call.deadline(silenceMs, onLate));
  } catch (error) {
    throw call.explain(error);
  } finally {
    call.end();
  }
}

/** `arm`: starts the time in which more must come, instead of the one before. */
async function* linesOf(
  response: IncomingMessage,
  arm: (onLate: () => void) => void,
): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = "";
  let silent = false;
  const next = (): void => arm(() => (silent = true));
  next();
  const chunks = (response as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  for (;;) {
    let chunk: IteratorResult<Buffer, unknown>;
    try {
      chunk = await chunks.next();
    } catch (error) {
      if (silent) return;
      throw new BrokenStreamError("broke the connection off", { cause: error });
    }
    if (chunk.done === true) return;
    next();
    const text = decoder.decode(chunk.value, { stream: true });
    // A long line comes in many pieces, and is put together once.
    const lines = text.includes("\n") ? (rest + text).split("\n") : [rest + text];
    rest = lines.pop() ?? "";
    if (rest.length > lineBytesMax) throw new Error(`sent a line of more than ${lineBytesMax} bytes`);
    yield* lines.filter((line) => line.trim() !== "");
  }
}

async function exchange<T>(question: HttpQuestion, use: (call: Call) => Promise<T>): Promise<T> {
  const call = new Call(question);
  try {
    return await use(call);
  } catch (error) {
    throw call.explain(error);
  } finally {
    call.end();
  }
}

/** One request on a connection of its own, which ends with it. */
class Call {
  readonly #question: HttpQuestion;
  readonly #client: ClientRequest;
  readonly #answered: Promise<IncomingMessage>;
  readonly #onAbort = (): void => this.#giveUp("was left alone");
  /** Why it was ended from here: what node tells then depends on how far it was. */
  #reason: string | undefined;
  #cancelDeadline: (() => void) | undefined;

  constructor(question: HttpQuestion) {
    this.#question = question;
    const { url, method = "GET", headers, form, ca, timeoutMs, signal } = question;
    const body = form === undefined ? undefined : new URLSearchParams({ ...form }).toString();
    const type = body === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" };
    const options = { method, agent: false, headers: { accept: "application/json", ...type, ...headers } };
    this.#client = url.startsWith("https:")
      ? httpsRequest(url, { ...options, ...(ca === undefined ? {} : { ca }) })
      : httpRequest(url, options);
    this.#answered = new Promise((resolve, reject) => {
      this.#client.once("response", resolve);
      this.#client.on("error", reject);
    });
    // Whoever waits for it is told; when nobody does yet it must not end the process.
    this.#answered.catch(() => undefined);
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
    this.deadline(timeoutMs, () => undefined);
    this.#client.end(body);
  }

  response(): Promise<IncomingMessage> {
    return this.#answered;
  }

  /** From now on, instead of the one before. */
  deadline(delayMs: number, onLate: () => void): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#question.timers.after(delayMs, () => {
      onLate();
      this.#giveUp(`did not answer within ${Math.round(delayMs / 1_000)} s`);
    });
  }

  #giveUp(reason: string): void {
    this.#reason ??= reason;
    this.#client.destroy(new Error(reason));
  }

  end(): void {
    this.#cancelDeadline?.();
    this.#question.signal.removeEventListener("abort", this.#onAbort);
    this.#client.destroy();
  }

  /** The same, told of the place. */
  explain(error: unknown): Error {
    const { origin, pathname } = new URL(this.#question.url);
    const reason = this.#reason ?? reasonOf(error);
    const message = `${origin}${pathname}: ${reason}`;
    if (error instanceof StatusError) return new StatusError(error.status, message);
    if (error instanceof BrokenStreamError) return new BrokenStreamError(message, { cause: error });
    return new Error(message, { cause: error });
  }
}

async function readAll(response: IncomingMessage, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new Error(`answered more than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** With what the server says of it: a line of text, or the message of a JSON error. */
function statusError({ statusCode = 0 }: IncomingMessage, text: string): StatusError {
  let reason = text.trimStart().startsWith("<") ? "" : (text.trim().split("\n")[0] ?? "");
  try {
    const json: unknown = Object(JSON.parse(text));
    if (typeof json === "object" && json !== null && "message" in json) reason = String(json.message);
  } catch {
    // It is text.
  }
  const shown = reason === "" ? "" : ` (${reason.slice(0, reasonCharsMax)})`;
  return new StatusError(statusCode, `answered ${statusCode}${shown}`);
}

const unknownAuthority = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

function reasonOf(error: unknown): string {
  // node tells an attempt at both families as an AggregateError without a text of its own.
  if (error instanceof AggregateError && error.message === "") return error.errors.map(reasonOf).join("; ");
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ECONNRESET") return "broke the connection off";
  if (unknownAuthority.has(code)) return 'its certificate is signed by an authority that is not known: name it as "ca"';
  return error instanceof Error ? error.message : String(error);
}
