import type { ConcurrencySettings, Importance } from "@headgate/schema";
import { GatewayError } from "../../../core/errors.ts";
import type { ServiceMemory } from "../memory.ts";
import type { ServiceLoad } from "../service-load.ts";
import { takenSlots } from "../service-load.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";

// The limiter's own part of the memory: when one of each importance last wanted a slot of a service nearly full.
const wantedMsAt = 0;
const adaptiveBytes = 64;

/** How much of the limit is open to each importance while a higher one wants slots too. */
const shares: Readonly<Record<Importance, number>> = { low: 0.8, normal: 0.9, high: 0.95, critical: 1 };
const ranks: Readonly<Record<Importance, number>> = { low: 0, normal: 1, high: 2, critical: 3 };
/** From here on it matters who wants a slot. */
const nearlyFullShare = shares.low;
/** So long the room that one of a higher importance needed is kept for the next. */
const keptMs = 1_000;

/** How the use of a slot ended. `dropped`: no answer came in time. `ignored`: it says nothing about the instances. */
export type SlotOutcome = "success" | "dropped" | "ignored";

/**
 * The limit on exchanges that a service has at a time, fixed or found by itself, over all workers. An exchange takes a
 * slot before it picks an instance and frees it at its end, whatever that is; it keeps the slot through its retries. A
 * hedge takes one of its own. Built for each snapshot over memory that outlives it.
 *
 * While it is nearly full, those of lower importance are refused a little earlier, so that the more important find a
 * slot; but only while such have come within the last second, else all of the limit is open to all.
 */
export class ConcurrencyLimiter {
  /** What a refused exchange ends in: HG_OVERLOADED, 503, with Retry-After. One for all: a refusal makes nothing. */
  readonly refusal: GatewayError;
  readonly #load: ServiceLoad;
  readonly #adaptive: AdaptiveLimit | undefined;
  readonly #fixed: number;
  /** By rank; 32-bit milliseconds, 0: never. */
  readonly #wantedMs: Int32Array;

  /** `memory`: ServiceMemory.concurrency. `load`: the one of this worker and service, which holds the slots. */
  constructor(settings: ConcurrencySettings, memory: SharedArrayBuffer, load: ServiceLoad) {
    this.refusal = new GatewayError("HG_OVERLOADED", {
      detail: "The service has as many requests as it can take.",
      headers: { "retry-after": "1" },
    });
    this.#load = load;
    this.#adaptive = settings.type === "adaptive" ? new AdaptiveLimit(settings, memory, adaptiveBytes) : undefined;
    this.#fixed = settings.type === "fixed" ? settings.limit : 0;
    this.#wantedMs = new Int32Array(memory, wantedMsAt, adaptiveBytes / 4);
  }

  /** Whether the exchange may go on; then `release` is to be called once. Refused: throw `refusal`. */
  acquire(nowMs: number, importance: Importance = "normal"): boolean {
    const adaptive = this.#adaptive;
    const limit = adaptive === undefined ? this.#fixed : adaptive.effective;
    const load = this.#load;
    const taken = load.slots;
    const bound = taken < Math.floor(limit * nearlyFullShare) ? limit : this.#boundOf(importance, limit, nowMs);
    if (taken < bound && load.tryTakeSlot(bound)) {
      adaptive?.sawInFlight(taken + 1);
      return true;
    }
    adaptive?.sawFull();
    return false;
  }

  /** The exchange is over. `rttMs` from sending its last attempt to the head of the answer, or to giving up. */
  release(outcome: SlotOutcome, rttMs: number, nowMs: number): void {
    this.#load.freeSlot();
    this.observe(outcome, rttMs, nowMs);
  }

  /**
   * What `release` tells an adaptive limit, for itself: to be called at the head of an answer that may go on for long,
   * which then ends in `release("ignored", 0, nowMs)`. Told at its end it would be stale.
   */
  observe(outcome: SlotOutcome, rttMs: number, nowMs: number): void {
    if (outcome !== "ignored") this.#adaptive?.observe(rttMs, outcome === "dropped", nowMs);
  }

  /** The limit as it is set or as it was found last. */
  limit(): number {
    return this.#adaptive?.limit ?? this.#fixed;
  }

  /** Slots taken, of all workers. */
  inFlight(): number {
    return this.#load.slots;
  }

  #boundOf(importance: Importance, limit: number, nowMs: number): number {
    const rank = ranks[importance];
    const wanted = this.#wantedMs;
    const now = Math.floor(nowMs) | 1;
    if (rank > 0) Atomics.store(wanted, rank, now);
    for (let higher = rank + 1; higher <= ranks.critical; higher++) {
      const at = Atomics.load(wanted, higher);
      if (at !== 0 && Math.abs((now - at) | 0) < keptMs) return Math.max(1, Math.floor(limit * shares[importance]));
    }
    return limit;
  }
}

/** What a limit on concurrency is like now, read from outside the workers. */
export interface ConcurrencyReading {
  readonly limit: number;
  readonly inFlight: number;
}

/** Reads it from the memory of a service. `undefined`: the service has no limit. */
export function readConcurrency(
  settings: ConcurrencySettings | undefined,
  { service, concurrency }: ServiceMemory,
): ConcurrencyReading | undefined {
  if (settings === undefined || concurrency === undefined) return undefined;
  const limit =
    settings.type === "fixed" ? settings.limit : new AdaptiveLimit(settings, concurrency, adaptiveBytes).limit;
  return { limit, inFlight: takenSlots(service) };
}
