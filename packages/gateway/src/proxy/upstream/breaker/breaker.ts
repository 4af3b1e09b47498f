import type { CircuitBreakerSettings } from "@headgate/schema";
import type { Random } from "../../../core/clock.ts";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import { Streak } from "../streak.ts";
import { exchangeRoundsMax, TimedWord, timedWordBits } from "../timed-word.ts";
import { noTrial, Trials, trialsBegun, trialsBytes, trialsExpired } from "./trials.ts";
import { Window, windowBytes } from "./window.ts";

export type BreakerState = "closed" | "open" | "half-open";

export type BreakerReason =
  "consecutive" | "failure-ratio" | "slow-ratio" | "open-over" | "trial-failed" | "trials-slow" | "trials-succeeded";

/** A change of state, told to the one caller that made it. */
export interface BreakerChange {
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly reason: BreakerReason;
  /** The reason with its figures, for people. */
  readonly detail: string;
  /** Of an opening: how long until trials. */
  readonly openForMs?: number;
}

/** How long the answer of a trial is waited for where the caller does not say: longer than the usual timeouts. */
export const trialDefaultMs = 60_000;

/** Largest share by which an open time is shorter than it could be, so that breakers do not try in step. */
const jitterRatio = 0.1;

/** Bytes that a breaker needs. */
export const breakerBytes = 16 + 8 + trialsBytes + windowBytes;

// Bits of the state's word: state, forced or not, times it was opened anew, generation.
const closed = 0;
const open = 1;
const halfOpen = 2;
const stateMask = 3;
const forcedBit = 4;
const exponentShift = 3;
const exponentMax = 31;
const generationShift = 8;
const generationMask = 2 ** (timedWordBits - generationShift) - 1;

// A permit: generation, whether it began the trials, whether it is a trial, and a bit that keeps it above 0.
const permitBit = 1;
const trialBit = 2;
const beganBit = 4;
const permitShift = 3;

const begun: BreakerChange = { from: "open", to: "half-open", reason: "open-over", detail: "trials begin" };

/**
 * A circuit breaker in memory that all workers share. Closed, it lets all through. It opens after `consecutive` failures
 * in a row, at a failure when of at least `minRequests` in the window `failureRatio` failed, and at a slow answer when
 * `slowRatio` of them were slow. Open, it refuses; after `openMs` it lets `halfOpenRequests` trials through. All must
 * succeed to close it, with an empty window; one failure opens it again for twice as long, up to `openMaxMs`.
 *
 * Each change of state begins a new generation. A permit carries the generation it was given in, and an answer to
 * another one decides nothing: neither a late success of before it opened closes it, nor a late failure opens it again.
 * State, generation and time are one word that changes by compare-and-exchange, so of workers that see the same thing
 * at once one makes the change and is told. A worker that dies leaves nothing behind but trials, which expire.
 *
 * Settings are passed with each call and kept nowhere: changed ones hold from the next call on, and nothing is reset.
 * Zeroed memory is a closed breaker. While closed, a permit costs one load.
 *
 * Sources: two ways to open and the window are Linkerd's unified breaker (linkerd2-proxy, http/breaker/unified.rs);
 * slow calls, several trials and forced states are resilience4j's.
 */
export class Breaker {
  readonly #random: Random;
  readonly #state: TimedWord;
  readonly #trials: Trials;
  readonly #streak: Streak;
  readonly #window: Window;

  /** `byteOffset` is a multiple of 8. */
  constructor(memory: SharedArrayBuffer, byteOffset: number, random: Random) {
    this.#random = random;
    this.#state = new TimedWord(memory, byteOffset);
    const isCurrent = (generation: number): boolean => this.#state.bits >>> generationShift === generation;
    this.#window = new Window(memory, byteOffset + 8, isCurrent);
    this.#trials = new Trials(memory, byteOffset + 8 + windowBytes, isCurrent);
    this.#streak = new Streak(memory, byteOffset + 8 + windowBytes + trialsBytes, isCurrent);
  }

  /**
   * A permit, above 0, for one attempt; 0: refused. Each permit goes to `record` once. A trial that is not heard of for
   * `trialMs` is taken for lost, so that should be longer than an attempt may last.
   */
  acquire(settings: CircuitBreakerSettings, nowMs: number, trialMs = trialDefaultMs): number {
    const bits = this.#state.bits;
    if ((bits & stateMask) === closed) return permitOf(bits);
    return this.#acquireTrial(settings, nowMs, trialMs);
  }

