import { inRange } from "../../packages/gateway/src/control/store/keys.ts";
import type {
  Key,
  KeyRange,
  KeyValue,
  Store,
  StoreEvent,
  Watch,
  WatchRequest,
} from "../../packages/gateway/src/control/store/store.ts";
import { Bell } from "./wait.ts";

/**
 * The promises of a watch, after the validators of etcd's robustness tests (tests/robustness/validate/watch.go). There
 * the truth is what all watchers saw together; here it is read from the store itself, snapshot by snapshot, so that an
 * event that every watcher missed is found too.
 */
export type Promised =
  /** A revision before one that was told never follows. */
  | "ordered"
  /** No event is told twice. */
  | "unique"
  /** All events of a revision come at once. */
  | "atomic"
  /** Between the first and the last event told, and up to the end of the run, none is missing, none invented. */
  | "reliable"
  /** The first event told is the first since the revision asked for. */
  | "resumable"
  /** After progress nothing at or before its revision comes, and nothing before it was left out. */
  | "bookmarkable"
  /** The previous value is the one that the store had, and comes when it was asked for. */
  | "previous"
  /** An event says that its key came to be exactly when the key was not there before. */
  | "create"
  /** Only keys of the range. */
  | "filtered"
  /** A write that was acknowledged is in the history. */
  | "durable";

export interface Violation {
  readonly broken: Promised;
  readonly watch: string;
  readonly revision: number;
  readonly text: string;
}

export type Told =
  | { readonly kind: "revision"; readonly revision: number; readonly events: readonly StoreEvent[] }
  | { readonly kind: "progress"; readonly revision: number }
  | { readonly kind: "lost"; readonly reason: "compacted" | "replaced" }
  /** Whoever watched ended it. */
  | { readonly kind: "closed" };

export interface RecordedWatch {
  readonly name: string;
  readonly request: WatchRequest;
  readonly told: readonly Told[];
}

/** What happened: the events of every revision after `after` up to `through`, each with its previous value. */
export interface History {
  readonly after: number;
  readonly through: number;
  /** Previous values from before this revision may be missing. */
  readonly compacted: number;
  readonly revisions: ReadonlyMap<number, readonly StoreEvent[]>;
}

/** A write that the store said it had carried out. */
export interface Acknowledged {
  readonly revision: number;
  /** The keys it put (with the value) and deleted (without). */
  readonly writes: ReadonlyMap<Key, string | undefined>;
}

/** A watch of a store that writes down what it is told. */
export class WatchRecorder implements RecordedWatch {
  readonly name: string;
  readonly request: WatchRequest;
  readonly told: Told[] = [];
  readonly bell = new Bell();
  readonly #watch: Watch;
  #toldThrough: number;
  #ended = false;

  constructor(store: Pick<Store, "watch">, name: string, request: WatchRequest) {
    this.name = name;
    this.request = request;
    this.#toldThrough = request.from - 1;
    this.#watch = store.watch(request, {
      onRevision: (revision, events) => this.#write({ kind: "revision", revision, events }, revision),
      onProgress: (revision) => this.#write({ kind: "progress", revision }, revision),
      onLost: (reason) => {
        this.#ended = true;
        this.#write({ kind: "lost", reason }, 0);
      },
      onConnection: () => undefined,
    });
  }

  get toldThrough(): number {
    return this.#toldThrough;
  }

  /** It was lost or closed. */
  get ended(): boolean {
    return this.#ended;
  }

  close(): void {
    this.#watch.close();
    if (!this.#ended) this.#write({ kind: "closed" }, 0);
    this.#ended = true;
  }

  #write(told: Told, through: number): void {
    this.told.push(told);
    this.#toldThrough = Math.max(this.#toldThrough, through);
    this.bell.ring();
  }
}

/** Snapshots read at once. */
const readsAtOnce = 16;

/** Reads the history of a range from the store's snapshots; what is to be compacted has to be read before. */
export class HistoryReader {
  readonly #store: Pick<Store, "range">;
  readonly #range: KeyRange;
  readonly #after: number;
  readonly #revisions = new Map<number, readonly StoreEvent[]>();
  #through: number;
  #last: ReadonlyMap<Key, KeyValue> | undefined;

