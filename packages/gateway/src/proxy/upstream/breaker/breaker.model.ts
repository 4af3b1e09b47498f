import type { CircuitBreakerSettings } from "@headgate/schema";
import type { AttemptOutcome } from "../attempt-outcome.ts";
import type { BreakerState } from "./breaker.ts";

interface Bucket {
  total: number;
  failures: number;
  slow: number;
}

/** A list of buckets, the newest last, and when that began. */
class ModelWindow {
  buckets: Bucket[] = [];
  startMs = 0;

  add(failed: boolean, slow: boolean, windowMs: number, nowMs: number): Bucket {
    const bucketMs = Math.max(1, Math.floor(windowMs / 10));
    if (this.buckets.length === 0 || nowMs - this.startMs >= 10 * bucketMs) {
      // Idle for a window: nothing is left, and the buckets go on in step where there were some.
      if (this.buckets.length === 0) this.startMs = Math.floor(nowMs);
      else this.startMs = Math.floor(nowMs - ((nowMs - this.startMs) % bucketMs));
      this.buckets = [empty()];
    }
    while (nowMs - this.startMs >= bucketMs) {
      this.startMs += bucketMs;
      this.buckets.push(empty());
    }
    this.buckets = this.buckets.slice(-10);
    const last = this.buckets.at(-1) ?? empty();
    last.total++;
    if (failed) last.failures++;
    if (slow) last.slow++;
    return this.buckets.reduce((sum, { total, failures, slow: slowOnes }) => ({
      total: sum.total + total,
      failures: sum.failures + failures,
      slow: sum.slow + slowOnes,
    }));
  }
}

function empty(): Bucket {
  return { total: 0, failures: 0, slow: 0 };
}

type At =
  | { readonly at: "closed"; readonly window: ModelWindow; inARow: number }
  | { readonly at: "open"; readonly untilMs: number; readonly exponent: number }
  | { readonly at: "half-open"; readonly exponent: number; trials: ModelTrials | undefined };

interface ModelTrials {
  left: number;
  needed: number;
  readonly count: number;
  slow: number;
  deadlineMs: number;
}

/** What was given out: a permit is good for the one state it was given in. */
export interface ModelPermit {
  readonly of: At;
}

/** The breaker with nothing shared, nothing packed and nothing reused: a state is an object, and a new one a change. */
export class BreakerModel {
  now: At = { at: "closed", window: new ModelWindow(), inARow: 0 };
  forced: "open" | "closed" | undefined;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  acquire(settings: CircuitBreakerSettings, nowMs: number, trialMs: number): ModelPermit | undefined {
    if (this.refuses(nowMs)) return undefined;
    if (this.now.at === "open") this.now = { at: "half-open", exponent: this.now.exponent, trials: undefined };
    if (this.now.at === "half-open") {
      if (this.now.trials?.left === 0) this.now = { ...this.now, trials: undefined };
      const count = settings.halfOpenRequests;
      this.now.trials ??= { left: count, needed: count, count, slow: 0, deadlineMs: 0 };
      this.now.trials.left--;
      this.now.trials.deadlineMs = Math.floor(nowMs + trialMs);
    }
    return { of: this.now };
  }

  record(
    permit: ModelPermit,
    outcome: AttemptOutcome,
    durationMs: number,
    settings: CircuitBreakerSettings,
    nowMs: number,
  ): string | undefined {
    const now = this.now;
    if (permit.of !== now || now.at === "open") return undefined;
    const slow = durationMs > (settings.slowCallMs ?? Infinity);
    const failed = outcome === "failure";
    if (now.at === "half-open") return this.#recordTrial(now, outcome, slow, settings, nowMs);
    if (outcome === "ignored") return undefined;
    now.inARow = failed ? now.inARow + 1 : 0;
    const { total, failures, slow: slowOnes } = now.window.add(failed, slow, settings.windowMs, nowMs);
    if (this.forced === "closed") return undefined;
    const reaches = (count: number, ratio: number): boolean =>
      total >= settings.minRequests && count > 0 && count / total >= ratio;
    if (settings.consecutive > 0 && now.inARow >= settings.consecutive)
      return this.#open("consecutive", 0, settings, nowMs);
    if (failed && reaches(failures, settings.failureRatio)) return this.#open("failure-ratio", 0, settings, nowMs);
    if (slow && reaches(slowOnes, settings.slowRatio)) {
      return this.#open("slow-ratio", 0, settings, nowMs);
    }
    return undefined;
  }

  state(nowMs: number): BreakerState {
    if (this.now.at !== "open" || this.forced === "open" || this.now.untilMs > nowMs) return this.now.at;
    return "half-open";
  }

  refuses(nowMs: number): boolean {
    switch (this.now.at) {
      case "closed":
        return false;
      case "open":
        return this.forced === "open" || this.now.untilMs > nowMs;
      case "half-open":
        return this.now.trials !== undefined && this.now.trials.left === 0 && this.now.trials.deadlineMs > nowMs;
    }
  }

  opensForMs(nowMs: number): number {
    if (this.now.at !== "open") return 0;
    return this.forced === "open" ? Infinity : Math.max(0, this.now.untilMs - nowMs);
  }

  force(to: "open" | "closed" | undefined): void {
    if (to === this.forced) return;
    if (to === "open") this.now = { at: "open", untilMs: Infinity, exponent: 0 };
    else if (to === "closed" && this.now.at !== "closed")
      this.now = { at: "closed", window: new ModelWindow(), inARow: 0 };
    else if (this.forced === "open") this.now = { at: "half-open", exponent: 0, trials: undefined };
    this.forced = to;
  }

  #recordTrial(
    now: At & { at: "half-open" },
    outcome: AttemptOutcome,
    slow: boolean,
    settings: CircuitBreakerSettings,
    nowMs: number,
  ): string | undefined {
    const { trials } = now;
    if (trials === undefined) throw new Error("a trial before there were any");
    if (outcome === "failure") return this.#open("trial-failed", now.exponent + 1, settings, nowMs);
    if (outcome === "ignored") {
      trials.left++;
      return undefined;
    }
    trials.needed--;
    if (slow) trials.slow++;
    if (trials.needed > 0) return undefined;
    if (trials.slow > 0 && trials.slow / trials.count >= settings.slowRatio) {
      return this.#open("trials-slow", now.exponent + 1, settings, nowMs);
    }
    this.now = { at: "closed", window: new ModelWindow(), inARow: 0 };
    return "trials-succeeded";
  }

  #open(reason: string, exponent: number, settings: CircuitBreakerSettings, nowMs: number): string {
    const longestMs = Math.max(settings.openMs, settings.openMaxMs);
    const openForMs = Math.min(settings.openMs * 2 ** exponent, longestMs) * (1 - this.#random() / 10);
    this.now = { at: "open", untilMs: Math.floor(nowMs + openForMs), exponent };
    return reason;
  }
}
