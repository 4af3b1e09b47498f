import { nextTurn } from "../../../../core/timers.ts";
import type * as m from "../../etcd/messages.ts";
import type { Sent } from "../../etcd/messages.ts";
import { keyOfBytes } from "../../keys.ts";
import { StoreError, type KeyRange, type StoreEvent } from "../../store.ts";
import type { ServeContext } from "./context.ts";
import { eventBytes, fragments } from "./fragments.ts";
import { fail } from "./stream.ts";
import type { WatchCall } from "./watch.ts";
import type { HistoryPage } from "../watcher.ts";
import { writeEvent } from "./write-responses.ts";

export interface WatchLimits {
  /** Watches on all streams together; one more is created and cancelled at once, with the reason. */
  readonly watchesMax: number;
}

/** Revisions that one answer holds: etcd's `watchBatchMaxRevs`. */
const batchRevisionsMax = 1_000;
/** Answers of one stream before others have their turn. */
const answersPerTurn = 100;
/** Revisions that are read at once: all their values are copied, and each may be 1.5 MiB. */
const pageRevisionsMax = 32;
/** Events gathered for one answer: no further revision is added then. A single revision may be larger. */
const batchBytesMax = 1024 * 1024;
/** Written and not yet taken by the connection. With more, nothing is read from the history: it waits there, not here. */
const pendingBytesMax = 1024 * 1024;

interface ServedWatch extends KeyRange {
  readonly id: string;
  readonly previous: boolean;
  readonly fragment: boolean;
  readonly progress: boolean;
  /** Kinds of events that are not wanted. */
  readonly without: ReadonlySet<StoreEvent["type"]>;
  /** Everything before this revision has been told. */
  next: number;
  /** Nothing was told since the last look of `tellQuietProgress`. */
  quiet: boolean;
}

/**
 * The watches of one stream. None has a queue: each knows the next revision it needs and reads it from the history when
 * the connection takes more. One that falls behind what is kept is cancelled with the compacted revision.
 */
export class WatchStream {
  readonly #context: ServeContext;
  readonly #call: WatchCall;
  readonly #limits: WatchLimits;
  readonly #watchesOfAll: () => number;
  readonly #watches = new Map<string, ServedWatch>();
  #nextId = 0;
  #pendingBytes = 0;
  #progressAsked = false;
  /** `pump` stopped because the connection was full. */
  #held = false;
  /** `pump` stopped to let others have their turn. */
  #continuing = false;
  #closed = false;
  #flowing: (() => void) | undefined;

  constructor(context: ServeContext, call: WatchCall, limits: WatchLimits, watchesOfAll: () => number) {
    this.#context = context;
    this.#call = call;
    this.#limits = limits;
    this.#watchesOfAll = watchesOfAll;
  }

  get watches(): number {
    return this.#watches.size;
  }

  close(): void {
    this.#closed = true;
    this.#watches.clear();
    this.#flowing?.();
  }

