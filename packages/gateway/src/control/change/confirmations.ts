import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { confirmKey } from "../layout.ts";
import type { Key, KeyValue, Store } from "../store/store.ts";
import type { ResourceWrite } from "./change.ts";
import { parsePending, type PendingChange } from "./pending.ts";
import { takeBack } from "./take-back.ts";

export interface ConfirmationsOptions {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Who takes changes back, for their record: this gateway. */
  readonly author: string;
  /**
   * The time is over and the store does not answer: serve as if these writes were made, whatever the store's copy says,
   * until `onLocalRedo`. At most once for a change. Must not throw.
   */
  readonly onLocalUndo: (change: string, writes: readonly ResourceWrite[]) => void;
  /**
   * The store has settled it, one way or the other (confirmed after all, or taken back there too): what it holds counts
   * again. Only after `onLocalUndo`. Must not throw.
   */
  readonly onLocalRedo: (change: string) => void;
}

/** Gateways try at slightly different times, so that one of them finds the work done rather than all of them at it. */
const spreadMs = 300;

/** A store that has not answered for so long after the deadline counts as out of reach. */
const answerMs = 2_000;

const retryMsMin = 200;
const retryMsMax = 5_000;

/** More than this gateway's own limit of changes that wait: others may have another version of it. */
const pendingMax = 1_000;

interface Waiting {
  readonly pending: PendingChange;
  readonly key: Key;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  cancel: () => void;
  cancelLocal: () => void;
  local: boolean;
}

/**
 * Takes back what nobody confirmed. Every gateway runs one and feeds it the keys below `<prefix>confirm/`; no operator
 * and no single gateway is needed: at the deadline each tries the same transaction, and one of them wins.
 *
 * The deadline. A gateway that sees the key come counts the duration from then, on its own monotonic clock: clocks that
 * differ do not matter. One that finds it (it was restarted, or was cut off meanwhile) cannot know how old it is: it
 * counts from now or takes the deadline by the wall clock, whichever is earlier. So a change is taken back at most the
 * difference of the clocks too early, and never later than the duration after the last gateway saw it.
 */
export class Confirmations {
  readonly #options: ConfirmationsOptions;
  readonly #waiting = new Map<Key, Waiting>();
  #stopped = false;

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  /** A key that waits. `fresh`: it was seen to come (a watch told it), not found. */
  set(kv: KeyValue, fresh: boolean): void {
    const { prefix, clock, timers, random, log } = this.#options;
    const pending = parsePending(prefix, kv);
    if (pending === undefined || this.#stopped) {
      if (!this.#stopped) log.warn({ key: kv.key }, "what waits for confirmation is not readable: it is left alone");
      return;
    }
    const known = this.#waiting.get(kv.key);
    if (known === undefined && this.#waiting.size >= pendingMax) {
      log.error({ key: kv.key }, "too many changes wait for confirmation: this one is left to other gateways");
      return;
    }
    const untilWallMs = pending.deadlineWallMs - clock.wall();
    const waitMs = Math.max(0, fresh ? pending.durationMs : Math.min(pending.durationMs, untilWallMs));
    // A change in several transactions writes its key again when it grows; its time runs from the first.
    const deadlineMs = known?.deadlineMs ?? clock.now() + waitMs;
    this.#disarm(known);
    const waiting: Waiting = {
      pending,
      key: kv.key,
      deadlineMs,
      cancel: () => undefined,
      cancelLocal: () => undefined,
      local: known?.local ?? false,
    };
    this.#waiting.set(kv.key, waiting);
    const delayMs = Math.max(0, deadlineMs - clock.now()) + random() * spreadMs;
    waiting.cancel = timers.after(delayMs, () => this.#expire(waiting));
  }

  /**
   * A key is gone: confirmed, or taken back. To be told after the resources of the same revision, so that what the store
   * holds is known when it counts again.
   */
  delete(key: Key): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#disarm(waiting);
    this.#waiting.delete(key);
    if (waiting.local) this.#options.onLocalRedo(waiting.pending.change);
  }

  /** How long a change can still be confirmed; undefined for one that does not wait here. */
  remainingMs(change: string): number | undefined {
    const waiting = this.#waiting.get(confirmKey(this.#options.prefix, change));
    return waiting === undefined ? undefined : Math.max(0, waiting.deadlineMs - this.#options.clock.now());
  }

  /** What waits, for status; `before` in ISO 8601. */
  pending(): readonly { readonly change: string; readonly before: string }[] {
    const { clock } = this.#options;
    return [...this.#waiting.values()].map(({ pending, deadlineMs }) => {
      const before = new Date(clock.wall() + deadlineMs - clock.now()).toISOString();
      return { change: pending.change, before };
    });
  }

  /** Takes nothing back any more. */
  stop(): void {
    this.#stopped = true;
    for (const waiting of this.#waiting.values()) this.#disarm(waiting);
    this.#waiting.clear();
  }

  #disarm(waiting: Waiting | undefined): void {
    waiting?.cancel();
    waiting?.cancelLocal();
  }

  #expire(waiting: Waiting): void {
    waiting.cancelLocal = this.#options.timers.after(answerMs, () => this.#undoHere(waiting));
    this.#try(waiting, retryMsMin).catch((error: unknown) => {
      this.#options.log.error({ error }, "taking back an unconfirmed change failed");
    });
  }

  async #try(waiting: Waiting, retryMs: number): Promise<void> {
    const { log, timers } = this.#options;
    const { pending, key } = waiting;
    const { change } = pending;
    try {
      const left = await takeBack(this.#options, pending, key);
      if (left !== undefined) log.warn({ change, left }, "a change was not confirmed in time and is taken back");
      // What remains is to see the key go: replication tells. Only a store out of reach needs more.
      waiting.cancelLocal();
    } catch (error) {
      if (!this.#isCurrent(waiting)) return;
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ change, reason }, "an unconfirmed change could not be taken back in the store: trying again");
      this.#undoHere(waiting);
      const again = (): void => void this.#try(waiting, Math.min(retryMs * 2, retryMsMax));
      if (this.#isCurrent(waiting)) waiting.cancel = timers.after(retryMs, again);
    }
  }

  #undoHere(waiting: Waiting): void {
    waiting.cancelLocal();
    if (waiting.local || !this.#isCurrent(waiting)) return;
    waiting.local = true;
    const { change, undo } = waiting.pending;
    this.#options.log.warn(
      { change },
      "an unconfirmed change is taken back on this gateway: the store does not answer",
    );
    this.#options.onLocalUndo(
      change,
      undo.map(({ kind, name, value }) => ({ kind, name, value })),
    );
  }

  #isCurrent(waiting: Waiting): boolean {
    return !this.#stopped && this.#waiting.get(waiting.key) === waiting;
  }
}
