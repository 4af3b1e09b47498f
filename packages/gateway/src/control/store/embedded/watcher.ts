import { nextTurn } from "../../../core/timers.ts";
import { StoreError } from "../store.ts";
import type { KeyRange, StoreEvent, Watch, WatchListener, WatchRequest } from "../store.ts";

export interface HistoryRequest extends KeyRange {
  /** The first revision that is wanted. */
  readonly from: number;
  /** Revisions of the answer, at most. */
  readonly revisionsMax: number;
  /** Whether events carry what was there before. */
  readonly previous?: boolean;
}

export interface HistoryPage {
  /** Whole revisions with all their events in the range; those without any are left out. */
  readonly revisions: readonly { readonly revision: number; readonly events: readonly StoreEvent[] }[];
  /** Where the next page begins. Above the store's revision: that was all. */
  readonly next: number;
}

/** What a watcher reads. */
export interface WatchSource {
  readonly clusterId: string;
  /** The newest that survives the loss of power. */
  readonly revision: number;
  history(request: HistoryRequest): HistoryPage;
}

/** Revisions that a watcher which is behind is told before others have their turn. */
const revisionsPerTurn = 500;

/**
 * One watch. It has no queue: it knows the next revision it wants and reads it from the history, however far behind it
 * is; the history's limit is the only one, and falling behind that ends the watch with `compacted`.
 */
export class Watcher implements Watch {
  readonly #source: WatchSource;
  readonly #request: WatchRequest;
  readonly #listener: WatchListener;
  readonly #ended: (watcher: Watcher) => void;
  #next: number;
  #state: "starting" | "idle" | "telling" | "closed" = "starting";

  constructor(source: WatchSource, request: WatchRequest, listener: WatchListener, ended: (watcher: Watcher) => void) {
    this.#source = source;
    this.#request = request;
    this.#listener = listener;
    this.#ended = ended;
    this.#next = Math.max(1, request.from);
    void this.#start();
  }

  /** To be called when the store's revision grew. */
  wake(): void {
    if (this.#state === "idle") void this.#tell();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#ended(this);
  }

  /** The caller has its Watch in hand before the listener hears anything. */
  async #start(): Promise<void> {
    await nextTurn();
    if (this.#state === "closed") return;
    if (this.#request.clusterId !== this.#source.clusterId || this.#next > this.#source.revision + 1) {
      return this.#lose("replaced");
    }
    this.#listener.onConnection(true, "The store is part of this process.");
    await this.#tell();
  }

  /** Without a pause while there is one page: whoever waits for a write to be told hears of it as it is committed. */
  async #tell(): Promise<void> {
    const { key, end, previous = false } = this.#request;
    const range = end === undefined ? { key } : { key, end };
    // close() and the listener change the state on the way, which the compiler cannot see.
    const isClosed = (): boolean => this.#state === "closed";
    if (isClosed()) return;
    this.#state = "telling";
    while (this.#next <= this.#source.revision) {
      const request = { ...range, previous, from: this.#next, revisionsMax: revisionsPerTurn };
      const page = this.#read(request);
      if (page === undefined) return;
      for (const { revision, events } of page.revisions) {
        this.#listener.onRevision(revision, events);
        if (isClosed()) return;
      }
      this.#next = page.next;
      if (this.#next > this.#source.revision) break;
      await nextTurn();
      if (isClosed()) return;
    }
    this.#listener.onProgress(this.#next - 1);
    if (!isClosed()) this.#state = "idle";
  }

  #read(request: HistoryRequest): HistoryPage | undefined {
    try {
      return this.#source.history(request);
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "compacted") throw error;
      this.#lose("compacted");
      return undefined;
    }
  }

  #lose(reason: "compacted" | "replaced"): void {
    this.close();
    this.#listener.onLost(reason);
  }
}
