import type { Candidate, PickContext, Policy } from "./candidate.ts";
import { hashOf, rehash, sharedTable } from "./maglev.ts";
import type { Selection } from "./selection.ts";

/** Other places that are looked at before the candidates are gone through in order. */
const rehashMax = 32;

/**
 * Consistent hashing: a text is at the same instance, whichever worker or gateway asks, and stays there when others come
 * or go. Where its instance cannot be used, or has its share with `loadFactor`, the text has a next place, and so on,
 * always the same ones: the table is not made anew for what may be back in a moment.
 *
 * The table is made at the first pick, from the weights of then. A request without the text goes to `fallback`.
 */
export class Hash implements Policy {
  readonly #selection: Selection;
  readonly #fallback: Policy;
  readonly #loadFactor: number;
  #table: Uint16Array | undefined;
  #perWeight = Infinity;
  /** When that was added up, in looks of the selection. */
  #looks = 0;

  /** `loadFactor` undefined: no bound. */
  constructor(selection: Selection, fallback: Policy, loadFactor: number | undefined) {
    this.#selection = selection;
    this.#fallback = fallback;
    this.#loadFactor = loadFactor ?? Infinity;
  }

  choose(context: PickContext): number {
    if (context.key === undefined) return this.#fallback.choose(context);
    const { allowed, count, indexes } = this.#selection;
    if (count === 0) return -1;
    const table = (this.#table ??= sharedTable(this.#selection.candidates));
    let hash = hashOf(context.key);
    for (let attempt = 1; attempt <= rehashMax; attempt++) {
      const index = table[hash % table.length] as number; // inside
      if (allowed[index] === 1 && this.#hasRoom(index)) return index;
      hash = rehash(hash, attempt);
    }
    const start = hash % count;
    for (let i = 0; i < count; i++) {
      const index = indexes[(start + i) % count] as number; // inside
      if (this.#hasRoom(index)) return index;
    }
    return indexes[start] as number; // never: they cannot all have more than their share
  }

  #hasRoom(index: number): boolean {
    if (this.#loadFactor === Infinity) return true;
    const { load, weight } = this.#selection.candidates[index] as Candidate; // an index is inside
    const active = load.active();
    // One is always everybody's share.
    return active === 0 || active < Math.ceil(this.#allowance() * weight);
  }

  /**
   * Requests for each unit of weight, if the new one is spread as all are, times the factor. Source: V. Mirrokni et al.,
   * "Consistent Hashing with Bounded Loads". Added up as often as availability is looked at, for it reads every load.
   */
  #allowance(): number {
    const { candidates, indexes, count, looks } = this.#selection;
    if (looks === this.#looks) return this.#perWeight;
    let active = 1;
    let weight = 0;
    for (let place = 0; place < count; place++) {
      const candidate = candidates[indexes[place] as number] as Candidate; // inside
      active += candidate.load.active();
      weight += candidate.weight;
    }
    this.#looks = looks;
    this.#perWeight = (this.#loadFactor * active) / weight;
    return this.#perWeight;
  }
}
