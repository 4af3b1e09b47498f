import type { Random } from "../../../core/clock.ts";
import type { Candidate, Policy } from "./candidate.ts";
import type { Selection } from "./selection.ts";

/**
 * The better of two random instances: the first drawn, unless the second has less under way for its weight even with the
 * new request. With equal weights that is who has less. Source: Mitzenmacher, as for `PeakEwma`.
 *
 * Draws are in proportion to the weights. So while little is under way the shares of the traffic are those of the
 * weights, and under load the requests under way are. Envoy uses an EDF schedule for unequal weights instead; it has to
 * be kept in order at each change of load and availability, where this has nothing to keep.
 */
export class LeastRequests implements Policy {
  readonly #selection: Selection;
  readonly #random: Random;

  constructor(selection: Selection, random: Random) {
    this.#selection = selection;
    this.#random = random;
  }

  choose(): number {
    const selection = this.#selection;
    const { count, indexes } = selection;
    if (count <= 1) return count === 0 ? -1 : (indexes[0] as number);
    const first = selection.draw(this.#random);
    const second = selection.drawOther(first, this.#random);
    return indexes[this.#beats(second, first) ? second : first] as number; // places are inside
  }

  /** Whether `other` has less for its weight even with one more. With equal weights: has less. */
  #beats(other: number, first: number): boolean {
    const { weights } = this.#selection;
    // Places are inside.
    return (this.#active(other) + 1) * (weights[first] as number) <= this.#active(first) * (weights[other] as number);
  }

  #active(place: number): number {
    const selection = this.#selection;
    return (selection.candidates[selection.indexes[place] as number] as Candidate).load.active(); // places are inside
  }
}