  /**
   * How an attempt with a permit ended; `durationMs` up to the answer's head. Answers what that changed. `ignored` gives
   * the permit back.
   */
  record(
    permit: number,
    outcome: AttemptOutcome,
    durationMs: number,
    settings: CircuitBreakerSettings,
    nowMs: number,
  ): BreakerChange | undefined {
    const bits = this.#state.bits;
    const generation = bits >>> generationShift;
    if (permit >>> permitShift !== generation) return undefined;
    const slow = settings.slowCallMs !== undefined && durationMs > settings.slowCallMs;
    if ((permit & trialBit) !== 0) return this.#recordTrial(bits, outcome, slow, settings, nowMs);
    if (outcome === "ignored") return undefined;

    const failed = outcome === "failure";
    const inARow = this.#streak.note(generation, failed);
    const window = this.#window;
    if (!window.add(generation, failed, slow, settings.windowMs, nowMs)) return undefined;
    if ((bits & forcedBit) !== 0) return undefined;
    if (settings.consecutive > 0 && inARow >= settings.consecutive) {
      return this.#open(bits, "consecutive", `${inARow} failures in a row`, settings, nowMs);
    }
    const { total } = window;
    if (total < settings.minRequests) return undefined;
    // A failure opens for failures and a slow answer for slow ones. If what went well did, too, instances that are back
    // after a rest would be refused at their first answers for what is left of the old ones in the window.
    if (failed && reaches(window.failures, total, settings.failureRatio)) {
      const detail = `${window.failures} of ${total} requests in ${seconds(settings.windowMs)} failed`;
      return this.#open(bits, "failure-ratio", detail, settings, nowMs);
    }
    if (slow && reaches(window.slow, total, settings.slowRatio)) {
      const detail = `${window.slow} of ${total} requests in ${seconds(settings.windowMs)} took over ${seconds(settings.slowCallMs ?? 0)}`;
      return this.#open(bits, "slow-ratio", detail, settings, nowMs);
    }
    return undefined;
  }

  /** Half-open also when the open time is over and no trial has come yet. */
  state(nowMs: number): BreakerState {
    const bits = this.#state.load();
    switch (bits & stateMask) {
      case closed:
        return "closed";
      case halfOpen:
        return "half-open";
      default:
        return (bits & forcedBit) === 0 && this.#state.remainingMs(nowMs) <= 0 ? "half-open" : "open";
    }
  }