  /** Resolves when the next request may be read. */
  async take(message: m.WatchRequestMessage): Promise<void> {
    if (message.create_request !== undefined) this.#create(message.create_request);
    else if (message.cancel_request !== undefined) this.#cancel(message.cancel_request.watch_id);
    else if (message.progress_request !== undefined) this.#progressAsked = true;
    this.pump();
    if (this.#isBlocked()) await new Promise<void>((resolve) => (this.#flowing = resolve));
  }

  /** Tells every watch what is durable and new to it, in turns, until all have it or the connection is full. */
  pump(): void {
    try {
      if (this.#tellEvents() && this.#progressAsked) this.#tellProgress();
    } catch (error) {
      // Also run by callbacks of the connection, where an error would end the process.
      this.close();
      fail(this.#call, error, this.#context.log);
    }
  }

  /** Whether every watch has everything. */
  #tellEvents(): boolean {
    const { revision } = this.#context.store;
    let answers = 0;
    for (const watch of this.#watches.values()) {
      if (watch.next > revision) continue;
      if (this.#isBlocked()) return this.#hold();
      if (answers++ === answersPerTurn) return this.#continueNextTurn();
      this.#advance(watch, revision);
      // To the end of the line: this loop comes to it again, and with more watches than a turn takes none starves.
      if (this.#watches.delete(watch.id)) this.#watches.set(watch.id, watch);
    }
    return true;
  }

  /** Of all watches (-1), and only when each of them has everything: etcd before 3.4.25 said it too early. */
  #tellProgress(): void {
    if (this.#isBlocked()) return void this.#hold();
    this.#progressAsked = false;
    this.#send({ watch_id: "-1", header: this.#context.header() });
  }

  #hold(): false {
    this.#held = true;
    return false;
  }

  #continueNextTurn(): false {
    if (!this.#continuing) {
      this.#continuing = true;
      void nextTurn().then(() => {
        this.#continuing = false;
        this.pump();
      });
    }
    return false;
  }

  /** For watches that asked for it and have heard nothing for a while. */
  tellQuietProgress(): void {
    const { revision } = this.#context.store;
    for (const watch of this.#watches.values()) {
      const due = watch.progress && watch.quiet && watch.next > revision && !this.#isBlocked();
      watch.quiet = true;
      if (due) this.#send({ watch_id: watch.id, header: this.#context.header(revision) });
    }
  }

  #create(request: m.WatchCreateRequest): void {
    const range = watchedRange(request);
    const start = Number(request.start_revision);
    const newest = this.#context.store.revision;
    const id = request.watch_id === "0" ? this.#freeId() : request.watch_id;
    const refused = this.#refusal(range, id);
    const header = this.#context.header(newest);
    if (refused !== undefined) {
      return this.#send({ header, watch_id: "-1", created: true, canceled: true, cancel_reason: refused });
    }
    this.#watches.set(id, {
      ...range,
      id,
      previous: request.prev_kv,
      fragment: request.fragment,
      progress: request.progress_notify,
      without: new Set(request.filters.map((filter) => (filter === "NOPUT" ? "put" : "delete"))),
      // As etcd 3.4: a negative start asks for nothing of the past.
      next: start <= 0 ? newest + 1 : start,
      quiet: true,
    });
    this.#send({ header, watch_id: id, created: true });
  }

  #refusal(range: KeyRange, id: string): string | undefined {
    if (range.end !== undefined && range.end !== "\0" && range.end <= range.key) return "mvcc: watcher range is empty";
    if (this.#watches.has(id)) return "mvcc: duplicate watch ID provided on the WatchStream";
    if (this.#watchesOfAll() >= this.#limits.watchesMax) {
      return `This server takes ${this.#limits.watchesMax} watches at a time; close some, or watch a prefix instead.`;
    }
    return undefined;
  }

  #freeId(): string {
    while (this.#watches.has(String(this.#nextId))) this.#nextId++;
    return String(this.#nextId++);
  }

  #cancel(id: string): void {
    if (!this.#watches.delete(id)) return;
    this.#send({ header: this.#context.header(), watch_id: id, canceled: true });
  }

  /** One answer's worth of history. */
  #advance(watch: ServedWatch, newest: number): void {
    const events: StoreEvent[] = [];
    let bytes = 0;
    for (let looked = 0; looked < batchRevisionsMax && bytes <= batchBytesMax && watch.next <= newest;) {
      const page = this.#read(watch);
      if (page === undefined) return this.#cancelCompacted(watch);
      for (const { revision, events: all } of page.revisions) {
        if (bytes > batchBytesMax) break;
        for (const event of all) {
          if (watch.without.has(event.type)) continue;
          events.push(event);
          bytes += eventBytes(event, watch.previous);
        }
        looked++;
        watch.next = revision + 1;
      }
      if (bytes <= batchBytesMax) watch.next = page.next;
      if (page.revisions.length === 0) break;
    }
    if (events.length > 0) this.#sendEvents(watch, events);
  }

  #read(watch: ServedWatch): HistoryPage | undefined {
    try {
      return this.#context.store.history({ ...watch, from: watch.next, revisionsMax: pageRevisionsMax });
    } catch (error) {
      if (error instanceof StoreError && error.code === "compacted") return undefined;
      throw error;
    }
  }

  /** The header says up to where this watch has been told, not (as etcd's) how far the store is: safe to resume from. */
  #sendEvents(watch: ServedWatch, events: readonly StoreEvent[]): void {
    const header = this.#context.header(watch.next - 1);
    watch.quiet = false;
    for (const { part, more } of fragments(events, watch.previous, watch.fragment)) {
      this.#send(
        {
          header,
          watch_id: watch.id,
          ...(more ? { fragment: true } : {}),
          events: part.map((event) => writeEvent(event, watch.previous)),
        },
        part.reduce((sum, event) => sum + eventBytes(event, watch.previous), 0),
      );
    }
  }

  #cancelCompacted(watch: ServedWatch): void {
    const { compactedRevision } = this.#context.store.status;
    this.#watches.delete(watch.id);
    this.#send({
      header: this.#context.header(),
      watch_id: watch.id,
      canceled: true,
      compact_revision: String(compactedRevision),
    });
  }

  #isBlocked(): boolean {
    return this.#closed || this.#pendingBytes > pendingBytesMax || this.#call.writableNeedDrain;
  }

  #send(response: Sent<m.WatchResponse>, bytes = 0): void {
    if (this.#closed) return;
    this.#pendingBytes += bytes;
    this.#call.write(response, () => {
      this.#pendingBytes -= bytes;
      if (this.#isBlocked()) return;
      this.#flowing?.();
      this.#flowing = undefined;
      if (!this.#held) return;
      this.#held = false;
      this.pump();
    });
  }
}

/** An empty key is the smallest key, an empty end one key only, "\0" no end. */
function watchedRange({ key, range_end: end }: m.WatchCreateRequest): KeyRange {
  const from = key.length === 0 ? "\0" : keyOfBytes(key);
  return end.length === 0 ? { key: from } : { key: from, end: keyOfBytes(end) };
}
