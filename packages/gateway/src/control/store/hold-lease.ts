import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { textOf } from "./keys.ts";
import { StoreError, type Key, type Operation, type Store } from "./store.ts";

/** A key that is to be there as long as the lease is held. */
export interface HeldEntry {
  readonly key: Key;
  readonly value: Buffer;
}

export interface HoldLeaseOptions {
  readonly store: Store;
  /** After this without a word the store deletes the keys. It may grant more. */
  readonly ttlSeconds: number;
  /** The keys as they are to be now; asked at the start, after `update()` and after the lease was lost. */
  readonly put: () => readonly HeldEntry[];
  /** Whether the keys are there, as far as is known; whenever that changes. `reason` is one sentence. */
  readonly onHeld?: (held: boolean, reason: string) => void;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export interface HeldLease {
  /** What `put` says has changed: writes the difference, as soon as the store takes it. */
  update(): void;
  /** Ends the lease and with it the keys. Never rejects: what cannot be revoked ends by itself. */
  release(): Promise<void>;
}

/** The pause before a failed step is tried again: doubled from 100 ms up to this, or a sixth of the lease's time. */
const pauseMsMax = 2_000;
/** A holder whose lease is gone waits at most this before it asks for another: all holders lose theirs at once. */
const lostPauseMsMax = 500;
/** etcd's limit of a transaction. */
const operationsMax = 128;

/**
 * Keeps keys in a store under one lease: kept alive every third of its time; when it is lost (the store says so, or was
 * not reached for its whole time) the keys are put again under another. Two holders of the same key overwrite each other.
 * A key that somebody deletes stays deleted until the lease is lost or `update` changes it.
 */
export function holdLease(options: HoldLeaseOptions): HeldLease {
  const holder = new Holder(options);
  holder.step();
  return holder;
}

/** A lease that was granted. Its time counts from before the request that the store answered last. */
interface Granted {
  readonly id: string;
  readonly ttlMs: number;
  keptMs: number;
  /** What was put under it; undefined: it is not known whether the put was carried out. */
  readonly entries: Map<Key, Buffer | undefined>;
}

class Holder implements HeldLease {
  readonly #options: HoldLeaseOptions;
  #granted: Granted | undefined;
  #changed = true;
  #running: Promise<void> | undefined;
  #stopTimer: (() => void) | undefined;
  #released: Promise<void> | undefined;
  #failures = 0;
  #held: boolean | undefined;

  constructor(options: HoldLeaseOptions) {
    this.#options = options;
  }

  update(): void {
    this.#changed = true;
    if (this.#running === undefined && this.#failures === 0) this.step();
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** Does what is due, then arms the timer for what comes next. One at a time. */
  step(): void {
    if (this.#released !== undefined || this.#running !== undefined) return;
    this.#stopTimer?.();
    this.#running = this.#act().then((pauseMs) => {
      this.#running = undefined;
      if (this.#released !== undefined) return;
      // `update` may have been called meanwhile.
      const waitMs = this.#changed && this.#failures === 0 ? 0 : pauseMs;
      this.#stopTimer = this.#options.timers.after(waitMs, () => this.step());
    });
  }

  /** Returns how long to wait until the next step. */
  async #act(): Promise<number> {
    const { clock } = this.#options;
    try {
      const before = this.#granted;
      if (before !== undefined && clock.now() >= before.keptMs + before.ttlMs) {
        return this.#lost("the store was not reached for the whole time of the lease");
      }
      const granted = before ?? (await this.#grant());
      if (this.#changed) await this.#put(granted);
      if (clock.now() >= granted.keptMs + granted.ttlMs / 3 && !(await this.#keepAlive(granted))) {
        return this.#lost("the store has ended the lease");
      }
      this.#failures = 0;
      this.#tell(true, "the lease is held");
      return Math.max(0, granted.keptMs + granted.ttlMs / 3 - clock.now());
    } catch (error) {
      if (error instanceof StoreError && error.code === "lease-not-found") {
        return this.#lost("the store has ended the lease");
      }
      return this.#failed(error);
    }
  }

  async #grant(): Promise<Granted> {
    const { store, ttlSeconds, clock } = this.#options;
    const keptMs = clock.now();
    const lease = await store.grant(ttlSeconds);
    this.#granted = { id: lease.id, ttlMs: lease.ttlSeconds * 1000, keptMs, entries: new Map() };
    return this.#granted;
  }

  async #keepAlive(granted: Granted): Promise<boolean> {
    const { store, clock } = this.#options;
    const askedMs = clock.now();
    if ((await store.keepAlive(granted.id)) <= 0) return false;
    granted.keptMs = askedMs;
    return true;
  }

  async #put(granted: Granted): Promise<void> {
    this.#changed = false;
    try {
      const wanted = new Map(this.#options.put().map(({ key, value }) => [key, value]));
      const { id: lease, entries } = granted;
      const operations: Operation[] = [];
      for (const [key, value] of wanted) {
        if (entries.get(key)?.equals(value) !== true) operations.push({ type: "put", put: { key, value, lease } });
      }
      for (const key of entries.keys()) {
        if (!wanted.has(key)) operations.push({ type: "delete", delete: { key } });
      }
      for (let at = 0; at < operations.length; at += operationsMax) {
        await this.#options.store.txn({ compare: [], then: operations.slice(at, at + operationsMax) });
      }
      entries.clear();
      for (const [key, value] of wanted) entries.set(key, value);
    } catch (error) {
      // Some of it may be there and some not: all of it is written again.
      for (const key of granted.entries.keys()) granted.entries.set(key, undefined);
      this.#changed = true;
      throw error;
    }
  }

  #lost(reason: string): number {
    this.#granted = undefined;
    this.#changed = true;
    this.#options.log.warn({ keys: this.#names() }, `a lease was lost: ${reason}`);
    this.#tell(false, reason);
    return this.#options.random() * Math.min(lostPauseMsMax, this.#options.ttlSeconds * 100);
  }

  #failed(error: unknown): number {
    const { clock, ttlSeconds, random, log } = this.#options;
    const text = error instanceof Error ? error.message : String(error);
    if (this.#failures === 0) log.warn({ keys: this.#names() }, `a lease cannot be kept alive: ${text}`);
    // A lease that was held still is, until its time is over.
    if (this.#held !== true) this.#tell(false, text);
    const most = Math.min(pauseMsMax, (ttlSeconds * 1000) / 6);
    const pauseMs = Math.min(most, 100 * 2 ** Math.min(this.#failures++, 10)) * (0.5 + random() / 2);
    // Not beyond the lease's end, so that its loss is told when it comes.
    const endMs = this.#granted === undefined ? Infinity : this.#granted.keptMs + this.#granted.ttlMs;
    return Math.max(0, Math.min(pauseMs, endMs - clock.now()));
  }

  async #release(): Promise<void> {
    this.#stopTimer?.();
    await this.#running;
    const granted = this.#granted;
    if (granted === undefined) return;
    try {
      await this.#options.store.revoke(granted.id);
    } catch (error) {
      if (error instanceof StoreError && error.code === "lease-not-found") return;
      const text = error instanceof Error ? error.message : String(error);
      this.#options.log.warn({ keys: this.#names() }, `a lease could not be ended and will end by itself: ${text}`);
    }
  }

  #names(): string[] {
    return [...(this.#granted?.entries.keys() ?? [])].map(textOf);
  }

  #tell(held: boolean, reason: string): void {
    if (held === this.#held) return;
    this.#held = held;
    this.#options.onHeld?.(held, reason);
  }
}
