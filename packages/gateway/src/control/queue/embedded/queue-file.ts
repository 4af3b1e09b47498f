import { join } from "node:path";
import type { Clock } from "../../../core/clock.ts";
import type { HandedOver, NewMessage } from "../../../proxy/message.ts";
import { ExclusiveFile, isDiskFull } from "../../exclusive-file.ts";
import {
  errorsMax,
  onceKeptMs,
  QueueError,
  type Death,
  type DeathCause,
  type DeliveryFailure,
  type DueService,
  type Lease,
  type ListQuery,
  type MessagePage,
  type MessageState,
  type MessageSummary,
  type Queue,
  type QueueLimits,
  type QueueStats,
  type Reserved,
  type Selection,
  type StoredMessage,
} from "../queue.ts";
import { Leases } from "./leases.ts";
import { kind, statementsOf, type MessageRow, type PayloadRow, type Statements } from "./statements.ts";
import { Tally } from "./tally.ts";

/** The calls of a queue as they are carried out in the thread that has the file; throw a QueueError or SQLite's errors. */
export type QueueCalls = {
  readonly [Name in Exclude<keyof Queue, "close">]: (
    ...args: Parameters<Queue[Name]>
  ) => Awaited<ReturnType<Queue[Name]>>;
};

/** Keys of delivered messages are forgotten in portions of so many. */
const forgottenMax = 1_000;

/**
 * `<dataDir>/queue.db`: the messages of this gateway. Synchronous: calls are made within `transaction`, many in one, and what
 * they say holds when it returns. Who has taken a message is in memory only, as is whoever could still deliver it.
 */
export class QueueFile implements QueueCalls {
  readonly #file: ExclusiveFile;
  readonly #do: Statements;
  readonly #limits: QueueLimits;
  readonly #clock: Pick<Clock, "wall">;
  readonly #leases: Leases;
  readonly #tally: Tally;
  #onCommit: (() => void)[] = [];
  #taken: Lease[] = [];
  #dropped = 0;

  /** Opens or makes the file. Throws a FileError. `leases`: of the same file when it was open before. */
  constructor(dataDir: string, limits: QueueLimits, clock: Pick<Clock, "wall">, leases = new Leases()) {
    this.#leases = leases;
    this.#limits = limits;
    this.#clock = clock;
    this.#file = new ExclusiveFile(join(dataDir, "queue.db"), kind);
    try {
      this.#do = statementsOf(this.#file.database);
      this.#tally = new Tally(this.#file.database);
    } catch (error) {
      this.#file.close();
      throw this.#file.explained(error);
    }
  }

