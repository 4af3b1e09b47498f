import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { openLastGood, type LastGood } from "../last-good.ts";
import type { FoundInstance } from "./source.ts";

export interface LastKnownOptions {
  /** `<dataDir>/last-instances.db`; made when the first source is used. */
  readonly file: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

/**
 * What sources said last, by their identity: in memory, and on the disk for the next process. A file of its own, because
 * there are sources without a store too, and because what they say has no revision.
 */
export class LastKnown {
  readonly #options: LastKnownOptions;
  readonly #known = new Map<string, readonly FoundInstance[]>();
  #file: LastGood | undefined;

  constructor(options: LastKnownOptions) {
    this.#options = options;
  }

  get(identity: string): readonly FoundInstance[] | undefined {
    this.#open();
    return this.#known.get(identity);
  }

  set(identity: string, instances: readonly FoundInstance[]): void {
    this.#open();
    this.#known.set(identity, instances);
    this.#save([[identity, recordOf(instances)]], []);
  }

  /** Forgets all that are not among these. */
  keepOnly(identities: ReadonlySet<string>): void {
    const gone = [...this.#known.keys()].filter((identity) => !identities.has(identity));
    for (const identity of gone) this.#known.delete(identity);
    if (gone.length > 0) this.#save([], gone);
  }

  close(): void {
    this.#file?.close();
  }

  /** Reads the file when it is needed first: most gateways have none. */
  #open(): void {
    if (this.#file !== undefined) return;
    this.#file = openLastGood({ ...this.#options, what: "set of instances", onDamaged: () => this.#saveAll() });
    for (const [identity, record] of this.#file.load()?.records ?? []) this.#known.set(identity, readRecord(record));
  }

  #save(set: readonly (readonly [string, string])[], gone: readonly string[]): void {
    this.#file?.save({ revision: 0, clusterId: "", set, delete: gone });
  }

  #saveAll(): void {
    const records = [...this.#known].map(([identity, instances]) => [identity, recordOf(instances)] as const);
    this.#file?.replaceAll({ revision: 0, clusterId: "", records });
  }
}

/** Since when one is held is told by a clock that the next process does not have. */
function recordOf(instances: readonly FoundInstance[]): string {
  return JSON.stringify(instances.map(({ heldSinceMs: _, ...rest }) => rest));
}

function readRecord(record: string): readonly FoundInstance[] {
  return JSON.parse(record) as readonly FoundInstance[]; // written by recordOf alone, and its checksum was right
}
