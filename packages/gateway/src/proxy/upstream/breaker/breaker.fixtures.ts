import type { CircuitBreakerSettings } from "@headgate/schema";
import { Breaker, type BreakerChange, breakerBytes, type BreakerState } from "./breaker.ts";

/** Settings with round numbers: the window has buckets of a second. */
export const settings: CircuitBreakerSettings = {
  failureRatio: 0.5,
  windowMs: 10_000,
  minRequests: 10,
  consecutive: 0,
  openMs: 1_000,
  openMaxMs: 4_000,
  slowCallMs: 500,
  slowRatio: 0.8,
  halfOpenRequests: 3,
};

/** One breaker, a time that a test moves, and short names for what requests do. */
export class Bench {
  nowMs: number;
  settings: CircuitBreakerSettings;
  readonly memory: SharedArrayBuffer;
  readonly breaker: Breaker;
  readonly changes: BreakerChange[] = [];

  constructor(changed: Partial<CircuitBreakerSettings> = {}, nowMs = 5_000, random: () => number = () => 0) {
    this.nowMs = nowMs;
    this.settings = { ...settings, ...changed };
    this.memory = new SharedArrayBuffer(breakerBytes);
    this.breaker = new Breaker(this.memory, 0, random);
  }

  get state(): BreakerState {
    return this.breaker.state(this.nowMs);
  }

  acquire(trialMs?: number): number {
    return this.breaker.acquire(this.settings, this.nowMs, trialMs);
  }

  record(permit: number, outcome: "success" | "failure" | "ignored", durationMs = 1): BreakerChange | undefined {
    const change = this.breaker.record(permit, outcome, durationMs, this.settings, this.nowMs);
    if (change !== undefined) this.changes.push(change);
    return change;
  }

  /** Requests that are let through and end at once. */
  run(count: number, outcome: "success" | "failure" | "ignored", durationMs = 1): void {
    for (let i = 0; i < count; i++) {
      const permit = this.acquire();
      if (permit === 0) throw new Error("the breaker refused");
      this.record(permit, outcome, durationMs);
    }
  }

  /** Opens it by failures. */
  trip(): void {
    for (let i = 0; i < this.settings.minRequests && this.state !== "open"; i++) this.run(1, "failure");
    if (this.state !== "open") throw new Error(`the breaker is ${this.state}`);
  }
}
