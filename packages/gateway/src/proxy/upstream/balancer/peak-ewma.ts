import type { Random } from "../../../core/clock.ts";
import type { Candidate, PickContext, Policy } from "./candidate.ts";
import type { Selection } from "./selection.ts";

/**
 * Latencies that differ by less than this factor count as the same, and what is under way decides. Peaks of equal
 * instances differ by half without meaning it; with 1 the one whose peak is lowest just now gets far more than its share.
 */
const sameFactor = 1.5;
/** The same where weights differ: who sets weights wants shares, and gets them unless an instance is that much slower. */
const weightedSameFactor = 3;
/** A winner that is this many times slower than what is usually picked is held against more candidates. */
const suspectFactor = 4;
/** How many more. */
const furtherMax = 16;
/** Weight of one pick in the latency that is usually picked. */
const typicalShare = 1 / 64;

/**
 * The better of two random instances, by latency and what is under way (`InstanceLoad`). Sources: M. Mitzenmacher, "The
 * Power of Two Choices in Randomized Load Balancing"; Finagle's P2C and PeakEwma; Linkerd.
 *
 * Weights and slow start decide how often an instance is drawn, and how many requests count as the same load. Finagle's
 * `cost / weight` with uniform draws gives the heavier of two idle instances everything, and one among n no more than
 * two n-th, whatever its weight.
 *
 * Two draws meet two bad instances of n now and then: with two of five in one of ten. So a winner that is far slower
 * than what is usually picked is compared with more.
 */
export class PeakEwma implements Policy {
  readonly #selection: Selection;
  readonly #random: Random;
  #typicalMs = 0;

  constructor(selection: Selection, random: Random) {
    this.#selection = selection;
    this.#random = random;
  }

  choose({ nowMs }: PickContext): number {
    const selection = this.#selection;
    const { count } = selection;
    if (count <= 1) return count === 0 ? -1 : (selection.indexes[0] as number);
    const first = selection.draw(this.#random);
    const second = selection.drawOther(first, this.#random);
    const one = this.#at(first);
    const two = this.#at(second);
    const oneActive = one.load.active();
    const twoActive = two.load.active();
    const oneMs = one.load.latencyMs(nowMs, oneActive) * one.bias();
    const twoMs = two.load.latencyMs(nowMs, twoActive) * two.bias();
    const change = this.#beats(second, twoMs, twoActive, first, oneMs, oneActive);
    let place = change ? second : first;
    let ms = change ? twoMs : oneMs;
    if (this.#typicalMs > 0 && ms > suspectFactor * this.#typicalMs) {
      place = this.#further(place, nowMs);
      ms = this.#latencyMs(place, nowMs);
    }
    if (ms > 0) this.#typicalMs += (ms - this.#typicalMs) * (this.#typicalMs === 0 ? 1 : typicalShare);
    return selection.indexes[place] as number; // a place is inside
  }

  /** The best of the winner and those that follow a random place. */
  #further(winner: number, nowMs: number): number {
    const { count } = this.#selection;
    let best = winner;
    let bestMs = this.#latencyMs(best, nowMs);
    let place = this.#selection.draw(this.#random);
    for (let left = Math.min(count, furtherMax); left > 0; left--) {
      const ms = this.#latencyMs(place, nowMs);
      const [active, bestActive] = [this.#at(place).load.active(), this.#at(best).load.active()];
      if (this.#beats(place, ms, active, best, bestMs, bestActive)) [best, bestMs] = [place, ms];
      place = place + 1 < count ? place + 1 : 0;
    }
    return best;
  }

  /** Whether one more request costs less at `other` than at `first`. */
  #beats(
    other: number,
    otherMs: number,
    otherActive: number,
    first: number,
    firstMs: number,
    firstActive: number,
  ): boolean {
    const { even } = this.#selection;
    const active = even ? firstActive : this.#sameLoad(firstActive, first, other);
    const factor = even ? sameFactor : weightedSameFactor;
    const same = firstMs < otherMs * factor && otherMs < firstMs * factor;
    return same ? otherActive < active : otherMs * (otherActive + 1) < firstMs * (active + 1);
  }

  /**
   * How many requests would be the same load for another. Whole ones: otherwise a single request at a heavy instance
   * would make an idle light one look better.
   */
  #sameLoad(active: number, place: number, other: number): number {
    const { weights } = this.#selection;
    return Math.floor((active * (weights[other] as number)) / (weights[place] as number)); // places are inside
  }

  #latencyMs(place: number, nowMs: number): number {
    const candidate = this.#at(place);
    return candidate.load.latencyMs(nowMs) * candidate.bias();
  }

  #at(place: number): Candidate {
    const selection = this.#selection;
    return selection.candidates[selection.indexes[place] as number] as Candidate; // places and indexes are inside
  }
}
