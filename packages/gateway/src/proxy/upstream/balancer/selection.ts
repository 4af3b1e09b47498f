import type { Random } from "../../../core/clock.ts";
import type { Candidate, PickContext } from "./candidate.ts";

/** What part of its share an instance has at least that starts slowly. Source: Envoy's min_weight_percent. */
export const rampMin = 0.1;
/** With up to this many candidates each pick looks at all of them; that is as cheap as remembering. */
const exactCandidatesMax = 16;
/** How long what was seen of more candidates is used. What is picked is looked at again at every pick. */
const lookEveryMs = 10;
/** Share of the own zone's weight that must be available for the zone to be preferred. */
export const zoneShareMin = 0.5;

export interface SelectionOptions {
  /** Only instances of this zone, while enough of them are available. Undefined: zones do not matter. */
  readonly zone: string | undefined;
  /** Below this share of available candidates all are used, 0..1. */
  readonly panicThreshold: number;
  /** Whether reported load makes the effective weight smaller. */
  readonly biased: boolean;
}

/**
 * Who may be picked right now: the one place in front of all policies that knows of availability, tried instances,
 * zones, panic and slow start.
 *
 * 1. A weight of 0 takes nothing, and neither does one that is barred.
 * 2. The own zone alone, while at least half of its weight is available (by weight and not by number, because it is
 *    what is left to carry the zone's traffic).
 * 3. Otherwise all that are available, in all zones.
 * 4. If those are fewer than the panic threshold's share of the candidates, all, available or not.
 * 5. Of these, those not excluded. If that leaves none of the own zone, those of all zones.
 *
 * Candidates are named by their index. Nothing is allocated after the constructor.
 */
export class Selection {
  readonly candidates: readonly Candidate[];
  /** Who may be picked: the first `count` are valid. */
  readonly indexes: Int32Array;
  count = 0;
  /** Effective weights (weight, slow start, and bias if asked for) of `indexes`, and their running sums. */
  readonly weights: Float64Array;
  readonly sums: Float64Array;
  total = 0;
  /** All effective weights are equal. */
  even = true;
  /** Too few are available: availability is not looked at. */
  panic = false;
  /** By candidate: 1 if it is among `indexes`. */
  readonly allowed: Uint8Array;
  /** Rises when the candidates are looked at: what is made of them is out of date. */
  looks = 0;
  readonly #options: SelectionOptions;
  /** When the candidates were looked at; NaN: they must be, whatever the time. */
  #lookedMs = NaN;
  /** What may be picked is what an earlier pick saw. */
  #remembered = false;

  constructor(candidates: readonly Candidate[], options: SelectionOptions) {
    this.candidates = candidates;
    this.#options = options;
    const size = candidates.length;
    this.indexes = new Int32Array(size);
    this.weights = new Float64Array(size);
    this.sums = new Float64Array(size);
    this.allowed = new Uint8Array(size);
  }

