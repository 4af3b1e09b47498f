import { readFileSync } from "node:fs";
import {
  onceKeptMs,
  QueueError,
  type Death,
  type DeathCause,
  type DeliveryFailure,
  type Lease,
  type MessagePage,
  type MessageState,
  type Queue,
  type QueueLimits,
  type QueueStats,
  type Reserved,
  type Selection,
  type StoredMessage,
} from "../queue.ts";
import { scriptOf, type RedisConnection, type RedisReply, type Script } from "./connection.ts";

/** Messages that are looked at together when some are chosen. */
const pageMessages = 200;

interface Scripts {
  /** What takes memory is refused as a whole when there is none. */
  readonly adding: Script;
  /** All else goes on then: without it nothing could be noted as delivered, and no memory would ever be free again. */
  readonly other: Script;
}

let known: Scripts | undefined;

/** The flags are those of Redis 7; without any, a script would end in the middle where memory ends. */
function scripts(): Scripts {
  if (known !== undefined) return known;
  const text = readFileSync(new URL("./queue.lua", import.meta.url), "utf8");
  return (known = { adding: scriptOf(`#!lua\n${text}`), other: scriptOf(`#!lua flags=allow-oom\n${text}`) });
}

export interface RedisQueueOptions {
  readonly connection: RedisConnection;
  readonly limits: QueueLimits;
  /** What all keys begin with; gateways with the same share the queue. A hash tag keeps them together in a cluster. */
  readonly prefix: string;
  /** The name under which this gateway takes messages: always the same, or names would pile up. */
  readonly consumer: string;
}

/**
 * The queue in Redis: Streams of what may be taken, one for each service, and messages as hashes; each call is one script
 * (queue.lua), whole or not at all. Time is Redis' own, so that gateways whose clocks differ agree.
 */
export class RedisQueue implements Queue {
  readonly #options: RedisQueueOptions;
  /** What it had taken before it was started again may be taken at once. */
  #reclaimed = false;

  constructor(options: RedisQueueOptions) {
    this.#options = options;
  }

  readonly enqueue: Queue["enqueue"] = async (message) => {
    const { id, route, service, head, body, once, deadlineMs, backoffMs, backoffMaxMs } = message;
    const { messages, bytes } = this.#options.limits;
    const [kind, knownId] = list(
      await this.#call(
        "enqueue",
        id,
        route,
        service,
        head,
        body ?? "",
        body === undefined ? "0" : "1",
        deadlineMs,
        backoffMs,
        backoffMaxMs,
        once?.scope ?? "",
        once?.request ?? "",
        messages,
        bytes,
      ),
    ).map(text);
    if (kind === "conflict") throw new QueueError("conflict", "The Idempotency-Key was used for another request.");
    if (kind === "full") throw new QueueError("full", "The queue is full.");
    return { kind: kind === "known" ? "known" : "queued", id: knownId ?? id };
  };

  readonly due: Queue["due"] = async () => {
    await this.#reclaim();
    return list(await this.#call("due")).map((one) => {
      const [service, inMs] = list(one);
      return { service: text(service), inMs: number(inMs) };
    });
  };

  readonly reserve: Queue["reserve"] = async (service, messages, bytes, leaseMs) => {
    await this.#reclaim();
    const most = Math.min(bytes, Number.MAX_SAFE_INTEGER);
    const taken = await this.#call("reserve", service, messages, most, leaseMs, this.#options.consumer);
    return list(taken).map((one) => reservedOf(service, list(one)));
  };

  readonly renew: Queue["renew"] = async (leases, leaseMs) => {
    if (leases.length > 0) await this.#call("renew", leaseMs, ...pairs(leases));
  };

  readonly release: Queue["release"] = async (leases) => {
    if (leases.length > 0) await this.#call("release", ...pairs(leases));
  };

  readonly ack: Queue["ack"] = async ({ id }) => void (await this.#call("ack", id, onceKeptMs));

  readonly nack: Queue["nack"] = async ({ id, token }, delayMs, failure) =>
    void (await this.#call("nack", id, token, Math.ceil(delayMs), JSON.stringify(failure)));

  readonly bury: Queue["bury"] = async ({ id, token }, cause, failure) => {
    const { deadLetters, bytes } = this.#options.limits;
    await this.#call("bury", id, token, cause, JSON.stringify(failure), deadLetters, bytes);
  };

  readonly expire: Queue["expire"] = async (max) => {
    const { deadLetters, bytes, messages } = this.#options.limits;
    return list(await this.#call("expire", max, deadLetters, bytes, messages)).map((one): Death => {
      const [id, route, service] = list(one).map(text);
      return { id: id ?? "", route: route ?? "", service: service ?? "" };
    });
  };

  readonly list: Queue["list"] = async ({ state = "", route = "", service = "", limit, cursor = "" }) => {
    const [next, found] = list(await this.#call("list", state, route, service, cursor, limit));
    const messages = list(found).map((one) => storedOf(list(one)));
    return next === undefined || text(next) === "" ? { messages } : { messages, cursor: text(next) };
  };

  readonly get: Queue["get"] = async (id) => {
    const found = await this.#call("get", id);
    return found === null ? undefined : storedOf(list(found));
  };

  readonly replay: Queue["replay"] = (which, max) => {
    const { messages, bytes } = this.#options.limits;
    return this.#each(which, max, async (id, before) => {
      const replayed = number(await this.#call("replay", id, messages, bytes));
      if (replayed >= 0) return replayed;
      if (before === 0) throw new QueueError("full", "The queue is full: no more can wait.");
      return undefined;
    });
  };

  readonly purge: Queue["purge"] = (which, max) =>
    this.#each(which, max, async (id) => number(await this.#call("purge", id)));

  readonly stats: Queue["stats"] = async (): Promise<QueueStats> => {
    const [waiting = 0, delivering = 0, dead = 0, bytes = 0, deadBytes = 0, dropped = 0, oldest = 0] = list(
      await this.#call("stats"),
    ).map(number);
    const counts = { waiting, delivering, dead, bytes, deadBytes, dropped };
    return oldest === 0 ? counts : { ...counts, oldestAtMs: oldest };
  };

  /** Before it takes anything. */
  async #reclaim(): Promise<void> {
    if (this.#reclaimed) return;
    await this.#call("reclaim", this.#options.consumer);
    this.#reclaimed = true;
  }

  close(): Promise<void> {
    this.#options.connection.close();
    return Promise.resolve();
  }

  /**
   * Does something to each message of a selection, one script each, so that Redis has time for others in between. `action`
   * answers how many it was, and undefined where no more can be done.
   */
  async #each(
    which: Selection | { readonly id: string },
    max: number,
    action: (id: string, before: number) => Promise<number | undefined>,
  ): Promise<number> {
    if ("id" in which) return (await action(which.id, 0)) ?? 0;
    let sum = 0;
    for (let cursor: string | undefined; ;) {
      const page: MessagePage = await this.list({
        ...which,
        limit: pageMessages,
        ...(cursor === undefined ? {} : { cursor }),
      });
      for (const { id } of page.messages) {
        if (sum >= max) return sum;
        const done = await action(id, sum);
        if (done === undefined) return sum;
        sum += done;
      }
      if (page.cursor === undefined) return sum;
      cursor = page.cursor;
    }
  }

  #call(name: string, ...args: readonly (string | number | Uint8Array)[]): Promise<RedisReply> {
    const { connection, prefix } = this.#options;
    const texts = args.map((arg) => (typeof arg === "number" ? String(arg) : arg));
    const { adding, other } = scripts();
    return connection.script(name === "enqueue" ? adding : other, [prefix], [name, ...texts]);
  }
}

