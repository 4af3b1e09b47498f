import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { prefixRange, textOf } from "../store/keys.ts";
import type { Key, Store, StoreEvent, Watch } from "../store/store.ts";
import type { Copy, Difference } from "./copy.ts";
import type { Listed } from "./list-prefix.ts";
import { backoffMs, Pauses } from "./pause.ts";

export interface FollowOptions {
  readonly store: Store;
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly copy: Copy;
  /** Lists the prefix without values. Undefined: nobody wants it any more. */
  readonly list: () => Promise<Listed | undefined>;
  /** One revision, in the turn in which the store told it. */
  readonly onRevision: (revision: number, difference: Difference, seenMs: number) => void;
  readonly onProgress: (revision: number) => void;
  readonly onConnection: (connected: boolean, reason: string) => void;
  /** It cannot go on; the prefix has to be listed again. `reason` is one sentence. At most once. */
  readonly onEnd: (reason: string) => void;
}

interface Held {
  /** The first is the one in doubt. */
  readonly revisions: { readonly revision: number; readonly events: readonly StoreEvent[]; readonly seenMs: number }[];
  readonly lost: ReadonlySet<Key>;
  events: number;
  progress: number;
}

/** A revision that deletes fewer than these is believed at once: small configurations are deleted on purpose. */
const heldKeysMin = 20;
const none: ReadonlySet<Key> = new Set();
/** Events that wait behind a revision in doubt. Beyond, the watch is given up and the prefix listed again. */
const heldEventsMax = 10_000;

/** Keeps a copy up to date by a watch, from the revision after the copy's. */
export class Following {
  readonly #options: FollowOptions;
  readonly #pauses: Pauses;
  readonly #watch: Watch;
  #held: Held | undefined;
  #ended = false;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#pauses = new Pauses(options.timers);
    const { store, prefix, copy, clock } = options;
    this.#watch = store.watch(
      { ...prefixRange(prefix), from: copy.revision + 1, clusterId: copy.clusterId },
      {
        onRevision: (revision, events) => this.#onRevision(revision, events, clock.now()),
        onProgress: (revision) => this.#onProgress(revision),
        onLost: (reason) => this.end(lostSentence[reason]),
        onConnection: (connected, reason) => {
          if (!this.#ended) options.onConnection(connected, reason);
        },
      },
    );
    // Lost before there was anything to close.
    if (this.#ended) this.#watch.close();
  }

  /** Whether a revision waits for a second look. */
  get holding(): boolean {
    return this.#held !== undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#held = undefined;
    this.#pauses.end();
    // Absent while `watch` of the store runs: the constructor closes it then.
    (this.#watch as Watch | undefined)?.close();
    this.#options.onEnd(reason);
  }

  #onRevision(revision: number, events: readonly StoreEvent[], seenMs: number): void {
    if (this.#ended) return;
    const { copy, log } = this.#options;
    if (this.#held !== undefined) {
      this.#held.revisions.push({ revision, events, seenMs });
      this.#held.events += events.length;
      if (this.#held.events > heldEventsMax) this.end("Too much changed while a large deletion was looked at again.");
      return;
    }
    if (revision <= copy.revision) {
      // Neither applied nor passed over in silence: either could be wrong.
      this.end(`The store told revision ${revision} after ${copy.revision}.`);
      return;
    }
    const difference = copy.differenceOf(events);
    const lost = difference.deleted.length < heldKeysMin ? none : copy.lossOf(difference);
    if (!copy.isMost(lost.size, heldKeysMin)) {
      this.#options.onRevision(revision, difference, seenMs);
      return;
    }
    const held = { revisions: [{ revision, events, seenMs }], lost, events: events.length, progress: 0 };
    this.#held = held;
    log.warn(
      { revision, keys: lost.size, of: copy.counted },
      `Revision ${revision} deletes ${lost.size} of ${copy.counted} resources; it is held until a second look says the same.`,
    );
    void this.#lookAgain(held, revision);
  }

  #onProgress(revision: number): void {
    if (this.#ended) return;
    if (this.#held !== undefined) this.#held.progress = revision;
    else this.#options.onProgress(revision);
  }

  async #lookAgain(held: Held, revision: number): Promise<void> {
    const { list, random, log } = this.#options;
    for (let failures = 0; this.#held === held; failures++) {
      try {
        const listed = await list();
        if (listed === undefined || this.#held !== held) return;
        this.#judge(held, revision, listed);
        return;
      } catch (error) {
        log.debug({ err: error }, "The second look failed; trying again.");
        await this.#pauses.wait(backoffMs(failures, random));
      }
    }
  }

  #judge(held: Held, revision: number, listed: Listed): void {
    const { copy, log } = this.#options;
    const present = listed.kvs.find((kv) => held.lost.has(kv.key) && kv.modRevision < revision);
    if (listed.clusterId !== copy.clusterId || listed.revision < revision || present !== undefined) {
      const example = present === undefined ? "" : ` (${textOf(present.key)} is there)`;
      this.end(`A second look does not confirm the deletions of revision ${revision}${example}.`);
      return;
    }
    log.warn({ revision, keys: held.lost.size }, `A second look confirms the deletions of revision ${revision}.`);
    this.#held = undefined;
    const [first, ...rest] = held.revisions;
    if (first !== undefined) this.#options.onRevision(revision, copy.differenceOf(first.events), first.seenMs);
    // In order, and each of them may be held in its turn.
    for (const { revision, events, seenMs } of rest) this.#onRevision(revision, events, seenMs);
    if (held.progress > 0) this.#onProgress(held.progress);
  }
}

const lostSentence = {
  compacted: "The store no longer has the history that was missed.",
  replaced: "The store was replaced or restored: its history is another one.",
} as const;