  /** Carries out calls as one commit: all of them are durable when it returns. Throws SQLite's errors: none is then. */
  transaction(action: () => void): void {
    this.#onCommit = [];
    this.#taken = [];
    try {
      this.#file.transaction(action);
    } catch (error) {
      // Nobody was told that they have them.
      for (const lease of this.#taken) this.#leases.end(lease);
      this.#tally.count();
      throw error;
    }
    for (const finish of this.#onCommit) finish();
  }

  /** What those who asked are told when a commit failed. */
  failureOf(error: unknown): QueueError {
    const finding = error instanceof Error ? error.message : String(error);
    const message = isDiskFull(error)
      ? `The disk is full: ${this.#file.path} cannot grow.`
      : `The queue ${this.#file.path} cannot be written to (${finding}).`;
    return new QueueError("away", message, { cause: error });
  }

  /** Gives unused space back in steps of milliseconds. False: nothing is left to do. */
  shrink(): boolean {
    return this.#file.shrink();
  }

  close(): void {
    this.#file.close();
  }

  enqueue(message: NewMessage): Extract<HandedOver, { kind: "queued" | "known" }> {
    const { id, route, service, head, body, once, deadlineMs, backoffMs, backoffMaxMs } = message;
    const known = once === undefined ? undefined : this.#do.findOnce.get(once.scope);
    if (once !== undefined && known !== undefined) {
      if (known.request === once.request) return { kind: "known", id: known.id };
      throw new QueueError("conflict", "The Idempotency-Key was used for another request.");
    }
    const bytes = head.length + (body?.length ?? 0);
    if (!this.#hasRoom(bytes)) throw new QueueError("full", "The queue is full.");
    const nowMs = this.#now();
    const seq = this.#do.insert.run(
      ...[id, route, service, nowMs, nowMs + deadlineMs, nowMs, deadlineMs, backoffMs, backoffMaxMs],
      ...[bytes, once?.scope ?? null, once?.request ?? null],
    ).lastInsertRowid;
    this.#do.insertPayload.run(seq, head, body ?? null);
    if (once !== undefined) this.#do.insertOnce.run(once.scope, once.request, id);
    this.#tally.add({ service, bytes });
    return { kind: "queued", id };
  }

  due(): readonly DueService[] {
    const nowMs = this.#now();
    return this.#tally.services().flatMap((service) => {
      const taken = this.#leases.countOf(service, nowMs);
      const rows = this.#do.due.all(service, Number.MAX_SAFE_INTEGER, taken + 1);
      const free = rows.find(({ id }) => !this.#leases.isTaken(id, nowMs));
      return free === undefined ? [] : [{ service, inMs: Math.max(0, free.next_ms - nowMs) }];
    });
  }

  reserve(service: string, messages: number, bytes: number, leaseMs: number): readonly Reserved[] {
    const nowMs = this.#now();
    const reserved: Reserved[] = [];
    let left = bytes;
    for (const row of this.#do.due.all(service, nowMs, messages + this.#leases.countOf(service, nowMs))) {
      if (reserved.length >= messages || (reserved.length > 0 && row.bytes > left)) break;
      if (row.deadline_ms <= nowMs || this.#leases.isTaken(row.id, nowMs)) continue;
      const payload = this.#do.payload.get(row.seq);
      if (payload === undefined) continue;
      left -= row.bytes;
      const lease = this.#leases.take(row.id, service, nowMs + leaseMs);
      this.#taken.push(lease);
      reserved.push(reservedOf(row, payload, lease));
    }
    return reserved;
  }

  renew(leases: readonly Lease[], leaseMs: number): void {
    const untilMs = this.#now() + leaseMs;
    for (const lease of leases) this.#leases.renew(lease, untilMs);
  }

  release(leases: readonly Lease[]): void {
    for (const lease of leases) this.#leases.end(lease);
  }

  ack(lease: Lease): void {
    this.#endLater(lease);
    const row = this.#do.find.get(lease.id);
    if (row === undefined || row.dead !== 0) return;
    this.#remove(row);
    if (row.once !== null) this.#do.keepOnce.run(this.#now() + onceKeptMs, row.once, row.id);
  }

  nack(lease: Lease, delayMs: number, failure: DeliveryFailure): void {
    const row = this.#held(lease);
    if (row === undefined) return;
    this.#endLater(lease);
    this.#do.retry.run(Math.round(this.#now() + delayMs), withFailure(row, failure), row.seq);
  }

  bury(lease: Lease, cause: DeathCause, failure: DeliveryFailure): void {
    const row = this.#held(lease);
    if (row === undefined) return;
    this.#endLater(lease);
    this.#die(row, cause, withFailure(row, failure), 1);
    this.#dropDeadLetters();
  }

  expire(max: number): readonly Death[] {
    const nowMs = this.#now();
    const expired = this.#do.expired
      .all(nowMs, max + this.#leases.count(nowMs))
      .filter(({ id }) => !this.#leases.isTaken(id, nowMs))
      .slice(0, max);
    for (const row of expired) this.#die(row, "deadline", row.errors, 0);
    this.#dropDeadLetters();
    this.#do.forgetOnce.run(nowMs, forgottenMax);
    this.#do.forgetOnceBeyond.run(this.#limits.messages);
    return expired.map(({ id, route, service }) => ({ id, route, service }));
  }

  list(query: ListQuery): MessagePage {
    const { limit, cursor } = query;
    const messages: MessageSummary[] = [];
    let last = 0;
    for (const row of this.#matching(query, cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(cursor))) {
      if (messages.length === limit) return { messages, cursor: String(last) };
      const head = this.#do.head.get(row.seq);
      if (head === undefined) continue;
      messages.push(this.#summary(row, head));
      last = row.seq;
    }
    return { messages };
  }

  get(id: string): StoredMessage | undefined {
    const row = this.#do.find.get(id);
    const payload = row === undefined ? undefined : this.#do.payload.get(row.seq);
    if (row === undefined || payload === undefined) return undefined;
    const { body } = payload;
    return { ...this.#summary(row, payload), ...(body === null ? {} : { body }) };
  }

  replay(which: Selection | { readonly id: string }, max: number): number {
    const nowMs = this.#now();
    // Those that are due already are left, or asking again and again would never come to an end.
    const canBe = ({ id, dead, next_ms }: MessageRow): boolean =>
      dead !== 0 || (next_ms > nowMs && !this.#leases.isTaken(id, nowMs));
    let replayed = 0;
    for (const row of this.#chosen(which, max, canBe)) {
      if (row.dead === 0) this.#do.hurry.run(nowMs, row.seq);
      else if (this.#hasRoom(row.bytes)) this.#revive(row, nowMs);
      else if (replayed === 0) throw new QueueError("full", "The queue is full: no more can wait.");
      else return replayed;
      replayed++;
    }
    return replayed;
  }

  purge(which: Selection | { readonly id: string }, max: number): number {
    const chosen = this.#chosen(which, max, () => true);
    for (const row of chosen) {
      this.#remove(row);
      if (row.once !== null) this.#do.dropOnce.run(row.once, row.id);
      this.#onCommit.push(() => this.#leases.forget(row.id));
    }
    return chosen.length;
  }

  stats(): QueueStats {
    const { waiting, waitingBytes, dead, deadBytes } = this.#tally;
    const delivering = this.#leases.count(this.#now());
    const oldest = this.#do.oldestWaiting.get();
    return {
      waiting: Math.max(0, waiting - delivering),
      delivering,
      dead,
      bytes: waitingBytes,
      deadBytes,
      ...(oldest === undefined ? {} : { oldestAtMs: oldest.first_ms }),
      dropped: this.#dropped,
    };
  }

  #now(): number {
    return Math.floor(this.#clock.wall());
  }

  #hasRoom(bytes: number): boolean {
    const { waiting, waitingBytes } = this.#tally;
    return waiting < this.#limits.messages && waitingBytes + bytes <= this.#limits.bytes;
  }

  /** The message of a lease that is valid. */
  #held(lease: Lease): MessageRow | undefined {
    const row = this.#leases.holds(lease) ? this.#do.find.get(lease.id) : undefined;
    return row?.dead === 0 ? row : undefined;
  }

  /** What was not committed has not happened: the lease stays until it has. */
  #endLater(lease: Lease): void {
    this.#onCommit.push(() => this.#leases.end(lease));
  }

  #remove(row: MessageRow): void {
    this.#do.remove.run(row.seq);
    this.#do.removePayload.run(row.seq);
    this.#tally.remove(row);
  }

  /** A client that sends it again with its key means it: the key is free. */
  #die(row: MessageRow, cause: DeathCause, errors: string, attempts: 0 | 1): void {
    this.#do.bury.run(this.#now(), cause, errors, attempts, row.seq);
    this.#tally.bury(row);
    if (row.once !== null) this.#do.dropOnce.run(row.once, row.id);
  }

  #dropDeadLetters(): void {
    const { deadLetters, bytes } = this.#limits;
    while (this.#tally.dead > deadLetters || this.#tally.deadBytes > bytes) {
      const row = this.#do.oldestDead.get();
      if (row === undefined) return;
      this.#remove(row);
      this.#dropped++;
    }
  }

  #revive(row: MessageRow, nowMs: number): void {
    this.#do.revive.run(nowMs, row.seq);
    this.#tally.revive(row);
    if (row.once !== null) this.#do.insertOnce.run(row.once, row.request, row.id);
  }

  /** In a list, as what is read must not be changed meanwhile. */
  #chosen(which: Selection | { readonly id: string }, max: number, fits: (row: MessageRow) => boolean): MessageRow[] {
    if ("id" in which) {
      const row = this.#do.find.get(which.id);
      return row === undefined || !fits(row) ? [] : [row];
    }
    const chosen: MessageRow[] = [];
    for (const row of this.#matching(which, Number.MAX_SAFE_INTEGER)) {
      if (chosen.length === max) break;
      if (fits(row)) chosen.push(row);
    }
    return chosen;
  }

