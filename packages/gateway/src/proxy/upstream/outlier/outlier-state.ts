import type { OutlierDetectionSettings } from "@headgate/schema";
import { Streak } from "../streak.ts";
import { exchangeRoundsMax, TimedWord, timedWordBits } from "../timed-word.ts";

/** `in`: takes its share. `ejected`: left out. `probation`: its time is over, one request at a time until one succeeds. */
export type OutlierPlace = "in" | "ejected" | "probation";

/** What the detector sees of an instance. */
export interface Ejectable {
  readonly outlier: OutlierState;
}

/** How long the answer of a trial is waited for where the caller does not say: longer than the usual timeouts. */
export const outlierTrialDefaultMs = 60_000;

/** Bytes that the state of an instance needs. */
export const outlierStateBytes = 28;

// Bits of the word: place, whether a trial is under way, ejections, generation.
const inside = 0;
const ejected = 1;
const probation = 2;
/** Inside again, while the service still counts it among the ejected; the detector settles that. */
const lifted = 3;
const placeMask = 3;
const trialBit = 4;
const ejectionsShift = 3;
const ejectionsMax = 1023;
const generationShift = 13;
const generationMask = 2 ** (timedWordBits - generationShift) - 1;

// A permit: generation, whether it is of a trial, and a bit that keeps it above 0.
const permitBit = 1;
const permitTrialBit = 2;
const permitShift = 2;

const streakAt = 8;
const countersAt = 12;
const requestsAt = 0;
const failuresAt = 1;
const markedRequestsAt = 2;
const markedFailuresAt = 3;

/**
 * Whether an instance is left out for its failures, in memory that all workers share. Time ends an ejection by itself;
 * then one request at a time tries the instance until one succeeds (Envoy lets it in at once, with all its traffic).
 *
 * A permit carries the generation it was given in, which each change of place ends: what was under way when an instance
 * was ejected, and fails or succeeds later, decides nothing. A trial that is not heard of expires.
 */
export class OutlierState {
  readonly #word: TimedWord;
  readonly #streak: Streak;
  readonly #counters: Int32Array<SharedArrayBuffer>;