  /** Whether `acquire` would refuse, without taking a permit: a balancer passes it over. */
  refuses(nowMs: number): boolean {
    const now = this.#state.bits;
    if ((now & stateMask) === closed) return false;
    const bits = this.#state.load();
    const state = bits & stateMask;
    if (state === halfOpen) return this.#trials.exhausted(bits >>> generationShift, nowMs);
    return state === open && ((bits & forcedBit) !== 0 || this.#state.remainingMs(nowMs) > 0);
  }

  /** Milliseconds until trials, for Retry-After; 0 when not open, Infinity when an operator holds it open. */
  opensForMs(nowMs: number): number {
    const bits = this.#state.load();
    if ((bits & stateMask) !== open) return 0;
    return (bits & forcedBit) === 0 ? Math.max(0, this.#state.remainingMs(nowMs)) : Infinity;
  }

  /** How an operator holds it. */
  get forced(): "open" | "closed" | undefined {
    return forcedOf(this.#state.bits);
  }

  /**
   * Holds it open (all is refused) or closed (all is let through and counted, nothing opens it) whatever happens, or
   * lets go: one that was held open is tried, one that was held closed goes on with what it has counted.
   */
  force(to: "open" | "closed" | undefined): void {
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#state.load();
      const generation = bits >>> generationShift;
      const isClosed = (bits & stateMask) === closed;
      if (to === forcedOf(bits)) return;
      let next = stateBits(halfOpen, 0, generation + 1);
      if (to === "open") next = stateBits(open, 0, generation + 1) | forcedBit;
      else if (to === "closed") next = stateBits(closed, 0, isClosed ? generation : generation + 1) | forcedBit;
      else if (isClosed) next = stateBits(closed, 0, generation);
      if (this.#state.exchange(next, 0)) return;
    }
  }

  #acquireTrial(settings: CircuitBreakerSettings, nowMs: number, trialMs: number): number {
    for (let round = 0; round < exchangeRoundsMax; round++) {
      const bits = this.#state.load();
      const generation = bits >>> generationShift;
      const state = bits & stateMask;
      if (state === closed) return permitOf(bits);
      if (state === halfOpen) {
        const taken = this.#trials.take(generation, settings.halfOpenRequests, nowMs, trialMs);
        if (taken === noTrial) return 0;
        if (taken !== trialsExpired) return permitOf(bits) | trialBit | (taken === trialsBegun ? beganBit : 0);
      } else if ((bits & forcedBit) !== 0 || this.#state.remainingMs(nowMs) > 0) {
        return 0;
      }
      // Whoever makes it half-open, or lets new trials in for lost ones: the next round takes one, if there is one left.
      this.#state.exchange(stateBits(halfOpen, exponentOf(bits), generation + 1), 0);
    }
    return 0;
  }

  #recordTrial(
    bits: number,
    outcome: AttemptOutcome,
    slow: boolean,
    settings: CircuitBreakerSettings,
    nowMs: number,
  ): BreakerChange | undefined {
    const generation = bits >>> generationShift;
    if (outcome === "ignored") {
      this.#trials.giveBack(generation);
      return undefined;
    }
    if (outcome === "failure") return this.#open(bits, "trial-failed", "a trial failed", settings, nowMs);
    const slowRatio = this.#trials.succeed(generation, slow);
    if (slowRatio < 0) return undefined;
    if (slowRatio > 0 && slowRatio >= settings.slowRatio) {
      return this.#open(bits, "trials-slow", "the trials were slow", settings, nowMs);
    }
    if (this.#state.load() !== bits || !this.#state.exchange(stateBits(closed, 0, generation + 1), 0)) return undefined;
    return { from: "half-open", to: "closed", reason: "trials-succeeded", detail: "all trials succeeded" };
  }

  /** Opens it if it is still as `bits` says. */
  #open(
    bits: number,
    reason: BreakerReason,
    detail: string,
    settings: CircuitBreakerSettings,
    nowMs: number,
  ): BreakerChange | undefined {
    if (this.#state.load() !== bits) return undefined;
    const isTrial = (bits & stateMask) === halfOpen;
    const exponent = isTrial ? Math.min(exponentOf(bits) + 1, exponentMax) : 0;
    const wholeMs = Math.min(settings.openMs * 2 ** exponent, Math.max(settings.openMs, settings.openMaxMs));
    const openForMs = wholeMs * (1 - jitterRatio * this.#random());
    if (!this.#state.exchange(stateBits(open, exponent, (bits >>> generationShift) + 1), nowMs + openForMs)) {
      return undefined;
    }
    return { from: isTrial ? "half-open" : "closed", to: "open", reason, detail, openForMs };
  }
}

/** What taking a permit changed: of one breaker's permits after an open time, the first says that trials begin. */
export function changeOfPermit(permit: number): BreakerChange | undefined {
  return (permit & beganBit) === 0 ? undefined : begun;
}

/** Whether the permit is that of a trial: how it ends decides. */
export function isTrialOfBreaker(permit: number): boolean {
  return (permit & trialBit) !== 0;
}

/** The settings for the breaker of a whole service: failures in a row say little where many instances answer. */
export function withoutConsecutive(settings: CircuitBreakerSettings): CircuitBreakerSettings {
  return { ...settings, consecutive: 0 };
}

/** As a quotient, as the ratio was one of whole numbers: 55 of 100 are 55 %, though 0.55 * 100 is more than 55. */
function reaches(count: number, total: number, ratio: number): boolean {
  return count > 0 && count / total >= ratio;
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}

function stateBits(state: number, exponent: number, generation: number): number {
  return state | (exponent << exponentShift) | ((generation & generationMask) << generationShift);
}

function forcedOf(bits: number): "open" | "closed" | undefined {
  if ((bits & forcedBit) === 0) return undefined;
  return (bits & stateMask) === open ? "open" : "closed";
}

function exponentOf(bits: number): number {
  return (bits >>> exponentShift) & exponentMax;
}

function permitOf(bits: number): number {
  return ((bits >>> generationShift) << permitShift) | permitBit;
}
