import type { DiscoverSettings, InstanceResource, ServiceResource } from "@headgate/schema";
import type { KindChange } from "../../proxy/snapshot.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Plan } from "../catalog/plan.ts";
import { sameValue, type CompiledChange } from "../compile.ts";
import { serviceMemory, type ServiceMemory } from "../../proxy/upstream/memory.ts";
import { discoveryKey, isSource } from "./source-key.ts";
import type { FoundInstance, SourceSettings } from "./source.ts";

/** Gives the instances that were found; `undefined`: the source has not said anything yet. */
export type FindInstances = (settings: DiscoverSettings) => readonly FoundInstance[] | undefined;

export interface DiscoveryOptions {
  readonly catalog: Catalog;
  readonly find: FindInstances;
  /** The sources that a service uses from now on; told when it may be others. */
  readonly onUse?: (service: string, sources: readonly SourceSettings[]) => void;
  /** How many share the memory of a service. Default: 1. */
  readonly workers?: number;
  /** Sees the memory of a service before the workers do; `known` is what it had before. */
  readonly onMemory?: (service: string, memory: ServiceMemory, known: ServiceMemory | undefined) => void;
}

/** A service as it was made for the workers. */
interface Made {
  /** As it is written. */
  readonly written: ServiceResource;
  /** Whose instances it has: an earlier version while the source of the new one has not said anything. */
  readonly found: ServiceResource;
}

/**
 * Services as the workers have them: with the instances that are found beside those that are written down. The catalog
 * decides which version of a service runs, the registry and the sources which instances it has.
 */
export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #services = Object.create(null) as Record<string, ServiceResource>; // without a prototype: `__proto__` is a name
  readonly #memories = Object.create(null) as Record<string, ServiceMemory>; // as above
  /** Of those in which something is discovered. */
  readonly #made = new WeakMap<ServiceResource, Made>();

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** What runs, by name; changed in place. */
  get services(): Readonly<Record<string, ServiceResource>> {
    return this.#services;
  }

  /** The memory of each of them; changed in place. */
  get memories(): Readonly<Record<string, ServiceMemory>> {
    return this.#memories;
  }

  /** Where the instances come from that a service has now, beside those that are written down. */
  sourceOf(name: string): DiscoverSettings | undefined {
    return this.#madeOf(name)?.found.discover;
  }

  /**
   * The change of a plan with the instances that are known, and with the other services in which something is
   * discovered under one of the `renewed` keys. `undefined`: workers would notice nothing.
   */
  expand({ change, next }: Plan, renewed: ReadonlySet<string>): CompiledChange | undefined {
    const { catalog, workers = 1, onMemory } = this.#options;
    const set = Object.create(null) as Record<string, ServiceResource>;
    for (const [name, service] of Object.entries<ServiceResource>(change?.services?.set ?? {})) {
      set[name] = this.#withInstances(name, service);
    }
    for (const entry of renewed.size === 0 ? [] : catalog.entries("services")) {
      const version = next.has(entry) ? next.get(entry) : entry.live;
      const service = version?.value as ServiceResource | undefined; // asked for services only
      if (service?.discover === undefined || !this.#concerns(entry.name, service.discover, renewed)) continue;
      const expanded = this.#withInstances(entry.name, service);
      if (!this.#isSame(entry.name, expanded)) set[entry.name] = expanded;
    }
    if (Object.keys(set).length === 0) return change;
    const services: KindChange<ServiceResource> = { set, delete: change?.services?.delete ?? [] };
    const memories = Object.create(null) as Record<string, ServiceMemory>; // as above
    for (const [name, service] of Object.entries(set)) {
      const known = this.#memories[name];
      onMemory?.(name, (memories[name] = serviceMemory(service, workers, known)), known);
    }
    return { ...change, services, memories };
  }

  /** The workers have it. */
  adopt(change: CompiledChange | undefined): void {
    const { set = {}, delete: gone = [] } = change?.services ?? {};
    for (const name of gone) {
      const used = this.#madeOf(name);
      delete this.#services[name];
      delete this.#memories[name];
      this.#use(name, used, undefined);
    }
    for (const [name, service] of Object.entries(set)) {
      const used = this.#madeOf(name);
      this.#services[name] = service;
      this.#use(name, used, this.#howMade(service));
    }
    Object.assign(this.#memories, change?.memories);
  }

  #madeOf(name: string): Made | undefined {
    const service = this.#services[name];
    return service === undefined ? undefined : this.#howMade(service);
  }

  /** One in which nothing is discovered is as it is written. */
  #howMade(service: ServiceResource): Made {
    return this.#made.get(service) ?? { written: service, found: service };
  }

  #concerns(name: string, settings: DiscoverSettings, renewed: ReadonlySet<string>): boolean {
    const found = this.sourceOf(name);
    return renewed.has(discoveryKey(settings)) || (found !== undefined && renewed.has(discoveryKey(found)));
  }

  /** Whether the workers would notice nothing, and the instances come from where they came from. */
  #isSame(name: string, expanded: ServiceResource): boolean {
    const found = this.#howMade(expanded).found.discover;
    return sameValue(this.#services[name], expanded) && sameValue(this.sourceOf(name), found);
  }

  #use(name: string, before: Made | undefined, after: Made | undefined): void {
    const sources = sourcesOf(after);
    if (sources.length > 0 || sourcesOf(before).length > 0) this.#options.onUse?.(name, sources);
  }

  /**
   * What is written down goes before what is found, but for one that says it is down or drains. While a new source has
   * not said anything the service keeps, beside what is written now, the instances that it had.
   */
  #withInstances(name: string, written: ServiceResource): ServiceResource {
    if (written.discover === undefined) return written;
    const found = this.#options.find(written.discover);
    if (found !== undefined) return this.#make(written, written, found);
    const before = this.#madeOf(name)?.found;
    const known = before?.discover === undefined ? [] : (this.#options.find(before.discover) ?? []);
    const kept = (before?.instances ?? []).map((one): FoundInstance => ({ ...one, status: "UP" }));
    return this.#make(written, before ?? written, [...kept, ...known]);
  }

  #make(written: ServiceResource, found: ServiceResource, instances: readonly FoundInstance[]): ServiceResource {
    const service = merged(written, instances);
    this.#made.set(service, { written, found });
    return service;
  }
}

function sourcesOf(made: Made | undefined): readonly SourceSettings[] {
  if (made === undefined) return [];
  const { written, found } = made;
  const all = found === written ? [written.discover] : [written.discover, found.discover];
  return all.filter((settings) => settings !== undefined).filter(isSource);
}

/** Later ones of an address that is written or found already say only whether it is away. */
function merged(service: ServiceResource, found: readonly FoundInstance[]): ServiceResource {
  const away = new Set(found.filter(({ status }) => status !== "UP").map(({ address }) => address));
  const instances = new Map<string, InstanceResource>();
  for (const one of service.instances) if (!away.has(one.address)) instances.set(one.address, one);
  for (const one of found) {
    if (one.status === "UP" && !away.has(one.address) && !instances.has(one.address))
      instances.set(one.address, toInstance(one));
  }
  return { ...service, instances: [...instances.values()] };
}

function toInstance({ address, weight, zone }: FoundInstance): InstanceResource {
  return { address, weight, ...(zone === undefined ? {} : { zone }) };
}
