import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { splitKey } from "../registry/registration.ts";
import { Replicator, type ReplicaChange } from "../replicate.ts";
import { keyOf } from "../store/keys.ts";
import type { Key, KeyValue, Store } from "../store/store.ts";
import { ageOf, parseReport, type InstanceReport } from "./report.ts";

/** What the keys of health reports begin with, in every registry. */
export const healthPrefix: Key = keyOf("/health/");

export interface ReportsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** A report came, changed or went. `name` is that of the registry. Must not throw. */
  readonly onReport: (name: string, address: string) => void;
}

/**
 * What instances say of themselves, replicated as the configuration and the registry are. It is kept apart from both:
 * load changes every few seconds and is no change of what the workers are told.
 */
export class Reports {
  readonly #options: ReportsOptions;
  readonly #replicator: Replicator;
  readonly #reports = new Map<string, InstanceReport>();

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#replicator = new Replicator({
      ...options,
      prefix: healthPrefix,
      counts: () => true,
      onChange: (change) => this.#receive(change),
      onState: () => undefined,
    });
  }

  start(): void {
    this.#replicator.start();
  }

  stop(): void {
    this.#replicator.stop();
  }

  /** The newest one; whether it still counts is another question. `name` is that of the registry. */
  of(name: string, address: string): InstanceReport | undefined {
    return this.#reports.get(`${name}/${address}`);
  }

  #receive({ set, deleted, seenMs, cause }: ReplicaChange): void {
    for (const kv of set) this.#put(kv, seenMs, cause === "watch");
    for (const key of deleted) this.#take(key, undefined);
  }

  #put(kv: KeyValue, seenMs: number, isNew: boolean): void {
    const report = parseReport(kv, seenMs);
    if (report === undefined || isNew) return this.#take(kv.key, report);
    const ageMs = ageOf(report, this.#options.clock.wall());
    this.#take(kv.key, { ...report, writtenMs: seenMs - ageMs });
  }

  #take(key: Key, report: InstanceReport | undefined): void {
    const place = splitKey(healthPrefix, key);
    if (place === undefined) return;
    const { service, address } = place;
    const id = `${service}/${address}`;
    if (report === undefined) this.#reports.delete(id);
    else this.#reports.set(id, report);
    this.#options.onReport(service, address);
  }
}
