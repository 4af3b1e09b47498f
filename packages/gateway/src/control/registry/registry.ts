import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { Replicator, type ReplicaChange } from "../replicate.ts";
import type { Key, KeyValue, Store } from "../store/store.ts";
import { parseRegistration, splitKey, type Registration, type RegistrationProblem } from "./registration.ts";

/** Instances that vanish within this time count as having vanished together: leases do not end in the same second. */
const togetherMs = 10_000;
/** Fewer that vanish are believed: with two instances one that ends is half of them. */
const heldMin = 2;
/** What is held goes after this time, if nothing else says so before. */
export const holdMs = 60_000;

export interface RegistryOptions {
  readonly store: Store;
  /** Ends with `/`. */
  readonly prefix: Key;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** What was known when the last process ended; keys of others are passed over. */
  readonly initial?: { readonly revision: number; readonly clusterId: string; readonly kvs: readonly KeyValue[] };
  /** Services whose instances changed. Must not throw. */
  readonly onChange: (services: ReadonlySet<string>) => void;
  /** The registry was listed, and what differs was told. */
  readonly onSynced: () => void;
  /** What was put and deleted, for the disk. */
  readonly onKeys?: (set: readonly KeyValue[], deleted: readonly Key[]) => void;
}

/** A registration, and since when it is gone from the store and kept all the same. */
export interface KnownInstance extends Registration {
  readonly heldSinceMs?: number;
}

interface Vanished {
  readonly registration: Registration;
  readonly atMs: number;
}

/**
 * The instances that announced themselves under leases, replicated as the configuration is. If more than half of a
 * service's instances vanish within seconds the registry is the more likely culprit (a partition, a store that lost its
 * leases): they stay, at most a minute, and it is for retries and health checks to avoid those that are really gone. An
 * instance that said it drains, or goes down, is believed at once.
 */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #replicator: Replicator;
  readonly #services = new Map<string, Map<string, KnownInstance>>();
  /** The instances of a service that vanished lately, oldest first. */
  readonly #vanished = new Map<string, readonly Vanished[]>();
  readonly #problems = new Map<Key, RegistrationProblem>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { initial, prefix, onSynced } = options;
    const kvs = (initial?.kvs ?? []).filter(({ key }) => key.startsWith(prefix));
    for (const kv of kvs) this.#put(kv);
    this.#replicator = new Replicator({
      ...options,
      ...(initial === undefined ? {} : { initial: { ...initial, kvs } }),
      counts: () => true,
      onChange: (change) => this.#receive(change),
      onState: ({ synced }) => {
        if (synced) onSynced();
      },
    });
  }

  start(): void {
    this.#replicator.start();
  }

  stop(): void {
    this.#replicator.stop();
    this.#cancelSweep?.();
  }

  /** Whether the store's own word is known. */
  get synced(): boolean {
    return this.#replicator.state.synced;
  }

  /** What its keys begin with. */
  get prefix(): Key {
    return this.#options.prefix;
  }

  /** As the store has them. */
  keys(): Iterable<KeyValue> {
    return this.#replicator.kvs.values();
  }

  /** All of a service, whatever their status; by address. */
  instances(service: string): readonly KnownInstance[] {
    return [...(this.#services.get(service)?.values() ?? [])];
  }

  services(): readonly string[] {
    return [...this.#services.keys()];
  }

  problems(): readonly RegistrationProblem[] {
    return [...this.#problems.values()];
  }

  /** Gives up an instance that is gone from the store and was kept all the same: something else says that it is gone. */
  release(service: string, address: string): void {
    if (this.#services.get(service)?.get(address)?.heldSinceMs === undefined) return;
    this.#drop(service, address);
    this.#options.onChange(new Set([service]));
  }

  #receive(change: ReplicaChange): void {
    const touched = new Set<string>();
    for (const kv of change.set) touched.add(this.#put(kv));
    for (const key of change.deleted) touched.add(this.#remove(key));
    for (const service of touched) this.#holdIfMostVanished(service);
    touched.delete("");
    this.#options.onKeys?.(change.set, change.deleted);
    if (touched.size > 0) this.#options.onChange(touched);
  }

  /** Answers the service; empty for a key that is none of an instance. */
  #put(kv: KeyValue): string {
    const parsed = parseRegistration(this.#options.prefix, kv);
    if ("message" in parsed) {
      // The last good registration stays: a typing mistake takes no instance away.
      this.#problems.set(kv.key, parsed);
      return "";
    }
    this.#problems.delete(kv.key);
    const { service, address } = parsed;
    let instances = this.#services.get(service);
    if (instances === undefined) this.#services.set(service, (instances = new Map()));
    instances.set(address, parsed);
    const vanished = (this.#vanished.get(service) ?? []).filter(({ registration }) => registration.address !== address);
    if (vanished.length === 0) this.#vanished.delete(service);
    else this.#vanished.set(service, vanished);
    return service;
  }

  #remove(key: Key): string {
    this.#problems.delete(key);
    const place = splitKey(this.#options.prefix, key);
    if (place === undefined) return "";
    const { service, address } = place;
    const known = this.#services.get(service)?.get(address);
    if (known === undefined) return "";
    this.#drop(service, address);
    // One that drained or went down before it ended did so on purpose.
    if (known.status === "UP") {
      const atMs = this.#options.clock.now();
      const recent = (this.#vanished.get(service) ?? []).filter((one) => one.atMs > atMs - togetherMs);
      this.#vanished.set(service, [...recent, { registration: known, atMs }]);
    }
    return service;
  }

  /** If what vanished lately is most of a service, it comes back. */
  #holdIfMostVanished(service: string): void {
    const vanished = this.#vanished.get(service) ?? [];
    const left = this.#services.get(service)?.size ?? 0;
    if (vanished.length < heldMin || vanished.length <= left) return;
    let instances = this.#services.get(service);
    if (instances === undefined) this.#services.set(service, (instances = new Map()));
    for (const { registration, atMs } of vanished) {
      instances.set(registration.address, { ...registration, heldSinceMs: atMs });
    }
    this.#vanished.delete(service);
    this.#options.log.warn(
      { service, instances: vanished.length },
      `most instances of ${service} vanished within seconds; the last known ones stay for now`,
    );
    this.#sweepLater();
  }

  #drop(service: string, address: string): void {
    const instances = this.#services.get(service);
    instances?.delete(address);
    if (instances?.size === 0) this.#services.delete(service);
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#options.timers.after(holdMs, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
    });
  }

  #sweep(): void {
    const { clock, onChange } = this.#options;
    const touched = new Set<string>();
    let waiting = false;
    for (const [service, instances] of this.#services) {
      for (const { address, heldSinceMs } of [...instances.values()]) {
        if (heldSinceMs === undefined) continue;
        if (heldSinceMs + holdMs > clock.now()) waiting = true;
        else {
          this.#drop(service, address);
          touched.add(service);
        }
      }
    }
    if (waiting) this.#sweepLater();
    if (touched.size > 0) onChange(touched);
  }
}
