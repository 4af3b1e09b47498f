import type { Verdict } from "./verdict.ts";

/** Most deliveries to one service at a time, of one gateway. */
export const deliveriesPerServiceMax = 32;
/** Failures in a row after which a service is left alone. */
const failuresMax = 5;
const pauseFirstMs = 100;
const pauseMostMs = 5_000;
/** Longest that a service is left alone because it asked for it. */
const askedMostMs = 60_000;

/**
 * How many messages may be on their way to one service. It opens by one with each that is delivered and closes by half
 * with each that fails (AIMD), so that a backlog does not hit a service that has just come back with all its weight; and
 * it shuts for a while, twice as long each time, when nothing can be sent or all fails: messages wait then, and their
 * attempts are not used up on a service that is down.
 */
export class Gate {
  inFlight = 0;
  #window = 1;
  #openAtMs = 0;
  #failures = 0;
  #pauses = 0;

  /** How many more may be sent now. */
  free(nowMs: number): number {
    return this.#openAtMs > nowMs ? 0 : Math.max(0, this.#window - this.inFlight);
  }

  /** Until it opens; 0 when it is open. */
  shutForMs(nowMs: number): number {
    return Math.max(0, this.#openAtMs - nowMs);
  }

  /** Messages were taken. */
  begin(count: number): void {
    this.inFlight += count;
  }

  /** One of them was delivered, or was not. */
  end(verdict: Verdict, nowMs: number, random: () => number): void {
    this.inFlight--;
    switch (verdict.do) {
      case "ack":
      case "bury":
        // Also one that refuses messages takes them.
        this.#failures = this.#pauses = 0;
        this.#window = Math.min(deliveriesPerServiceMax, this.#window + 1);
        return;
      case "retry":
        this.#failures++;
        this.#window = Math.max(1, Math.floor(this.#window / 2));
        if (this.#failures >= failuresMax || verdict.serviceWaitMs > 0)
          this.#shut(verdict.serviceWaitMs, nowMs, random);
        return;
      case "wait":
        this.#window = 1;
        this.#shut(verdict.serviceWaitMs, nowMs, random);
    }
  }

  /** Several that were under way when it began to fail shut it once. */
  #shut(askedMs: number, nowMs: number, random: () => number): void {
    if (this.#openAtMs <= nowMs) this.#pauses++;
    const ownMs = Math.min(pauseMostMs, pauseFirstMs * 2 ** (this.#pauses - 1));
    const pauseMs = Math.max(Math.min(askedMs, askedMostMs), ownMs * (0.5 + random() / 2));
    this.#openAtMs = Math.max(this.#openAtMs, nowMs + pauseMs);
  }
}
