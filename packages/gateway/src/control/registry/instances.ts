import type { ServiceResource } from "@headgate/schema";
import { stateOf, type InstanceFacts, type StateName, type StateText } from "../health/instance-state.ts";
import { healthPrefix } from "../health/reports.ts";
import { StoreError, type Key, type Store } from "../store/store.ts";
import { announce, instanceKey, reportHealth, withdraw, type Announced, type Announcement } from "./announce.ts";
import type { RegistrationStatus } from "./registration.ts";
import type { Registry } from "./registry.ts";
import type { FoundInstance, SourceKind } from "./source.ts";

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
  /** What it is in, with the one reason that counts. */
  readonly state: StateName;
  readonly reason?: string;
  /** ISO 8601; absent where no service of this gateway uses it. */
  readonly since?: string;
  /** When the state ends by itself. */
  readonly until?: string;
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
  /** `undefined` where no service that runs uses it. */
  readonly state: (service: string, address: string) => StateText | undefined;
  /** The last report of an instance, as it was written; `name` is that of the registry. */
  readonly report: (name: string, address: string) => unknown;
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
  all(): Readonly<Record<string, readonly Instance[]>> {
    const announced = this.#options.backing()?.registry.services() ?? [];
    const names = [...new Set([...Object.keys(this.#options.services()), ...announced])].sort();
    return Object.fromEntries(names.map((name) => [name, this.#instances(name)]));
  }

  /** By address; `undefined` for a service that is neither written nor announced. */
  of(service: string): readonly Instance[] | undefined {
    const isWritten = Object.hasOwn(this.#options.services(), service);
    const isAnnounced = (this.#options.backing()?.registry.instances(service).length ?? 0) > 0;
    return isWritten || isAnnounced ? this.#instances(service) : undefined;
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
  #instances(service: string): readonly Instance[] {
    const services = this.#options.services();
    const name = this.#nameOf(service);
    const found = new Map<string, Instance>();
    const written = Object.hasOwn(services, service) ? services[service]?.instances : undefined;
    for (const { address, weight, zone } of written ?? []) {
      const facts = { address, status: "UP", weight, ...(zone === undefined ? {} : { zone }) } as const;
      found.set(address, { ...facts, leased: false, source: "written", ...this.#health(service, name, address) });
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
        ...this.#health(service, name, address, { status, ...(heldSinceMs === undefined ? {} : { held: {} }) }),
      });
    }
    return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** How it is. Of an instance that no service uses, only what the registry says is known. */
  #health(
    service: string,
    name: string,
    address: string,
    registered?: InstanceFacts["registered"],
  ): Pick<Instance, "health" | "state" | "reason" | "since" | "until"> {
    const { state, report } = this.#options;
    const health = report(name, address);
    return {
      ...(state(service, address) ?? stateOf(registered === undefined ? {} : { registered })),
      ...(health === undefined ? {} : { health }),
    };
  }
}
