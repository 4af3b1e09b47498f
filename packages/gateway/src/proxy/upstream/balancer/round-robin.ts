import type { Random } from "../../../core/clock.ts";

/** What a balancer needs to know of an instance. */
export interface Weighted {
  /** 0 takes no traffic. */
  readonly weight: number;
}

/**
 * Smooth weighted round-robin: over one cycle each instance is picked in proportion to its weight, spread out instead
 * of in a row. Source: nginx, commit 52327e0627f4 ("smooth weighted round-robin balancing").
 */
export class RoundRobin<T extends Weighted> {
  readonly #items: readonly T[];
  readonly #current: number[];

  /** A random start keeps workers from all picking the same instance first. */
  constructor(items: readonly T[], random: Random) {
    this.#items = items;
    this.#current = items.map(() => 0);
    const skips = items.length > 1 ? Math.floor(random() * items.length) : 0;
    for (let i = 0; i < skips; i++) this.pick(undefined);
  }

  /** The next item that is not excluded; undefined where none is left. */
  pick(excluded: ReadonlySet<T> | undefined): T | undefined {
    const items = this.#items;
    const current = this.#current;
    let best = -1;
    let total = 0;
    for (let i = 0; i < items.length; i++) {
      const item = items[i] as T; // i is inside
      if (item.weight <= 0 || excluded?.has(item) === true) continue;
      total += item.weight;
      const raised = (current[i] as number) + item.weight; // one counter an item
      current[i] = raised;
      if (best < 0 || raised > (current[best] as number)) best = i;
    }
    if (best < 0) return undefined;
    current[best] = (current[best] as number) - total;
    return items[best];
  }
}
