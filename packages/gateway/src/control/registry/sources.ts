import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { SourceFollower } from "./follow-source.ts";
import type { LastKnown } from "./last-known.ts";
import { discoveryKey, sourceIdentity } from "./source-key.ts";
import type { FoundInstance, Source, SourceKind, SourceSettings } from "./source.ts";

/** How long a start waits for sources that have not answered. */
const patienceMs = 2_000;

export interface SourcesOptions {
  readonly open: (settings: SourceSettings) => Source;
  readonly lastKnown: Pick<LastKnown, "get" | "set" | "keepOnly" | "close">;
  /** Keys (`discoveryKey`) under which instances came, changed or went. Must not throw. */
  readonly onChange: (keys: ReadonlySet<string>) => void;
  /** What `status` answers may be another. Must not throw. */
  readonly onState: () => void;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/** One source, for people and programs. */
export interface SourceStatus {
  readonly kind: SourceKind;
  /** What is asked for where, without credentials. */
  readonly place: string;
  /** Services that use it. */
  readonly services: readonly string[];
  /** `waiting`: it has not answered since the start. `failing`: the last try to read it failed. */
  readonly state: "live" | "waiting" | "failing";
  /** Instances that are known; of one that has not answered, from the process before. */
  readonly instances: number;
  /** What is wrong, in one sentence without a final stop. */
  readonly problem?: string;
}

interface Used {
  readonly settings: SourceSettings;
  readonly follower: SourceFollower;
  readonly services: Set<string>;
}

/**
 * The sources of instances beside the store. Each is followed once, however many services use it, from the time when
 * the first does until none does any more.
 */
export class Sources {
  readonly #options: SourcesOptions;
  readonly #used = new Map<string, Used>();
  /** Keys by service. */
  readonly #uses = new Map<string, readonly string[]>();
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  /** What is known of a source, followed or not; `undefined`: nothing. */
  find(settings: SourceSettings): readonly FoundInstance[] | undefined {
    const followed = this.#used.get(discoveryKey(settings))?.follower.instances;
    return followed ?? this.#options.lastKnown.get(sourceIdentity(settings));
  }

  /** Gives up an instance that a source names no more and that is kept all the same: something else says it is gone. */
  release(settings: SourceSettings, address: string): void {
    this.#used.get(discoveryKey(settings))?.follower.release(address);
  }

  /** Which sources a service uses from now on; none: it needs none any more. New ones are opened first. */
  use(service: string, settings: readonly SourceSettings[]): void {
    if (this.#closed) return;
    const before = this.#uses.get(service) ?? [];
    const after = settings.map((one) => this.#open(one, service));
    if (after.length === 0) this.#uses.delete(service);
    else this.#uses.set(service, after);
    const gone = before.filter((key) => !after.includes(key) && this.#leave(key, service));
    if (gone.length > 0) this.#forget();
    if (gone.length > 0 || after.some((key) => !before.includes(key))) this.#options.onState();
  }

  /**
   * Resolves when each source that is used has answered or failed, or after 2 s. What earlier processes knew of others
   * is forgotten then.
   */
  async ready(): Promise<void> {
    const pending = (): boolean =>
      [...this.#used.values()].some(({ follower }) => !follower.answered && !follower.failing);
    if (pending()) {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          cancel();
          this.#waiting.delete(look);
          resolve();
        };
        const look = (): void => {
          if (!pending()) end();
        };
        const cancel = this.#options.timers.after(patienceMs, end);
        this.#waiting.add(look);
      });
    }
    if (this.#used.size > 0) this.#forget();
  }

  /** By kind and place. */
  status(): readonly SourceStatus[] {
    const all = [...this.#used.values()].map(({ follower, services }): SourceStatus => {
      const { source, answered, failing, problem, instances = [] } = follower;
      return {
        kind: source.kind,
        place: source.place,
        services: [...services].sort(),
        state: failing ? "failing" : answered ? "live" : "waiting",
        instances: instances.length,
        ...(problem === undefined ? {} : { problem }),
      };
    });
    return all.sort((a, b) => (`${a.kind} ${a.place}` < `${b.kind} ${b.place}` ? -1 : 1));
  }

  /** Ends all of them for good. */
  close(): void {
    this.#closed = true;
    for (const { follower } of this.#used.values()) follower.stop();
    for (const look of [...this.#waiting]) look();
    this.#options.lastKnown.close();
  }

  #open(settings: SourceSettings, service: string): string {
    const key = discoveryKey(settings);
    let used = this.#used.get(key);
    if (used === undefined) {
      const { open, lastKnown } = this.#options;
      const identity = sourceIdentity(settings);
      const initial = lastKnown.get(identity);
      const follower = new SourceFollower({
        ...this.#options,
        source: open(settings),
        ...(initial === undefined ? {} : { initial }),
        onInstances: () => {
          lastKnown.set(identity, follower.instances ?? []);
          this.#options.onChange(new Set([key]));
        },
        onState: () => this.#tell(),
      });
      this.#used.set(key, (used = { settings, follower, services: new Set() }));
      follower.start();
    }
    used.services.add(service);
    return key;
  }

  /** Whether that ended the source. */
  #leave(key: string, service: string): boolean {
    const used = this.#used.get(key);
    if (used === undefined) return false;
    used.services.delete(service);
    if (used.services.size > 0) return false;
    used.follower.stop();
    this.#used.delete(key);
    return true;
  }

  #forget(): void {
    this.#options.lastKnown.keepOnly(new Set([...this.#used.values()].map(({ settings }) => sourceIdentity(settings))));
  }

  #tell(): void {
    for (const look of [...this.#waiting]) look();
    this.#options.onState();
  }
}