  /** Brings it up to date for a pick. */
  look({ nowMs, excluded }: PickContext): void {
    const ageMs = nowMs - this.#lookedMs;
    this.#remembered =
      this.candidates.length > exactCandidatesMax &&
      excluded === undefined &&
      this.count > 0 &&
      ageMs >= 0 &&
      ageMs < lookEveryMs;
    if (!this.#remembered) this.#lookAtAll(nowMs, excluded);
  }

  /** Whether what was picked is not what it was when it was looked at. It has been brought up to date then. */
  outdated(index: number, { nowMs, excluded }: PickContext): boolean {
    if (!this.#remembered || this.panic) return false;
    const candidate = this.candidates[index];
    if (index >= 0 && candidate !== undefined && candidate.weight > 0 && candidate.available(nowMs)) return false;
    this.#remembered = false;
    this.#lookAtAll(nowMs, excluded);
    return true;
  }

  /** A place in `indexes`, in proportion to the effective weights. */
  draw(random: Random): number {
    return this.even ? Math.floor(random() * this.count) : this.#placeOf(random() * this.total);
  }

  /** The same without one place; there must be two at least. */
  drawOther(first: number, random: Random): number {
    if (this.even) {
      // The next after the first for the upper part, and not (i + 1) % n for equal ones, which prefers neighbours.
      const place = Math.floor(random() * (this.count - 1));
      return place >= first ? place + 1 : place;
    }
    const weight = this.weights[first] as number; // a place is inside
    let at = random() * (this.total - weight);
    if (at >= (this.sums[first] as number) - weight) at += weight;
    const place = this.#placeOf(at);
    // By rounding, the sums may miss by the last bit.
    return place !== first ? place : first > 0 ? first - 1 : first + 1;
  }

  /** The place whose part of the running sums has this position. */
  at(position: number): number {
    return this.#placeOf(position * this.total);
  }

  #placeOf(position: number): number {
    const { sums } = this;
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #lookAtAll(nowMs: number, excluded: ReadonlySet<unknown> | undefined): void {
    const { candidates } = this;
    const { zone, panicThreshold } = this.#options;
    this.looks++;
    this.#lookedMs = excluded === undefined ? nowMs : NaN;
    this.panic = false;
    let members = 0;
    let available = 0;
    let zoneWeight = 0;
    let zoneAvailable = 0;
    this.#clear();
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i] as Candidate; // i is inside
      const { weight } = candidate;
      this.allowed[i] = 0;
      if (weight <= 0) continue;
      const inZone = zone !== undefined && candidate.zone === zone;
      members++;
      if (inZone) zoneWeight += weight;
      if (!candidate.available(nowMs)) continue;
      available++;
      if (inZone) zoneAvailable += weight;
      if (excluded?.has(candidate) !== true) this.#add(i, nowMs);
    }
    if (zoneAvailable > 0 && zoneAvailable >= zoneShareMin * zoneWeight) this.#keepZone(nowMs);
    else if (available < panicThreshold * members) this.#addAll(nowMs, excluded);
  }

  /** Only those of the own zone, if there is one among them. */
  #keepZone(nowMs: number): void {
    const { candidates, indexes, count } = this;
    const { zone } = this.#options;
    let found = false;
    for (let place = 0; place < count && !found; place++) {
      found = (candidates[indexes[place] as number] as Candidate).zone === zone; // inside, as below
    }
    if (!found) return;
    this.#clear();
    for (let place = 0; place < count; place++) {
      const index = indexes[place] as number; // what is added is at this place or before it
      this.allowed[index] = 0;
      if ((candidates[index] as Candidate).zone === zone) this.#add(index, nowMs);
    }
  }

  /** Panic: available or not. */
  #addAll(nowMs: number, excluded: ReadonlySet<unknown> | undefined): void {
    this.panic = true;
    this.#clear();
    for (let i = 0; i < this.candidates.length; i++) {
      const candidate = this.candidates[i] as Candidate; // i is inside
      this.allowed[i] = 0;
      if (candidate.weight <= 0 || candidate.barred?.(nowMs) === true || excluded?.has(candidate) === true) continue;
      this.#add(i, nowMs);
    }
  }

  #clear(): void {
    this.count = 0;
    this.total = 0;
    this.even = true;
  }

  #add(index: number, nowMs: number): void {
    const candidate = this.candidates[index] as Candidate; // who calls has it from there
    const ramp = candidate.ramp(nowMs);
    let weight = candidate.weight;
    if (ramp < 1) weight *= ramp > rampMin ? ramp : rampMin;
    if (this.#options.biased) weight /= candidate.bias();
    const place = this.count++;
    if (place > 0 && weight !== this.weights[0]) this.even = false;
    this.total += weight;
    this.indexes[place] = index;
    this.weights[place] = weight;
    this.sums[place] = this.total;
    this.allowed[index] = 1;
  }
}
