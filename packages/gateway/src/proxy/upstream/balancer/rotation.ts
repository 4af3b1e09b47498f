import type { Random } from "../../../core/clock.ts";
import type { Policy } from "./candidate.ts";
import type { Selection } from "./selection.ts";

/** With up to this many instances the smooth sequence is made, which costs a step for each of them. */
const smoothMax = 100;
/** The fractional part of the golden ratio: its multiples are spread the most evenly of all numbers'. */
const golden = (Math.sqrt(5) - 1) / 2;

/**
 * Weighted round-robin.
 *
 * - Up to 100 instances: nginx's smooth sequence (commit 52327e0627f4). Over one cycle each is picked in exact proportion
 *   to its weight, spread out instead of in a row.
 * - More: the multiples of the golden ratio, taken as positions in the running sums of the weights. Also spread out, with
 *   no state for each instance; the picks of each stay within a few of its share, however long it runs.
 *
 * Workers start at random places, so that they do not all pick the same instance first.
 */
export class Rotation implements Policy {
  readonly #selection: Selection;
  /** By candidate; what is picked gives what all have gained. */
  readonly #current: Float64Array;
  #position: number;
  #skips: number;

  constructor(selection: Selection, random: Random) {
    this.#selection = selection;
    const size = selection.candidates.length;
    this.#current = new Float64Array(size <= smoothMax ? size : 0);
    this.#position = random();
    this.#skips = size <= smoothMax ? Math.floor(this.#position * size) : 0;
  }

  choose(): number {
    const selection = this.#selection;
    if (selection.count === 0) return -1;
    if (this.#current.length > 0) {
      for (; this.#skips > 0; this.#skips--) this.#smooth();
      return this.#smooth();
    }
    this.#position += golden;
    if (this.#position >= 1) this.#position -= 1;
    return selection.indexes[selection.at(this.#position)] as number; // a place is inside
  }

  #smooth(): number {
    const current = this.#current;
    const { indexes, weights, count, total } = this.#selection;
    let best = -1;
    let most = -Infinity;
    for (let place = 0; place < count; place++) {
      const index = indexes[place] as number; // the first `count` are inside, as are the indexes
      const raised = (current[index] as number) + (weights[place] as number);
      current[index] = raised;
      if (raised > most) [best, most] = [index, raised];
    }
    current[best] = most - total;
    return best;
  }
}