  /** `byteOffset` is a multiple of 8. */
  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#word = new TimedWord(memory, byteOffset);
    const isCurrent = (generation: number): boolean => this.#word.bits >>> generationShift === generation;
    this.#streak = new Streak(memory, byteOffset + streakAt, isCurrent);
    this.#counters = new Int32Array(memory, byteOffset + countersAt, 4);
  }

  /** Whether `acquire` would refuse, without taking a permit: ejected, or on probation with its trial under way. */
  ejected(nowMs: number): boolean {
    const now = this.#word.bits & placeMask;
    if (now === inside || now === lifted) return false;
    const bits = this.#word.load();
    const place = bits & placeMask;
    return (place === ejected || (place === probation && (bits & trialBit) !== 0)) && this.#word.remainingMs(nowMs) > 0;
  }

  /** Milliseconds until it is tried again; 0 when it is not ejected. */
  ejectedForMs(nowMs: number): number {
    return (this.#word.load() & placeMask) === ejected ? Math.max(0, this.#word.remainingMs(nowMs)) : 0;
  }

  /** An ejected one is on probation as soon as its time is over, also before its first trial. */
  place(nowMs: number): OutlierPlace {
    switch (this.#word.load() & placeMask) {
      case ejected:
        return this.#word.remainingMs(nowMs) > 0 ? "ejected" : "probation";
      case probation:
        return "probation";
      default:
        return "in";
    }
  }

  /** How often it was ejected, less one for each interval it was inside since. */
  get ejections(): number {
    return ejectionsOf(this.#word.bits);
  }

  /**
   * A permit, above 0, for one attempt, to go to `OutlierDetector.record`; 0: refused. On probation there is one at a
   * time, and a trial that is not heard of for `trialMs` is taken for lost: longer than an attempt may last.
   */
  acquire(nowMs: number, trialMs = outlierTrialDefaultMs): number {
    const now = this.#word.bits;
    if ((now & placeMask) === inside) return permitOf(now);
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#word.load();
      const place = bits & placeMask;
      if (place === inside || place === lifted) return permitOf(bits);
      const waits = place === ejected || (bits & trialBit) !== 0;
      if (waits && this.#word.remainingMs(nowMs) > 0) return 0;
      const next = wordBits(probation, ejectionsOf(bits), (bits >>> generationShift) + 1) | trialBit;
      if (this.#word.exchange(next, nowMs + trialMs)) return permitOf(next) | permitTrialBit;
    }
    return 0;
  }

  /** Takes it in again whatever its time, as when an active check passes; false when it is not out. */
  lift(): boolean {
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#word.load();
      const place = bits & placeMask;
      if (place === inside || place === lifted) return false;
      if (this.#word.exchange(wordBits(lifted, ejectionsOf(bits), (bits >>> generationShift) + 1), 0)) return true;
    }
    return false;
  }

  // What follows is for the detector, which counts the ejected of a service.

  /** Whether an answer to this permit says something of the instance as it is now. */
  concerns(permit: number): boolean {
    return permit !== 0 && permit >>> permitShift === this.#word.bits >>> generationShift;
  }

  /** Whether the service counts it among the ejected: also on probation, and after a lift until it is settled. */
  get held(): boolean {
    return (this.#word.bits & placeMask) !== inside;
  }

  /** Counts an answer to a permit that concerns it; answers how many failures there were in a row. */
  count(permit: number, failed: boolean): number {
    Atomics.add(this.#counters, requestsAt, 1);
    if (failed) Atomics.add(this.#counters, failuresAt, 1);
    return this.#streak.note(permit >>> permitShift, failed);
  }

  /** Requests since it was last called, in any thread. */
  takeRequests(): number {
    return this.#take(requestsAt, markedRequestsAt);
  }

  /** Failures since it was last called. To be asked for before the requests: then they are not more. */
  takeFailures(): number {
    return this.#take(failuresAt, markedFailuresAt);
  }

  /** Ejects it if it is inside, for how many milliseconds; 0 if it was not. */
  eject(settings: OutlierDetectionSettings, nowMs: number): number {
    return this.#eject(inside, settings, nowMs);
  }

  /** Ejects it again after a failed trial; 0 when the permit is not of a trial that is under way. */
  ejectAgain(permit: number, settings: OutlierDetectionSettings, nowMs: number): number {
    return isTrialPermit(permit) ? this.#eject(probation, settings, nowMs, permit) : 0;
  }

  /** Takes it in after a trial that succeeded; false when the permit is not of a trial that is under way. */
  readmit(permit: number): boolean {
    const bits = this.#word.load();
    if (!isTrialPermit(permit) || bits >>> generationShift !== permit >>> permitShift) return false;
    return this.#word.exchange(wordBits(inside, ejectionsOf(bits), (bits >>> generationShift) + 1), 0);
  }

  /** A trial that says nothing: another may take its place. */
  giveBack(permit: number): void {
    const bits = this.#word.load();
    if (isTrialPermit(permit) && bits >>> generationShift === permit >>> permitShift) {
      this.#word.exchangeBits(bits & ~trialBit);
    }
  }

  /** After a lift: true for the one caller that is to take it off the service's count. */
  settle(): boolean {
    const bits = this.#word.load();
    return (bits & placeMask) === lifted && this.#word.exchangeBits(bits & ~placeMask);
  }

  /** Forgives up to so many ejections of an instance that is inside. */
  decay(by: number): void {
    const bits = this.#word.load();
    const ejections = ejectionsOf(bits);
    if ((bits & placeMask) !== inside || ejections === 0) return;
    this.#word.exchangeBits(wordBits(inside, Math.max(0, ejections - by), bits >>> generationShift));
  }

  #eject(from: number, settings: OutlierDetectionSettings, nowMs: number, permit?: number): number {
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#word.load();
      const generation = bits >>> generationShift;
      if ((bits & placeMask) !== from || (permit !== undefined && permit >>> permitShift !== generation)) return 0;
      const ejections = Math.min(ejectionsOf(bits) + 1, ejectionsMax);
      const forMs = Math.min(settings.baseMs * ejections, Math.max(settings.baseMs, settings.maxMs));
      // Beyond what makes it the longest time more ejections would only take longer to be forgiven.
      const counted = forMs < settings.baseMs * ejections ? Math.ceil(forMs / settings.baseMs) : ejections;
      if (this.#word.exchange(wordBits(ejected, counted, generation + 1), nowMs + forMs)) return forMs;
    }
    return 0;
  }

  /** Exchanged, so that two that ask at once do not both get the same. */
  #take(counter: number, marked: number): number {
    const now = Atomics.load(this.#counters, counter);
    return Math.max(0, (now - Atomics.exchange(this.#counters, marked, now)) | 0);
  }
}

/** Whether the attempt is the trial of an instance on probation. */
export function isTrialPermit(permit: number): boolean {
  return (permit & permitTrialBit) !== 0;
}

function wordBits(place: number, ejections: number, generation: number): number {
  return place | (ejections << ejectionsShift) | ((generation & generationMask) << generationShift);
}

function ejectionsOf(bits: number): number {
  return (bits >>> ejectionsShift) & ejectionsMax;
}

function permitOf(bits: number): number {
  return ((bits >>> generationShift) << permitShift) | permitBit;
}