  *#matching({ state, route = "", service = "" }: Selection, before: number): Iterable<MessageRow> {
    const dead = state === undefined ? -1 : state === "dead" ? 1 : 0;
    for (const row of this.#do.newest.iterate(before, route, service, dead)) {
      if (state === undefined || this.#stateOf(row) === state) yield row;
    }
  }

  #stateOf({ id, dead }: MessageRow): MessageState {
    if (dead !== 0) return "dead";
    return this.#leases.isTaken(id, this.#now()) ? "delivering" : "waiting";
  }

  #summary(row: MessageRow, { head }: Pick<PayloadRow, "head">): MessageSummary {
    const { id, route, service, bytes, attempts, cause } = row;
    return {
      ...{ id, route, service, head, bytes, attempts },
      state: this.#stateOf(row),
      firstAtMs: row.first_ms,
      nextAtMs: row.next_ms,
      deadlineAtMs: row.deadline_ms,
      ...(cause === null ? {} : { cause: cause as DeathCause }), // written by #die
      errors: JSON.parse(row.errors) as DeliveryFailure[], // written by withFailure
    };
  }
}

function reservedOf(row: MessageRow, { head, body }: PayloadRow, lease: Lease): Reserved {
  const { route, service, bytes, attempts } = row;
  return {
    ...{ lease, route, service, bytes, attempts, head },
    ...(body === null ? {} : { body }),
    backoffMs: row.backoff_ms,
    backoffMaxMs: row.backoff_max_ms,
  };
}

/** The errors with one more, as JSON. */
function withFailure({ errors }: MessageRow, failure: DeliveryFailure): string {
  const known = JSON.parse(errors) as DeliveryFailure[]; // written here
  return JSON.stringify([...known, failure].slice(-errorsMax));
}
