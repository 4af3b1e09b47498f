import type { Random } from "../../core/clock.ts";
import type { ServiceMemory } from "../../proxy/upstream/memory.ts";
import { instanceBreaker, serviceBreaker } from "./views.ts";

/** What an operator may hold; of more the oldest must be let go first. */
export const forcedMax = 1_000;

/** How an operator holds a circuit breaker. */
export interface ForcedCircuit {
  readonly service: string;
  /** Absent: the breaker of the service as a whole. */
  readonly instance?: string;
  readonly to: "open" | "closed";
  /** Who did it. */
  readonly author: string;
}

/**
 * What operators hold open or closed, for the life of the process. An instance that leaves and comes back has new memory:
 * it is held again before a worker sees it.
 */
export class ForcedCircuits {
  readonly #held = new Map<string, ForcedCircuit>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get(service: string, instance?: string): ForcedCircuit | undefined {
    return this.#held.get(keyOf(service, instance));
  }

  all(): Iterable<ForcedCircuit> {
    return this.#held.values();
  }

  /** Whether there was room for it. */
  hold(forced: ForcedCircuit): boolean {
    const key = keyOf(forced.service, forced.instance);
    if (this.#held.size >= forcedMax && !this.#held.has(key)) return false;
    this.#held.set(key, forced);
    return true;
  }

  letGo(service: string, instance?: string): void {
    this.#held.delete(keyOf(service, instance));
  }

  /** Writes what is held into memory; what holds already stays as it is. */
  apply(service: string, memory: ServiceMemory): void {
    if (this.#held.size === 0) return;
    const whole = this.get(service);
    if (whole !== undefined) serviceBreaker(memory.service, this.#random).force(whole.to);
    for (const [address, shared] of Object.entries(memory.instances)) {
      const one = this.get(service, address);
      if (one !== undefined) instanceBreaker(shared, this.#random).force(one.to);
    }
  }
}

function keyOf(service: string, instance = ""): string {
  return `${service}\n${instance}`;
}
