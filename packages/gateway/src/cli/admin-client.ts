import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { join, resolve as resolvePath } from "node:path";
import type { Timers } from "../core/timers.ts";
import { CommandError, RefusedError, type AnsweredProblem } from "./command-error.ts";
import { count, printable } from "./output.ts";
import { UsageError } from "./settings.ts";

/** Flags that say which gateway is meant. */
export interface AdminFlags {
  readonly admin?: string;
  readonly token?: string;
  readonly dataDir?: string;
}

export interface AdminSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly timers: Timers;
  /** Throws what the file system throws. Default: the file system. */
  readonly readFile?: (path: string) => string;
}

export interface AdminCall {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** With its leading slash; names in it percent-encoded. */
  readonly path: string;
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** How long the gateway is asked to wait before it answers, on top of the usual limit. */
  readonly waitMs?: number;
}

export interface AdminAnswer {
  readonly status: number;
  readonly text: string;
  /** Of a resource: its revision with quotes. */
  readonly etag: string | undefined;
}

/** Where the admin API is if nothing says otherwise. */
export const adminByDefault = "127.0.0.1:9080";

/** An answer may take so long. A change of ten thousand resources is many transactions of a store far away. */
const answerLimitMs = 120_000;
/** A metrics page or an export of that size is none that anybody reads. */
const answerBytesMax = 256 * 1024 * 1024;

/**
 * The admin API of a gateway, by flags, else variables, else defaults. Throws a UsageError for an address that is none,
 * a CommandError where there is no token.
 */
export function openAdmin(flags: AdminFlags, surroundings: AdminSurroundings): AdminClient {
  const { env, timers } = surroundings;
  const given = flags.admin ?? (env["HEADGATE_ADMIN"] || adminByDefault);
  return new AdminClient(urlOf(given), tokenOf(flags, surroundings), timers);
}

function urlOf(given: string): URL {
  const hasScheme = /^https?:\/\//.test(given);
  const port = hasScheme || /:\d+$/.test(given) ? "" : ":9080";
  const address = hasScheme ? given : `http://${given}${port}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || url.hostname === "" || url.port === "0") {
    throw new UsageError(`"${given}" is not an address of an admin API; write host:port, as in ${adminByDefault}.`);
  }
  // Where a gateway listens on every address; on this machine it is found on the loopback one.
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1";
  if (url.hostname === "[::]") url.hostname = "[::1]";
  return url;
}

function tokenOf({ token, dataDir }: AdminFlags, { env, cwd, readFile }: AdminSurroundings): string {
  const given = token ?? (env["HEADGATE_ADMIN_TOKEN"] || undefined);
  if (given !== undefined) return given.trim();
  const directory = dataDir ?? (env["HEADGATE_DATA_DIR"] || "./data");
  const file = join(directory, "admin-token");
  try {
    return (readFile ?? ((path) => readFileSync(path, "utf8")))(resolvePath(cwd, file)).trim();
  } catch (error) {
    const denied = error instanceof Error && "code" in error && error.code === "EACCES";
    const wrong = denied ? `The admin token in ${file} may not be read` : `There is no admin token in ${file}`;
    throw new CommandError(
      3,
      `${wrong}; name the gateway's data directory with --data-dir, or give the token with --token or HEADGATE_ADMIN_TOKEN.`,
      { cause: error },
    );
  }
}

/** Asks one gateway. Everything it throws is a CommandError with one sentence and a way out. */
export class AdminClient {
  readonly address: string;
  readonly #base: URL;
  readonly #token: string;
  readonly #timers: Timers;

  constructor(base: URL, token: string, timers: Timers) {
    this.#base = base;
    this.#token = token;
    this.#timers = timers;
    this.address = base.href.replace(/\/+$/, "");
  }

  /** The answer, which is none of failure. */
  async call(call: AdminCall): Promise<AdminAnswer> {
    const limitMs = answerLimitMs + (call.waitMs ?? 0);
    const abort = new AbortController();
    const late = new Error(`no answer within ${Math.round(limitMs / 1_000)} s`);
    const cancel = this.#timers.after(limitMs, () => abort.abort(late));
    try {
      const response = await this.#send(call, abort.signal);
      const text = await textOf(response);
      const { statusCode: status = 0, headers } = response;
      if (status < 200 || status > 299) throw this.#refusal(status, text);
      return { status, text, etag: headers.etag };
    } catch (error) {
      throw this.#unreachable(abort.signal.aborted ? late : error);
    } finally {
      cancel();
    }
  }