function pairs(leases: readonly Lease[]): string[] {
  return leases.flatMap(({ id, token }) => [id, token]);
}

function reservedOf(service: string, facts: readonly RedisReply[]): Reserved {
  const [id, token, route, attempts, backoff, backoffMax, bytes, head, body] = facts;
  return {
    lease: { id: text(id), token: text(token) },
    route: text(route),
    service,
    head: data(head),
    ...(body instanceof Uint8Array ? { body: data(body) } : {}),
    bytes: number(bytes),
    attempts: number(attempts),
    backoffMs: number(backoff),
    backoffMaxMs: number(backoffMax),
  };
}

function storedOf(facts: readonly RedisReply[]): StoredMessage {
  const [id, state, route, service, head, bytes, attempts, first, next, deadline, cause, errors, body] = facts;
  const lines = errors instanceof Uint8Array ? text(errors).split("\n") : [];
  return {
    id: text(id),
    state: text(state) as MessageState, // queue.lua has these three
    route: text(route),
    service: text(service),
    head: data(head),
    ...(body instanceof Uint8Array ? { body: data(body) } : {}),
    bytes: number(bytes),
    attempts: number(attempts),
    firstAtMs: number(first),
    nextAtMs: number(next),
    deadlineAtMs: number(deadline),
    ...(cause instanceof Uint8Array ? { cause: text(cause) as DeathCause } : {}), // as it was given to bury
    errors: lines.map((line) => JSON.parse(line) as DeliveryFailure), // written by nack and bury
  };
}

function list(reply: RedisReply | undefined): readonly RedisReply[] {
  return Array.isArray(reply) ? (reply as readonly RedisReply[]) : []; // an array of replies is all it can be
}

function text(reply: RedisReply | undefined): string {
  return reply instanceof Uint8Array ? Buffer.from(reply).toString("utf8") : String(reply ?? "");
}

function number(reply: RedisReply | undefined): number {
  return Number(text(reply));
}

/** In memory of its own: the client's buffer holds other replies too. */
function data(reply: RedisReply | undefined): Uint8Array {
  return reply instanceof Uint8Array ? new Uint8Array(reply) : new Uint8Array();
}
