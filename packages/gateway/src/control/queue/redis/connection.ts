import { createHash } from "node:crypto";
import { createClient, RESP_TYPES } from "@redis/client";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { QueueError } from "../queue.ts";

/** Longest wait for an answer; then the connection is given up, for nobody knows what the next answer would be to. */
const answerMsMax = 5_000;
const connectMsMax = 2_000;
const reconnectFirstMs = 50;
const reconnectMostMs = 2_000;
/** Calls under way; more are refused. The workers' own limits are reached before. */
const callsMax = 100_000;

/** What a call answers: texts and bytes as bytes. */
export type RedisReply = Buffer | number | null | readonly RedisReply[];

export interface RedisConnectionOptions {
  /** `redis://` or `rediss://`, with user, password and database if needed. */
  readonly url: string;
  readonly timers: Timers;
  readonly log: Log;
}

function clientOf(url: string, reconnect: (failures: number) => number) {
  return createClient({
    url,
    RESP: 2,
    // What is asked while Redis is away is answered at once: clients wait for that answer.
    disableOfflineQueue: true,
    commandsQueueMaxLength: callsMax,
    socket: { connectTimeout: connectMsMax, reconnectStrategy: reconnect },
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });
}

type Client = ReturnType<typeof clientOf>;

/**
 * One connection to Redis that is made again as often as it breaks. Calls while it is away reject at once, others after
 * five seconds: the client's own timeouts end when a command was written, and a Redis that is stopped takes writes. All
 * rejections are QueueErrors.
 */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  #client: Client;
  #closed = false;
  /** Why it is away; empty while it is not. */
  #reason = "It is not connected yet.";
  #told = false;

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
    this.#client = this.#connect();
  }

  /** Runs a script by its digest, and with its text where Redis does not know it (any more). */
  async script(script: Script, keys: readonly string[], args: readonly (string | Uint8Array)[]): Promise<RedisReply> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await this.send(["EVALSHA", script.sha1, ...rest]);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
      return this.send(["EVAL", script.text, ...rest]);
    }
  }

  async send(command: readonly (string | Uint8Array)[]): Promise<RedisReply> {
    const client = this.#client;
    // A view of the same bytes, which is what the client takes.
    const args = command.map((part) =>
      typeof part === "string" ? part : Buffer.from(part.buffer, part.byteOffset, part.length),
    );
    let stop = (): void => {};
    const late = new Promise<never>((_, reject) => {
      stop = this.#options.timers.after(answerMsMax, () => {
        reject(this.#away());
        this.#giveUp(client, `It did not answer within ${answerMsMax / 1_000} s.`);
      });
    });
    try {
      // The type mapping above makes texts bytes; the client's own type names every kind of every version.
      return (await Promise.race([client.sendCommand(args), late])) as unknown as RedisReply;
    } catch (error) {
      if (error instanceof QueueError) throw error;
      throw this.#failureOf(error);
    } finally {
      stop();
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#client.isOpen) this.#client.destroy();
  }

  /** What Redis itself says passes as it is, for whoever asked. */
  #failureOf(error: unknown): Error {
    const text = error instanceof Error ? error.message : String(error);
    if (/^NOSCRIPT/.test(text)) return error as Error; // an Error with that text
    if (/^(?:OOM|LOADING|READONLY|MASTERDOWN|MISCONF|NOREPLICAS|BUSY)\b/.test(text)) {
      return new QueueError("away", `Redis refuses: ${text}`, { cause: error });
    }
    return new QueueError("away", this.#reason === "" ? `Redis: ${text}` : this.#away().message, { cause: error });
  }

  #away(): QueueError {
    return new QueueError("away", `Redis is away. ${this.#reason}`);
  }

  #connect(): Client {
    const client = clientOf(this.#options.url, (failures) =>
      Math.min(reconnectMostMs, reconnectFirstMs * 2 ** Math.min(failures, 10)),
    );
    client.on("error", (error: Error) => this.#failed(client, error.message));
    client.on("ready", () => this.#ready(client));
    // Where it cannot be reached it is tried again by itself; what is said here is said by the event, too.
    client.connect().catch((error: unknown) => this.#failed(client, String(error)));
    return client;
  }

  #giveUp(client: Client, reason: string): void {
    if (client !== this.#client || this.#closed) return;
    this.#failed(client, reason);
    client.destroy();
    this.#client = this.#connect();
  }

  #ready(client: Client): void {
    if (client !== this.#client) return;
    if (this.#told) this.#options.log.info({}, "Redis is back");
    this.#reason = "";
    this.#told = false;
    void this.#check();
  }

  #failed(client: Client, reason: string): void {
    if (client !== this.#client || this.#closed) return;
    this.#reason = reason.replace(/[.\s]*$/, ".");
    if (this.#told) return;
    this.#told = true;
    this.#options.log.error(
      {},
      `Redis is away: ${this.#reason} Messages are neither taken nor delivered until it is back.`,
    );
  }

  /** What would lose messages is said once for each connection. Where a setting may not be read nothing is said. */
  async #check(): Promise<void> {
    const { log } = this.#options;
    const setting = async (name: string): Promise<string> => {
      const reply = await this.send(["CONFIG", "GET", name]).catch(() => undefined);
      return Array.isArray(reply) ? String(reply[1] ?? "") : "";
    };
    if ((await setting("appendonly")) === "no") {
      log.warn({}, "Redis writes no append-only file: what it answers is lost when it ends (set appendonly yes)");
    }
    const policy = await setting("maxmemory-policy");
    if (policy !== "" && policy !== "noeviction") {
      log.warn(
        { policy },
        "Redis drops keys when its memory is full, messages among them (set maxmemory-policy noeviction)",
      );
    }
  }
}

/** A Lua script and what Redis knows it by. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

export function scriptOf(text: string): Script {
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}