  constructor(store: Pick<Store, "range">, range: KeyRange, after: number) {
    this.#store = store;
    this.#range = range;
    this.#after = after;
    this.#through = after;
  }

  async readThrough(revision: number): Promise<void> {
    this.#last ??= await this.#snapshot(this.#after);
    while (this.#through < revision) {
      const count = Math.min(readsAtOnce, revision - this.#through);
      const asked = Array.from({ length: count }, (_, index) => this.#snapshot(this.#through + 1 + index));
      for (const snapshot of await Promise.all(asked)) {
        const events = eventsBetween(this.#last, snapshot, ++this.#through);
        if (events.length > 0) this.#revisions.set(this.#through, events);
        this.#last = snapshot;
      }
    }
  }

  history(compacted = 0): History {
    return { after: this.#after, through: this.#through, compacted, revisions: this.#revisions };
  }

  async #snapshot(revision: number): Promise<ReadonlyMap<Key, KeyValue>> {
    const { kvs } = await this.#store.range({ ...this.#range, revision });
    return new Map(kvs.map((kv) => [kv.key, kv]));
  }
}

/** What made one snapshot of the other. */
export function eventsBetween(
  before: ReadonlyMap<Key, KeyValue>,
  now: ReadonlyMap<Key, KeyValue>,
  revision: number,
): StoreEvent[] {
  const events: StoreEvent[] = [];
  for (const kv of now.values()) {
    if (kv.modRevision !== revision) continue;
    const previous = before.get(kv.key);
    events.push({ type: "put", kv, ...(previous === undefined ? {} : { previous }) });
  }
  for (const previous of before.values()) {
    if (now.has(previous.key)) continue;
    const kv = {
      ...previous,
      value: Buffer.alloc(0),
      createRevision: 0,
      modRevision: revision,
      version: 0,
      lease: "0",
    };
    events.push({ type: "delete", kv, previous });
  }
  return events;
}

/** Everything that the recorded watches and acknowledged writes say against the history. */
export function checkHistory(
  history: History,
  watches: readonly RecordedWatch[],
  acknowledged: readonly Acknowledged[] = [],
): Violation[] {
  return [...watches.flatMap((watch) => checkWatch(history, watch)), ...checkAcknowledged(history, acknowledged)];
}

function checkAcknowledged(history: History, acknowledged: readonly Acknowledged[]): Violation[] {
  const found: Violation[] = [];
  for (const { revision, writes } of acknowledged) {
    const events = new Map(history.revisions.get(revision)?.map((event) => [event.kv.key, event]));
    for (const [key, value] of writes) {
      const event = events.get(key);
      const had = event?.type === "put" ? event.kv.value.toString("latin1") : undefined;
      if (event === undefined || had !== value) {
        found.push({ broken: "durable", watch: "", revision, text: `${key} was acknowledged, and is not there` });
      }
    }
  }
  return found;
}

function checkWatch(history: History, watch: RecordedWatch): Violation[] {
  const state = new WatchCheck(history, watch);
  for (const told of watch.told) {
    if (told.kind === "revision") state.onRevision(told.revision, told.events);
    else if (told.kind === "progress") state.onProgress(told.revision);
    else return state.found; // What follows belongs to another watch.
  }
  state.onEnd();
  return state.found;
}

class WatchCheck {
  readonly found: Violation[] = [];
  readonly #history: History;
  readonly #watch: RecordedWatch;
  readonly #seen = new Set<string>();
  /** Events of the history before this revision have been accounted for. */
  #next: number;
  #lastRevision = 0;
  #progress = 0;
  #first = true;

  constructor(history: History, watch: RecordedWatch) {
    this.#history = history;
    this.#watch = watch;
    this.#next = Math.max(watch.request.from, history.after + 1);
  }

  onRevision(revision: number, events: readonly StoreEvent[]): void {
    if (revision < this.#lastRevision) this.#add("ordered", revision, `comes after ${this.#lastRevision}`);
    if (revision <= this.#progress) this.#add("bookmarkable", revision, `comes after progress at ${this.#progress}`);
    if (revision === this.#lastRevision) this.#add("atomic", revision, "comes in more than one piece");
    for (const event of events) this.#checkEvent(revision, event);
    if (revision >= this.#next) {
      this.#expectNothing(revision - 1, this.#first ? "resumable" : "reliable");
      this.#compareRevision(revision, events);
      this.#next = revision + 1;
    }
    this.#first = false;
    this.#lastRevision = Math.max(this.#lastRevision, revision);
  }

  onProgress(revision: number): void {
    this.#expectNothing(revision, "bookmarkable");
    this.#progress = Math.max(this.#progress, revision);
  }

  onEnd(): void {
    this.#expectNothing(this.#history.through, "reliable");
  }

  /** Nothing of the range happened from `#next` to `through`. */
  #expectNothing(through: number, broken: Promised): void {
    for (; this.#next <= through; this.#next++) {
      const missing = this.#ofRange(this.#next);
      for (const { kv } of missing) this.#add(broken, this.#next, `${kv.key} is missing`);
    }
  }

  #checkEvent(revision: number, event: StoreEvent): void {
    const { key } = event.kv;
    const name = `${event.kv.modRevision} ${key}`;
    if (this.#seen.has(name)) this.#add("unique", revision, `${key} is told twice`);
    this.#seen.add(name);
    if (!inRange(this.#watch.request, key)) this.#add("filtered", revision, `${key} is not in the range`);
    if (event.kv.modRevision !== revision) {
      this.#add("atomic", revision, `${key} of revision ${event.kv.modRevision} comes with it`);
    }
  }

  #compareRevision(revision: number, events: readonly StoreEvent[]): void {
    const told = new Map(events.map((event) => [event.kv.key, event]));
    for (const truth of this.#ofRange(revision)) {
      const { key } = truth.kv;
      const event = told.get(key);
      told.delete(key);
      if (event === undefined) this.#add("reliable", revision, `${key} is missing`);
      else this.#compareEvent(revision, event, truth);
    }
    for (const [key] of told) {
      if (inRange(this.#watch.request, key)) this.#add("reliable", revision, `${key} did not happen`);
    }
  }

  #compareEvent(revision: number, event: StoreEvent, truth: StoreEvent): void {
    const { key } = truth.kv;
    if (event.type !== truth.type) return this.#add("reliable", revision, `${key} is a ${truth.type}`);
    if (event.type === "put") {
      if (isCreate(event) !== (truth.previous === undefined)) {
        this.#add("create", revision, `${key} is ${truth.previous === undefined ? "" : "not "}new`);
      } else if (!sameKeyValue(event.kv, truth.kv)) {
        this.#add("reliable", revision, `${key} differs: ${show(event.kv)}, not ${show(truth.kv)}`);
      }
    }
    const forgotten = event.previous === undefined && revision - 1 < this.#history.compacted;
    const wanted = this.#watch.request.previous === true && !forgotten ? truth.previous : undefined;
    const same =
      wanted === undefined || event.previous === undefined
        ? wanted === event.previous
        : sameKeyValue(wanted, event.previous);
    if (!same) this.#add("previous", revision, `${key} had ${show(wanted)}, not ${show(event.previous)}`);
  }

  #ofRange(revision: number): readonly StoreEvent[] {
    const events = this.#history.revisions.get(revision) ?? [];
    return events.filter((event) => inRange(this.#watch.request, event.kv.key));
  }

  #add(broken: Promised, revision: number, text: string): void {
    this.found.push({ broken, watch: this.#watch.name, revision, text });
  }
}

function isCreate({ kv }: StoreEvent): boolean {
  return kv.version === 1 && kv.createRevision === kv.modRevision;
}

function sameKeyValue(one: KeyValue, other: KeyValue): boolean {
  return (
    one.key === other.key &&
    one.value.equals(other.value) &&
    one.createRevision === other.createRevision &&
    one.modRevision === other.modRevision &&
    one.version === other.version &&
    one.lease === other.lease
  );
}

function show(kv: KeyValue | undefined): string {
  if (kv === undefined) return "nothing";
  const { value, createRevision, modRevision, version, lease } = kv;
  return `${value.toString("latin1", 0, 40)} (${createRevision}/${modRevision}/${version}/${lease})`;
}
