import type { ServiceResource } from "@headgate/schema";
import { keyOf, prefixRange, textOf } from "../store/keys.ts";
import { StoreError, type Key, type Store } from "../store/store.ts";
import { announce, instanceKey, reportHealth, withdraw, type Announced, type Announcement } from "./announce.ts";
import type { RegistrationStatus } from "./registration.ts";
import type { Registry } from "./registry.ts";
import type { FoundInstance, SourceKind } from "./source.ts";

/** What the keys of health reports begin with, in every registry. */
const healthPrefix: Key = keyOf("/health/");

/** Health reports that one answer shows; instances beyond go without. */
const reportsMax = 10_000;

/** An instance as people and programs are told of it. */
export interface Instance {
  readonly address: string;
  readonly status: RegistrationStatus;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  /** Whether it ends by itself when nobody keeps it alive. */
  readonly leased: boolean;
  /** Whether who named it names it no more, and it is kept for now: most of its service vanished with it. */
  readonly held?: true;
  /** Who says that it is there: itself, the configuration, or the source that the service names. */
  readonly source: "registry" | "written" | SourceKind;
  /** Its last health report, as it was written. */
  readonly health?: unknown;
}

/** The store's part of a registry. */
export interface RegistryBacking {
  readonly store: Store;
  /** What the keys of instances begin with; ends with `/`. */
  readonly prefix: Key;
  readonly registry: Pick<Registry, "instances" | "services">;
}

export interface InstancesOptions {
  /** Services that run, as they are written. */
  readonly services: () => Readonly<Record<string, ServiceResource>>;
  /** `undefined`: there is no store. */
  readonly backing: () => RegistryBacking | undefined;
  /** What a service's source beside the store says; `undefined`: it has none. Default: none has. */
  readonly found?: (service: string) => FoundElsewhere | undefined;
}

/** The instances that a source names. */
export interface FoundElsewhere {
  readonly kind: SourceKind;
  readonly instances: readonly FoundInstance[];
}

/** The instances of all services, written and announced, and how others announce theirs. */
export class Instances {
  readonly #options: InstancesOptions;

  constructor(options: InstancesOptions) {
    this.#options = options;
  }

  /** Whether instances can be announced at all. */
  get hasRegistry(): boolean {
    return this.#options.backing() !== undefined;
  }

  /** By service, then by address. */
  async all(): Promise<Readonly<Record<string, readonly Instance[]>>> {
    const announced = this.#options.backing()?.registry.services() ?? [];
    const names = [...new Set([...Object.keys(this.#options.services()), ...announced])].sort();
    const reports = await this.#reports(healthPrefix);
    return Object.fromEntries(names.map((name) => [name, this.#instances(name, reports)]));
  }

  /** By address; `undefined` for a service that is neither written nor announced. */
  async of(service: string): Promise<readonly Instance[] | undefined> {
    const isWritten = Object.hasOwn(this.#options.services(), service);
    const isAnnounced = (this.#options.backing()?.registry.instances(service).length ?? 0) > 0;
    if (!isWritten && !isAnnounced) return undefined;
    const reports = await this.#reports(`${healthPrefix}${keyOf(this.#nameOf(service))}/`);
    return this.#instances(service, reports);
  }

  /** Puts an instance under a lease, or keeps it alive. Rejects with a StoreError. */
  announce(service: string, address: string, announcement: Announcement): Promise<Announced> {
    const { store, prefix } = this.#backing();
    return announce(store, instanceKey(prefix, service, address), announcement);
  }

  /** Takes an instance away; whether it was there. Rejects with a StoreError. */
  withdraw(service: string, address: string): Promise<boolean> {
    const { store, prefix } = this.#backing();
    return withdraw(store, instanceKey(prefix, service, address), instanceKey(healthPrefix, service, address));
  }

  /** Stores a health report; false where the instance is not announced. Rejects with a StoreError. */
  reportHealth(service: string, address: string, report: object): Promise<boolean> {
    const { store, prefix } = this.#backing();
    const healthKey = instanceKey(healthPrefix, service, address);
    return reportHealth(store, instanceKey(prefix, service, address), healthKey, report);
  }

  #backing(): RegistryBacking {
    const backing = this.#options.backing();
    if (backing === undefined) throw new StoreError("invalid", "There is no store to announce instances in.");
    return backing;
  }

  /** The name under which instances of a service announce themselves. */
  #nameOf(service: string): string {
    const services = this.#options.services();
    const discover = Object.hasOwn(services, service) ? services[service]?.discover : undefined;
    return discover !== undefined && "etcd" in discover ? discover.etcd : service;
  }

  /** What is written goes before what is announced, but for one that says it is down or drains: as requests see it. */
  #instances(service: string, reports: ReadonlyMap<string, unknown>): readonly Instance[] {
    const services = this.#options.services();
    const name = this.#nameOf(service);
    const found = new Map<string, Instance>();
    const told = (address: string): Pick<Instance, "health"> => {
      const health = reports.get(`${name}/${address}`);
      return health === undefined ? {} : { health };
    };
    for (const { address, weight, zone } of Object.hasOwn(services, service)
      ? (services[service]?.instances ?? [])
      : []) {
      const facts = { address, status: "UP", weight, ...(zone === undefined ? {} : { zone }) } as const;
      found.set(address, { ...facts, leased: false, source: "written", ...told(address) });
    }
    const elsewhere = this.#options.found?.(service);
    const others = elsewhere?.instances ?? this.#options.backing()?.registry.instances(name) ?? [];
    for (const { address, status, weight, zone, version, heldSinceMs, ...rest } of others) {
      if (found.has(address) && status === "UP") continue;
      found.set(address, {
        ...{ address, status, weight },
        ...(zone === undefined ? {} : { zone }),
        ...(version === undefined ? {} : { version }),
        leased: "leased" in rest && rest.leased === true,
        ...(heldSinceMs === undefined ? {} : { held: true }),
        source: elsewhere?.kind ?? "registry",
        ...told(address),
      });
    }
    return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** By `<service>/<host:port>`. Without an answer of the store there are none: instances are shown all the same. */
  async #reports(prefix: Key): Promise<ReadonlyMap<string, unknown>> {
    const reports = new Map<string, unknown>();
    try {
      const range = await this.#options.backing()?.store.range({ ...prefixRange(prefix), limit: reportsMax });
      for (const { key, value } of range?.kvs ?? []) {
        const report = parsed(value.toString("utf8"));
        if (report !== undefined) reports.set(textOf(key.slice(healthPrefix.length)), report);
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
    return reports;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // anybody may write there
  }
}
