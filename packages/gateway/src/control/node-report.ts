import { hostname } from "node:os";
import { z } from "zod";
import type { Clock, Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import { nodeKey } from "./layout.ts";
import { claimNode, type ClaimedProcess } from "./node-claim.ts";
import { keepNodeId } from "./node-id.ts";
import { holdLease, type HeldLease } from "./store/hold-lease.ts";
import { keyOf } from "./store/keys.ts";
import type { Key, KeyValue, Store } from "./store/store.ts";

const rejection = z.object({
  kind: z.string(),
  name: z.string(),
  key: z.string(),
  revision: z.number().nullable(),
  message: z.string(),
});

// A later version may say more: what is not known is left out.
const node = z.object({
  id: z.string(),
  version: z.string(),
  addresses: z.array(z.string()),
  admin: z.string(),
  revision: z.number(),
  rejected: z.array(rejection),
  source: z.enum(["live", "cache"]),
  startedAt: z.string(),
});

/** What a gateway tells the others of itself: the value of `<prefix>nodes/<id>`. */
export interface Node {
  readonly id: string;
  readonly version: string;
  readonly addresses: readonly string[];
  /** Where its admin API listens. */
  readonly admin: string;
  /** The store's revision that is live on all its workers. */
  readonly revision: number;
  /** Resources whose newest version it does not run, and why. */
  readonly rejected: readonly {
    readonly kind: string;
    readonly name: string;
    readonly key: string;
    readonly revision: number | null;
    readonly message: string;
  }[];
  /** `cache`: it runs what it had saved, and has not heard of the store since it started. */
  readonly source: "live" | "cache";
  /** ISO 8601. */
  readonly startedAt: string;
}

export type NodeFacts = Omit<Node, "id">;

/** Reads what another gateway told; undefined where the value is none of a node, or of another than its key says. */
export function parseNode({ key, value }: Pick<KeyValue, "key" | "value">): Node | undefined {
  let json: unknown;
  try {
    json = JSON.parse(value.toString("utf8"));
  } catch {
    return undefined;
  }
  const { data } = node.safeParse(json);
  return data !== undefined && key.endsWith(`/${keyOf(data.id)}`) ? data : undefined;
}

export interface NodeReportOptions {
  readonly store: Store;
  /** As `normalizePrefix` makes it. */
  readonly prefix: Key;
  /** As `nodeId` gives it; another one is taken where it belongs to somebody else who is running. */
  readonly id: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Where an id that had to be taken anew is kept. Default: nowhere. */
  readonly dataDir?: string;
  /** The process as its key names it. Default: this one. */
  readonly process?: ClaimedProcess;
}

/** After this without a word from a gateway its key is gone. */
const ttlSeconds = 10;
/** Every write is told to all gateways. */
const writesApartMs = 100;
/** The end of a gateway does not wait longer for a store that is away. */
const releaseMsMax = 2_000;

/** Keeps this gateway's key in the store, under a lease, from the first `update` until `release`. */
export class NodeReport {
  readonly #options: NodeReportOptions;
  readonly #process: ClaimedProcess;
  #id: string;
  #facts: NodeFacts | undefined;
  #held: HeldLease | undefined;
  #claiming: { readonly done: Promise<void>; stop(): void } | undefined;
  #cancelWrite: (() => void) | undefined;
  #writtenMs = -Infinity;
  /** Told with the facts; another number makes the same facts another value, which is written again. */
  #renewals = 0;
  #released = false;

  constructor(options: NodeReportOptions) {
    this.#options = options;
    this.#id = options.id;
    this.#process = options.process ?? thisProcess();
  }

  /** Changes once at most, soon after the start. */
  get id(): string {
    return this.#id;
  }

  /** Writes these facts at once, or together with later ones where the last write was less than 100 ms ago. */
  update(facts: NodeFacts): void {
    if (this.#released) return;
    this.#facts = facts;
    if (this.#held !== undefined) this.#writeSoon();
    else this.#claiming ??= this.#claim();
  }

  /** Somebody deleted a key in the store: if it is this gateway's, it is written again. */
  deleted(key: Key): void {
    if (this.#released || this.#held === undefined || key !== this.#key) return;
    this.#renewals++;
    this.#writeSoon();
  }

  /** The key is gone when this resolves; where the store does not answer soon, its lease ends it. Never rejects. */
  release(): Promise<void> {
    this.#released = true;
    this.#cancelWrite?.();
    return new Promise((resolve) => {
      const cancel = this.#options.timers.after(releaseMsMax, resolve);
      void this.#release().then(() => {
        cancel();
        resolve();
      });
    });
  }

  async #release(): Promise<void> {
    this.#claiming?.stop();
    await this.#claiming?.done;
    await this.#held?.release();
  }

  get #key(): Key {
    return nodeKey(this.#options.prefix, this.#id);
  }

  #value(id: string): Buffer {
    const { name, pid } = this.#process;
    const renewals = this.#renewals === 0 ? {} : { renewals: this.#renewals };
    return Buffer.from(JSON.stringify({ id, ...this.#facts, process: { name, pid }, ...renewals }));
  }

  #claim(): { readonly done: Promise<void>; stop(): void } {
    const { store, prefix, timers, random, log } = this.#options;
    const claim = claimNode({
      ...{ store, prefix, id: this.#id, ttlSeconds, timers, random, log, process: this.#process },
      value: (id) => this.#value(id),
    });
    const done = claim.claimed.then(async (claimed) => {
      if (claimed === undefined) return;
      if (claimed.id !== this.#id) await this.#rename(claimed.id);
      if (!this.#released) this.#hold(claimed.end);
      else await claimed.end();
    });
    return { done, stop: claim.stop };
  }

  #hold(endClaim: () => Promise<void>): void {
    const { store, clock, timers, random, log } = this.#options;
    let ending = false;
    this.#writtenMs = clock.now();
    this.#held = holdLease({
      ...{ store, ttlSeconds, clock, timers, random, log },
      put: () => [{ key: this.#key, value: this.#value(this.#id) }],
      // The key has moved to the lease that is held: ending the claim's no longer deletes it.
      onHeld: (held) => {
        if (!held || ending) return;
        ending = true;
        void endClaim();
      },
    });
  }

  async #rename(id: string): Promise<void> {
    const { log, dataDir } = this.#options;
    log.warn({ id, before: this.#id }, `Another gateway runs as ${this.#id}; this one is ${id} from now on.`);
    this.#id = id;
    if (dataDir === undefined) return;
    await keepNodeId(dataDir, id).catch((error: unknown) =>
      log.warn({ err: error }, `The id ${id} cannot be kept in ${dataDir}; the next start takes another one.`),
    );
  }

  #writeSoon(): void {
    const { clock, timers } = this.#options;
    if (this.#cancelWrite !== undefined) return;
    const waitMs = this.#writtenMs + writesApartMs - clock.now();
    if (waitMs <= 0) {
      this.#write();
      return;
    }
    this.#cancelWrite = timers.after(waitMs, () => {
      this.#cancelWrite = undefined;
      this.#write();
    });
  }

  #write(): void {
    this.#writtenMs = this.#options.clock.now();
    this.#held?.update();
  }
}

function thisProcess(): ClaimedProcess {
  const isRunning = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      // EPERM: there is one, of another user.
      return error instanceof Error && "code" in error && error.code !== "ESRCH";
    }
  };
  return { name: hostname(), pid: process.pid, isRunning };
}
