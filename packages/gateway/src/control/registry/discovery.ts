import type { InstanceResource, ServiceResource } from "@headgate/schema";
import type { KindChange } from "../../proxy/snapshot.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Plan } from "../catalog/plan.ts";
import { sameValue, type CompiledChange } from "../compile.ts";
import { serviceMemory, type ServiceMemory } from "../../proxy/upstream/memory.ts";
import type { KnownInstance } from "./registry.ts";

/** Gives the instances that announced themselves under a name. */
export type FindInstances = (name: string) => readonly KnownInstance[];

/**
 * Services as the workers have them: with the instances that announced themselves beside those that are written down.
 * The catalog decides which version of a service runs, the registry which instances it has.
 */
export class Discovery {
  readonly #catalog: Catalog;
  readonly #find: FindInstances;
  readonly #services = Object.create(null) as Record<string, ServiceResource>; // without a prototype: `__proto__` is a name

  readonly #memories = Object.create(null) as Record<string, ServiceMemory>; // as above
  readonly #workers: number;

  /** `workers`: how many share the memory of a service. */
  constructor(catalog: Catalog, find: FindInstances, workers = 1) {
    this.#catalog = catalog;
    this.#find = find;
    this.#workers = workers;
  }

  /** What runs, by name; changed in place. */
  get services(): Readonly<Record<string, ServiceResource>> {
    return this.#services;
  }

  /** The memory of each of them; changed in place. */
  get memories(): Readonly<Record<string, ServiceMemory>> {
    return this.#memories;
  }

  /**
   * The change of a plan with the instances that are known, and with the other services in which one of the `renewed`
   * names is discovered. `undefined`: workers would notice nothing.
   */
  expand({ change, next }: Plan, renewed: ReadonlySet<string>): CompiledChange | undefined {
    const set = Object.create(null) as Record<string, ServiceResource>;
    for (const [name, service] of Object.entries<ServiceResource>(change?.services?.set ?? {})) {
      set[name] = this.#withInstances(service);
    }
    for (const entry of renewed.size === 0 ? [] : this.#catalog.entries("services")) {
      const version = next.has(entry) ? next.get(entry) : entry.live;
      const service = version?.value as ServiceResource | undefined; // asked for services only
      if (service?.discover === undefined || !renewed.has(service.discover.etcd)) continue;
      const expanded = this.#withInstances(service);
      if (!sameValue(this.#services[entry.name], expanded)) set[entry.name] = expanded;
    }
    if (Object.keys(set).length === 0) return change;
    const services: KindChange<ServiceResource> = { set, delete: change?.services?.delete ?? [] };
    const memories = Object.create(null) as Record<string, ServiceMemory>; // as above
    for (const [name, service] of Object.entries(set)) {
      memories[name] = serviceMemory(service, this.#workers, this.#memories[name]);
    }
    return { ...change, services, memories };
  }

  /** The workers have it. */
  adopt(change: CompiledChange | undefined): void {
    const { set = {}, delete: gone = [] } = change?.services ?? {};
    for (const name of gone) {
      delete this.#services[name];
      delete this.#memories[name];
    }
    Object.assign(this.#services, set);
    Object.assign(this.#memories, change?.memories);
  }

  /** What is written down goes before what is announced, but for one that says it is down or drains. */
  #withInstances(service: ServiceResource): ServiceResource {
    if (service.discover === undefined) return service;
    const announced = this.#find(service.discover.etcd);
    const away = new Set(announced.filter(({ status }) => status !== "UP").map(({ address }) => address));
    const written = service.instances.filter(({ address }) => !away.has(address));
    const known = new Set(written.map(({ address }) => address));
    const found = announced.filter(({ address, status }) => status === "UP" && !known.has(address));
    return { ...service, instances: [...written, ...found.map(toInstance)] };
  }
}

function toInstance({ address, weight, zone }: KnownInstance): InstanceResource {
  return { address, weight, ...(zone === undefined ? {} : { zone }) };
}
