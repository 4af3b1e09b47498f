import { z } from "zod";
import type { Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import { nodeKey } from "./layout.ts";
import { newNodeId } from "./node-id.ts";
import { backoffMs, Pauses } from "./replica/pause.ts";
import { textOf } from "./store/keys.ts";
import type { Compare, Key, KeyValue, Store } from "./store/store.ts";

/** Who stands behind a key, for a successor on the same machine. */
export interface ClaimedProcess {
  /** Of the machine. */
  readonly name: string;
  readonly pid: number;
  /** Whether a process of this machine runs. */
  isRunning(pid: number): boolean;
}

export interface ClaimOptions {
  readonly store: Store;
  readonly prefix: Key;
  readonly id: string;
  readonly ttlSeconds: number;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly process: ClaimedProcess;
  /** The key's value under an id. */
  readonly value: (id: string) => Buffer;
}

export interface Claimed {
  /** The one that was asked for, or another. */
  readonly id: string;
  /** Ends the lease of the claim; with it the key, unless it was put under another one. Never rejects. */
  end(): Promise<void>;
}

const lookMs = 1_000;

/**
 * Puts a node's key where there is none. Where there is one, its process decides: one that was killed leaves its key
 * until its lease runs out, and is succeeded; one that is alive (a copied data directory) keeps the id, and a new one is
 * taken. Resolves with undefined after `stop`.
 */
export function claimNode(options: ClaimOptions): { readonly claimed: Promise<Claimed | undefined>; stop(): void } {
  const pauses = new Pauses(options.timers);
  let stopped = false;
  const claim = new Claim(options, pauses, () => stopped);
  return {
    claimed: claim.run(),
    stop: () => {
      stopped = true;
      pauses.end();
    },
  };
}

/** A key of somebody else, and how long its lease had to live. */
interface Seen {
  readonly modRevision: number;
  readonly ttlSeconds: number;
}

class Claim {
  readonly #options: ClaimOptions;
  readonly #pauses: Pauses;
  readonly #stopped: () => boolean;
  #id: string;
  #seen: Seen | undefined;
  #looks = 0;

  constructor(options: ClaimOptions, pauses: Pauses, stopped: () => boolean) {
    this.#options = options;
    this.#pauses = pauses;
    this.#stopped = stopped;
    this.#id = options.id;
  }

  async run(): Promise<Claimed | undefined> {
    const { random, log } = this.#options;
    for (let failures = 0; !this.#stopped();) {
      try {
        const claimed = await this.#attempt();
        if (claimed !== undefined) return claimed;
        failures = 0;
        await this.#pauses.wait(lookMs);
      } catch (error) {
        if (failures === 0) log.debug({ err: error }, "This gateway cannot be told to the others yet.");
        await this.#pauses.wait(backoffMs(failures++, random));
      }
    }
    return undefined;
  }

  /** Undefined: look again later. */
  async #attempt(): Promise<Claimed | undefined> {
    const { store, prefix } = this.#options;
    const key = nodeKey(prefix, this.#id);
    const { kvs } = await store.range({ key });
    const [there] = kvs;
    if (there === undefined || this.#isLeft(there)) return this.#put(there);
    const { ttlSeconds } = await store.lease(there.lease);
    // Its lease has ended in between; or it has none, and nobody keeps it alive.
    if (ttlSeconds < 0) return this.#put(there.lease === "0" ? there : undefined);
    const before = this.#seen;
    this.#seen = { modRevision: there.modRevision, ttlSeconds };
    this.#looks++;
    const changed = before !== undefined && before.modRevision !== there.modRevision;
    const renewed = before !== undefined && ttlSeconds > before.ttlSeconds;
    // A lease that only runs down is gone after its time; what is still there then is not understood, and left alone.
    if (changed || renewed || this.#looks * lookMs > 2 * this.#options.ttlSeconds * 1_000) {
      this.#id = newNodeId(this.#options.random);
      this.#seen = undefined;
      this.#looks = 0;
      return this.#attempt();
    }
    return undefined;
  }

  /** Whether the process that put the key was one of this machine and has ended. */
  #isLeft({ value, key }: KeyValue): boolean {
    const { process: own, log } = this.#options;
    const writer = writerOf(value);
    if (writer === undefined || writer.name !== own.name || writer.pid === own.pid) return false;
    if (own.isRunning(writer.pid)) return false;
    log.debug({ key: textOf(key), pid: writer.pid }, "The process that had this id has ended.");
    return true;
  }

  /** Puts the key in place of what was seen; undefined when somebody was faster. */
  async #put(there: KeyValue | undefined): Promise<Claimed | undefined> {
    const { store, prefix, ttlSeconds, value } = this.#options;
    const id = this.#id;
    const key = nodeKey(prefix, id);
    const lease = await store.grant(ttlSeconds);
    // A lease that cannot be ended ends by itself, soon.
    const end = (): Promise<void> => store.revoke(lease.id).catch(() => undefined);
    const unchanged: Compare = { key, target: "mod", is: "=", number: there?.modRevision ?? 0 };
    try {
      const put = { key, value: value(id), lease: lease.id };
      const { succeeded } = await store.txn({ compare: [unchanged], then: [{ type: "put", put }] });
      if (succeeded) return { id, end };
    } catch (error) {
      await end();
      throw error;
    }
    await end();
    return undefined;
  }
}

const writer = z.object({ process: z.object({ name: z.string(), pid: z.number() }) });

function writerOf(value: Buffer): { readonly name: string; readonly pid: number } | undefined {
  try {
    return writer.safeParse(JSON.parse(value.toString("utf8"))).data?.process;
  } catch {
    return undefined;
  }
}
