import { isSecretName, redacted, redactQuery } from "../../core/secrets.ts";
import { SealError, type Seal } from "../../core/seal.ts";
import { openBody, openHead, type MessageHead } from "../../proxy/message.ts";
import type {
  DeathCause,
  ListQuery,
  MessageState,
  MessageSummary,
  Queue,
  QueueStats,
  Selection,
  StoredMessage,
} from "./queue.ts";

/** Messages that one step replays or purges: the queue has other things to do in between. */
const perStep = 500;
/** Bytes of a body that are shown. */
export const shownBodyBytesMax = 64 * 1024;

/** What there is, as the admin API tells it. */
export interface ShownStats {
  readonly waiting: number;
  readonly delivering: number;
  readonly dead: number;
  readonly bytes: number;
  readonly deadBytes: number;
  readonly oldestAt: string | null;
  readonly dropped: number;
}

export interface ShownMessage {
  readonly id: string;
  readonly state: MessageState;
  readonly route: string;
  readonly service: string;
  /** Absent where it cannot be read: it was sealed with another key. */
  readonly method?: string;
  /** With the query; secrets in it are hidden. */
  readonly path?: string;
  readonly idempotencyKey?: string;
  readonly bytes: number;
  /** Failed deliveries. */
  readonly attempts: number;
  readonly firstAt: string;
  /** Of one that waits. */
  readonly nextAt?: string;
  readonly deadline: string;
  /** Of a dead one. */
  readonly diedAt?: string;
  readonly cause?: DeathCause;
  readonly lastError?: string;
}

/** A message in full. */
export interface ShownWhole extends ShownMessage {
  readonly headers: readonly (readonly [string, string])[];
  /** Text where it is UTF-8, else base64; the beginning of a long one. */
  readonly body?: { readonly text?: string; readonly base64?: string; readonly truncated?: boolean };
  readonly errors: readonly { readonly at: string; readonly text: string }[];
}

export interface ShownQueue {
  readonly stats: ShownStats;
  readonly messages: readonly ShownMessage[];
  readonly cursor: string | null;
}

/** Which messages an operator means: those named, or those of a kind. */
export type Chosen = { readonly ids: readonly string[] } | Selection;

const nothing: QueueStats = { waiting: 0, delivering: 0, dead: 0, bytes: 0, deadBytes: 0, dropped: 0 };

/** The queue as operators see and change it. Rejects with a QueueError. */
export class QueueView {
  readonly #queue: () => Queue | undefined;
  readonly #seal: Seal;
  readonly #changed: () => void;

  /** `queue`: undefined where there has never been a message. `changed`: there may be something to deliver. */
  constructor(queue: () => Queue | undefined, seal: Seal, changed: () => void) {
    this.#queue = queue;
    this.#seal = seal;
    this.#changed = changed;
  }

  async list(query: ListQuery): Promise<ShownQueue> {
    const queue = this.#queue();
    if (queue === undefined) return { stats: shownStats(nothing), messages: [], cursor: null };
    const [stats, page] = await Promise.all([queue.stats(), queue.list(query)]);
    const messages = page.messages.map((message) => shown(message, this.#head(message)));
    return { stats: shownStats(stats), messages, cursor: page.cursor ?? null };
  }

  /** `secrets`: shows credentials. */
  async get(id: string, secrets: boolean): Promise<ShownWhole | undefined> {
    const message = await this.#queue()?.get(id);
    if (message === undefined) return undefined;
    const head = this.#head(message);
    const errors = message.errors.map(({ atMs, text }) => ({ at: iso(atMs), text }));
    const whole = { ...shown(message, head, secrets), headers: shownFields(head, secrets), errors };
    const body = this.#body(message);
    return body === undefined ? whole : { ...whole, body };
  }

  /** How many it was. */
  async replay(chosen: Chosen): Promise<number> {
    const replayed = await this.#each(chosen, (queue, which) => queue.replay(which, perStep));
    this.#changed();
    return replayed;
  }

  /** How many it was. */
  purge(chosen: Chosen): Promise<number> {
    return this.#each(chosen, (queue, which) => queue.purge(which, perStep));
  }

  async #each(
    chosen: Chosen,
    action: (queue: Queue, which: Selection | { readonly id: string }) => Promise<number>,
  ): Promise<number> {
    const queue = this.#queue();
    if (queue === undefined) return 0;
    if ("ids" in chosen) {
      const counts = await Promise.all([...new Set(chosen.ids)].map((id) => action(queue, { id })));
      return counts.reduce((sum, count) => sum + count, 0);
    }
    for (let sum = 0; ;) {
      const count = await action(queue, chosen);
      sum += count;
      if (count < perStep) return sum;
    }
  }

  #head({ id, head }: MessageSummary): MessageHead | undefined {
    try {
      return openHead(this.#seal, id, head);
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
  }

  #body({ id, body }: StoredMessage): ShownWhole["body"] {
    if (body === undefined) return undefined;
    let plain: Buffer;
    try {
      plain = openBody(this.#seal, id, body);
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
    const start = plain.subarray(0, shownBodyBytesMax);
    const truncated = start.length < plain.length ? { truncated: true } : {};
    try {
      // A character that the cut went through is left out.
      const text = new TextDecoder("utf-8", { fatal: true }).decode(start, { stream: start.length < plain.length });
      return { text, ...truncated };
    } catch {
      return { base64: start.toString("base64"), ...truncated };
    }
  }
}

function shown(message: MessageSummary, head: MessageHead | undefined, secrets = false): ShownMessage {
  const { id, state, route, service, bytes, attempts, cause, errors } = message;
  const lastError = errors.at(-1)?.text;
  return {
    ...{ id, state, route, service },
    ...(head === undefined ? {} : { method: head.method, path: secrets ? head.target : redactedPath(head.target) }),
    ...(head === undefined ? {} : { idempotencyKey: head.key ?? id }),
    ...{ bytes, attempts, firstAt: iso(message.firstAtMs) },
    ...(state === "waiting" ? { nextAt: iso(message.nextAtMs) } : {}),
    deadline: iso(message.deadlineAtMs),
    ...(state === "dead" ? { diedAt: iso(message.nextAtMs) } : {}),
    ...(cause === undefined ? {} : { cause }),
    ...(lastError === undefined ? {} : { lastError }),
  };
}

function redactedPath(target: string): string {
  const at = target.indexOf("?");
  return at < 0 ? target : target.slice(0, at) + redactQuery(target.slice(at));
}

function shownFields(head: MessageHead | undefined, secrets: boolean): [string, string][] {
  const lines = head?.lines.split("\r\n").filter((line) => line !== "") ?? [];
  return lines.map((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    return [name, !secrets && isSecretName(name) ? redacted : line.slice(colon + 1).trim()];
  });
}

function shownStats({ oldestAtMs, ...counts }: QueueStats): ShownStats {
  return { ...counts, oldestAt: oldestAtMs === undefined ? null : iso(oldestAtMs) };
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
