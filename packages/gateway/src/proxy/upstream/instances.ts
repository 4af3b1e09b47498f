import type { ServiceResource } from "@headgate/schema";
import { Breaker } from "./breaker/breaker.ts";
import { Instance } from "./instance.ts";
import { serviceLayout, serviceMemory } from "./memory.ts";
import type { ServiceMemory } from "./memory.ts";
import { Service } from "./service.ts";
import type { ServiceState, UpstreamContext } from "./service.ts";
import { ServiceLoad } from "./service-load.ts";

/** A service's part of what lives on. */
interface Known {
  readonly state: ServiceState;
  readonly instances: ReadonlyMap<string, Instance>;
  readonly concurrency: SharedArrayBuffer | undefined;
}

/**
 * The instances of all services, by identity. A snapshot takes what it names; what no snapshot names any more closes
 * its idle connections and ends with its last request.
 */
export class Instances {
  readonly #known = new Map<string, Known>();
  readonly #context: UpstreamContext;

  constructor(context: UpstreamContext) {
    this.#context = context;
  }

  /**
   * Builds the service of a new snapshot over the instances that are already known. Has no effect on live ones.
   * `memory`: what all threads share of it; without it nobody shares it.
   */
  build(name: string, resource: ServiceResource, memory?: ServiceMemory): { service: Service; commit: () => void } {
    const known = this.#known.get(name);
    const { workers } = this.#context;
    const limits = {
      max: Math.max(1, Math.ceil(resource.pool.max / workers)),
      idleMs: resource.pool.idleMs,
      connectMs: resource.timeouts.connectMs,
    };
    const shared = memory ?? serviceMemory(resource, workers, known && memoryOf(known));
    const state = this.#state(known?.state, shared);
    const instances = new Map<string, Instance>();
    for (const { address } of resource.instances) {
      const found = known?.instances.get(address);
      const part = shared.instances[address];
      if (part === undefined) throw new Error(`the memory of service ${name} has no part for ${address}`);
      // One that went and came back has lost its memory, and begins anew.
      instances.set(address, found?.memory === part ? found : new Instance(name, address, part, limits, this.#context));
    }
    const service = new Service(name, resource, instances, state, shared.concurrency, this.#context);
    const commit = (): void => {
      for (const instance of instances.values()) {
        instance.pool.limits = limits;
        instance.pool.reopen();
      }
      for (const instance of this.#known.get(name)?.instances.values() ?? []) {
        if (instances.get(instance.address) !== instance) instance.pool.close();
      }
      this.#known.set(name, { state, instances, concurrency: shared.concurrency });
    };
    return { service, commit };
  }

  /** The service is gone from the configuration. */
  drop(name: string): void {
    for (const instance of this.#known.get(name)?.instances.values() ?? []) instance.pool.close();
    this.#known.delete(name);
  }

  /** Closes every idle connection; used when the thread ends. */
  close(): void {
    for (const name of [...this.#known.keys()]) this.drop(name);
  }

  #state(known: ServiceState | undefined, { service: memory }: ServiceMemory): ServiceState {
    if (known?.memory === memory) return known;
    const { workerId, workers } = this.#context;
    const breaker = new Breaker(memory, serviceLayout.breaker, this.#context.random);
    return { memory, load: new ServiceLoad(memory, workerId, workers), breaker };
  }
}

function memoryOf({ state, instances, concurrency }: Known): ServiceMemory {
  const parts = Object.create(null) as Record<string, SharedArrayBuffer>; // without a prototype: for any address
  for (const { address, memory } of instances.values()) parts[address] = memory;
  return { service: state.memory, instances: parts, ...(concurrency === undefined ? {} : { concurrency }) };
}
