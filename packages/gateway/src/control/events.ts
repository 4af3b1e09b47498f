import type { Clock } from "../core/clock.ts";
import type { CircuitName, StateName } from "./health/instance-state.ts";
import type { Kind } from "./layout.ts";
import type { ReportedProblem } from "./report.ts";

/** What happened, for those who watch. */
export type GatewayEvent =
  /** Resources of the store changed, in one revision. */
  | {
      readonly type: "change";
      readonly revision: number;
      readonly writes: readonly {
        readonly kind: Kind;
        readonly name: string;
        readonly action: "create" | "update" | "delete";
      }[];
    }
  /** The problems there are now; an empty list: none any more. */
  | { readonly type: "rejected"; readonly problems: readonly ReportedProblem[] }
  | {
      readonly type: "node";
      readonly id: string;
      readonly state: "joined" | "left" | "updated";
      readonly revision: number;
    }
  /** What becomes of an instance: see InstanceState. Without `before` it was not there. */
  | {
      readonly type: "instance";
      readonly service: string;
      readonly instance: string;
      readonly state: StateName | "gone";
      readonly before?: StateName;
      readonly reason?: string;
    }
  /** A circuit breaker changed: of an instance, or without one of a service. */
  | {
      readonly type: "breaker";
      readonly service: string;
      readonly instance?: string;
      readonly state: CircuitName;
      readonly before: CircuitName;
      readonly reason?: string;
    }
  /** Messages of routes with `delivery` went to the dead-letter list. */
  | {
      readonly type: "queue";
      readonly dead: readonly {
        readonly id: string;
        readonly route: string;
        readonly service: string;
        readonly cause: "deadline" | "refused" | "unreadable";
      }[];
    }
  /** `reason` is one sentence. */
  | { readonly type: "store"; readonly connected: boolean; readonly reason: string };

/** An event as it is kept: written once, however many read it. */
export interface PublishedEvent {
  readonly id: number;
  readonly type: GatewayEvent["type"];
  /** What it says, as JSON on one line. */
  readonly data: string;
}

/** Events that are kept for those who come back. */
export const heldEventsMax = 1_000;
/** UTF-16 units of them; the oldest go first. It is also how far a reader may fall behind before it loses some. */
export const heldLengthMax = 8 * 1024 * 1024;
/** Entries of one event's list; `more` counts the rest. A store that is listed anew can differ in everything at once. */
export const listedMax = 500;

/**
 * The newest events, and who wants to know of new ones. Readers fetch at their own speed, so that a slow one costs no
 * memory: whoever falls behind what is held has missed something and is told.
 */
export class EventBus {
  readonly #base: number;
  #lastId: number;
  #held: PublishedEvent[] = [];
  #heldLength = 0;
  readonly #listeners = new Set<() => void>();

  /** Ids go on from the wall clock: one of a process that ended is never taken for one of this. */
  constructor({ wall }: Pick<Clock, "wall">) {
    this.#base = Math.floor(wall());
    this.#lastId = this.#base;
  }

  /** That of the newest event, or where counting starts. */
  get lastId(): number {
    return this.#lastId;
  }

  publish(event: GatewayEvent): void {
    const { type, ...facts } = event;
    const data = JSON.stringify(shortened(facts));
    this.#held.push({ id: ++this.#lastId, type, data });
    this.#heldLength += data.length;
    while (this.#held.length > heldEventsMax || (this.#heldLength > heldLengthMax && this.#held.length > 1)) {
      this.#heldLength -= this.#held.shift()?.data.length ?? 0;
    }
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls the listener after each event; it must not throw. Returns how to stop. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether everything after this id can still be read. */
  reaches(id: number): boolean {
    if (id < this.#base || id > this.#lastId) return false;
    return id >= this.#oldest - 1;
  }

  /** The first event after this id; of what is no longer held, the oldest that is. `undefined`: none yet. */
  after(id: number): PublishedEvent | undefined {
    return this.#held[Math.max(0, id + 1 - this.#oldest)];
  }

  /** Where to read from so that everything held is read. */
  get beforeOldest(): number {
    return this.#oldest - 1;
  }

  get #oldest(): number {
    return this.#lastId - this.#held.length + 1;
  }
}

/** Long lists end in what is counted rather than shown. */
function shortened(facts: object): object {
  const entries = Object.entries(facts).map(([name, value]: [string, unknown]) => [
    name,
    Array.isArray(value) ? value.slice(0, listedMax) : value,
  ]);
  const more = Object.values(facts).reduce<number>(
    (sum, value) => sum + (Array.isArray(value) ? Math.max(0, value.length - listedMax) : 0),
    0,
  );
  return Object.fromEntries(more === 0 ? entries : [...entries, ["more", more]]) as object; // of entries of an object
}