  /** The JSON of an answer. What it holds the admin API promises, so callers say its type. */
  async json(call: AdminCall): Promise<{ readonly value: unknown; readonly answer: AdminAnswer }> {
    const answer = await this.call(call);
    try {
      const value: unknown = JSON.parse(answer.text);
      return { value, answer };
    } catch (error) {
      throw this.#foreign("it answered no JSON", { cause: error });
    }
  }

  /** An answer that goes on: `onText` gets the pieces. Resolves when the gateway ends it or `signal` does. */
  async stream(call: AdminCall, signal: AbortSignal, onText: (text: string) => void): Promise<void> {
    try {
      const response = await this.#send(call, signal);
      const { statusCode: status = 0 } = response;
      if (status !== 200) throw this.#refusal(status, await textOf(response));
      response.setEncoding("utf8");
      for await (const piece of response) onText(String(piece));
    } catch (error) {
      if (!signal.aborted) throw this.#unreachable(error);
    }
  }

  #send(
    { method = "GET", path, query = {}, headers = {}, body }: AdminCall,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = new URL(`${this.#base.pathname.replace(/\/+$/, "")}${path}`, this.#base);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const sent = {
      authorization: `Bearer ${this.#token}`,
      ...(content === undefined ? {} : { "content-type": "application/json", "content-length": content.length }),
      ...headers,
    };
    const request = url.protocol === "https:" ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      // A connection for each call: one that is kept may be closed just when the next call takes it.
      const asked = request(url, { method, headers: sent, agent: false, signal }, resolve);
      asked.on("error", reject);
      asked.end(content);
    });
  }

  #refusal(status: number, text: string): CommandError {
    const answer = problemOf(text);
    if (answer === undefined) return this.#foreign(`it answered ${status}`);
    const { problems = [] } = answer;
    const facts = { status, problems, answer };
    if (status === 401) {
      const hint =
        "name the gateway's data directory with --data-dir, or give the token with --token or HEADGATE_ADMIN_TOKEN";
      return new RefusedError(3, `The gateway at ${this.address} does not take this token; ${hint}.`, facts);
    }
    if (status === 422 && problems.length > 0) {
      const errors = problems.filter(({ severity }) => severity === "error").length;
      return new RefusedError(1, `Nothing was changed: ${count(errors, "error")}.`, facts);
    }
    return new RefusedError(exitCodeOf(status, answer), printable(answer.detail), facts);
  }

  #foreign(reason: string, options: ErrorOptions = {}): CommandError {
    const message = `What answers at ${this.address} is no gateway's admin API (${reason}); name its address with --admin or HEADGATE_ADMIN.`;
    return new CommandError(3, message, options);
  }

  #unreachable(error: unknown): CommandError {
    if (error instanceof CommandError) return error;
    const reason = reasonOf(error);
    return new CommandError(
      3,
      `Could not reach the gateway at ${this.address} (${reason}); is it running? Name its admin address with --admin or HEADGATE_ADMIN.`,
      { cause: error },
    );
  }
}

/** 1: the answer is no. 2: what was asked makes no sense. 3: not allowed to ask, or the gateway or its store failed. */
function exitCodeOf(status: number, { code }: AnsweredFailure): 1 | 2 | 3 {
  // With a code it was understood, and looked for in vain: a revision that does not exist yet.
  if (status === 400) return code === undefined ? 2 : 1;
  return status === 403 || status >= 500 || status < 400 ? 3 : 1;
}

interface AnsweredFailure {
  readonly detail: string;
  /** What the change engine or the store calls it; absent where the request itself is wrong. */
  readonly code?: string;
  readonly problems?: readonly AnsweredProblem[];
}

/** The gateway's problem (RFC 9457); undefined where something else answered. */
function problemOf(text: string): AnsweredFailure | undefined {
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read !== "object" || read === null || !("detail" in read) || typeof read.detail !== "string")
      return undefined;
    if ("problems" in read && !Array.isArray(read.problems)) return undefined;
    return read as AnsweredFailure; // problems are what the admin API says they are
  } catch {
    return undefined;
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response) {
    const bytes = piece as Buffer; // no encoding was set
    length += bytes.length;
    if (length > answerBytesMax) throw new Error(`the answer has more than ${answerBytesMax} bytes`);
    pieces.push(bytes);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function reasonOf(error: unknown): string {
  // A name with several addresses fails with all their reasons.
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error && error.message !== "" ? error.message : String(error);
}
