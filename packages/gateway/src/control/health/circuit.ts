import type { Clock } from "../../core/clock.ts";
import type { Breaker } from "../../proxy/upstream/breaker/breaker.ts";
import type { CircuitFacts, CircuitName } from "./instance-state.ts";

/**
 * A circuit breaker as the control thread follows it. Workers change it and tell so; what a worker could not tell any
 * more is seen in its memory.
 */
export class Circuit {
  readonly breaker: Breaker;
  readonly #clock: Clock;
  /** Nothing else was told before it was followed. */
  #state: CircuitName = "closed";
  #reason: string | undefined;
  #sinceWallMs: number | undefined;
  /** What the memory said at the last look, where that had not been told. */
  #untold: CircuitName | undefined;

  constructor(breaker: Breaker, clock: Clock) {
    this.breaker = breaker;
    this.#clock = clock;
  }

  /** As it was told last. */
  get told(): CircuitName {
    return this.#state;
  }

  /** `undefined`: it was never told to be anything else. */
  get sinceWallMs(): number | undefined {
    return this.#sinceWallMs;
  }

  /** Why it changed last, as far as is known. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** It became so, says who made it; whether that is news. */
  tell(state: CircuitName, reason: string | undefined): boolean {
    this.#reason = reason;
    this.#untold = undefined;
    if (state === this.#state) return false;
    this.#state = state;
    this.#sinceWallMs = this.#clock.wall();
    return true;
  }

  /** Whether its memory says something else than was told. */
  get isUntold(): boolean {
    return this.#untold !== undefined;
  }

  /**
   * What its memory says, where nobody has told it since the last look: a worker's word may be on its way, one look
   * later it is not. `undefined`: nothing new.
   */
  look(isConfigured: boolean): CircuitName | undefined {
    const { state } = this.facts(isConfigured);
    const before = this.#untold;
    this.#untold = state === this.#state ? undefined : state;
    return this.#untold !== undefined && this.#untold === before ? state : undefined;
  }

  /** How it is now. Without settings nothing closes it again once its time is over, and nothing asks it then. */
  facts(isConfigured: boolean): CircuitFacts {
    const { breaker } = this;
    const nowMs = this.#clock.now();
    const { forced } = breaker;
    const seen = breaker.state(nowMs);
    const state = seen === "half-open" && !isConfigured ? "closed" : seen;
    const forMs = breaker.opensForMs(nowMs);
    return {
      state,
      ...(forced === undefined ? {} : { forced }),
      ...(forMs > 0 && Number.isFinite(forMs) ? { untilMs: nowMs + forMs } : {}),
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
    };
  }
}

/** A time of the clock in ISO 8601. */
export function isoTime({ now, wall }: Clock, atMs: number): string {
  return new Date(atMs - now() + wall()).toISOString();
}

/** Whether a worker's word for the state of a breaker is one. */
export function isCircuitName(text: string): text is CircuitName {
  return text === "closed" || text === "half-open" || text === "open";
}
