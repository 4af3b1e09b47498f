import type { AttemptOutcome } from "./attempt-outcome.ts";
import { isTrialOfBreaker } from "./breaker/breaker.ts";
import type { Outcome } from "./instance.ts";
import type { Member } from "./member.ts";
import { isTrialPermit } from "./outlier/outlier-state.ts";
import type { Service } from "./service.ts";

/** What an attempt is to its exchange. `renewed`: in place of one that was never seen by anyone; it costs no budget. */
export type Kind = "first" | "renewed" | "retry" | "hedge";

/**
 * The place of one attempt at one instance: taken before anything is sent, and given back exactly once, whatever the
 * end. What all workers know of the instance and the service (load, latency, breakers, ejection, retries under way) is
 * told from here.
 */
export class Booking {
  readonly member: Member;
  /** What the breakers of service and instance and detection let it through with; 0: they have nothing to say. */
  servicePermit = 0;
  instancePermit = 0;
  outlierPermit = 0;
  /** It failed, and the instance is not to blame: the connection was closed before the request came. */
  blameless = false;
  /** Milliseconds from the request's last byte to the head; -1: no head, or it came before that byte had left. */
  latencyMs = -1;
  readonly #of: Service;
  readonly #startedMs: number;
  /** It counts against the budget for retries until its head is there. */
  #isRetry: boolean;
  /** It has a slot of the limit on concurrency for itself, beside that of its exchange. */
  readonly #hasSlot: boolean;
  #status = 0;
  /** The load counts it among those that wait for a head. */
  #waits: boolean;
  #penalized = false;
  #told = false;
  #over = false;

  /** `uploads`: a body is still coming from the client. */
  constructor(of: Service, member: Member, kind: Kind, uploads: boolean, nowMs: number) {
    this.#of = of;
    this.member = member;
    this.#isRetry = kind === "retry" || kind === "hedge";
    this.#hasSlot = kind === "hedge";
    this.#startedMs = nowMs;
    this.#waits = !uploads;
    member.load.begin(nowMs, uploads);
  }

  /** Whether others wait for how it ends. */
  get isTrial(): boolean {
    if (this.#told) return false;
    return (
      isTrialOfBreaker(this.instancePermit) || isTrialPermit(this.outlierPermit) || isTrialOfBreaker(this.servicePermit)
    );
  }

  /** The request's last byte has left. */
  sent(nowMs: number): void {
    if (this.#waits) return;
    this.#waits = true;
    this.member.load.sent(nowMs);
  }

  /**
   * A final head came. `latencyMs`: since the request's last byte left; -1 where it has not, as with an early refusal.
   * `retryAfterMs`: what the instance asked for.
   */
  answered(status: number, latencyMs: number, retryAfterMs: number | undefined, nowMs: number): void {
    this.#endRetry();
    this.#status = status;
    this.latencyMs = latencyMs;
    const tookMs = latencyMs < 0 ? nowMs - this.#startedMs : latencyMs;
    if (status >= 500 || status === 429) this.#penalize(retryAfterMs, tookMs, nowMs);
    else {
      this.sent(nowMs);
      this.#waits = false;
      this.member.load.observe(tookMs, nowMs);
    }
  }

  /** Tells how it went before it is over: it has shown enough. */
  decide(nowMs: number): void {
    this.#tell(this.#status >= 500 ? "error_status" : "success", this.latencyMs, nowMs);
  }

  /** It is over. `waitedMs`: since the request's last byte left; 0 where it has not. */
  end(outcome: Outcome, waitedMs: number, nowMs: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#endRetry();
    const { load } = this.member;
    if (this.#kindOf(outcome) === "failure") {
      this.#penalize(undefined, waitedMs > 0 ? waitedMs : nowMs - this.#startedMs, nowMs);
    } else if (this.#waits && !this.#penalized && waitedMs > 0) load.gaveUp(waitedMs, nowMs);
    load.end(!this.#waits);
    if (this.#hasSlot) this.#of.limiter?.release("ignored", 0, nowMs);
    this.#tell(outcome, this.#status > 0 ? this.latencyMs : waitedMs, nowMs);
  }

  #penalize(retryAfterMs: number | undefined, tookMs: number, nowMs: number): void {
    if (this.#penalized) return;
    this.#penalized = true;
    this.member.load.penalize(retryAfterMs, tookMs, nowMs);
  }

  #tell(outcome: Outcome, tookMs: number, nowMs: number): void {
    if (this.#told) return;
    this.#told = true;
    this.member.instance.count(outcome);
    this.#of.told(this, this.#kindOf(outcome), Math.max(0, tookMs), nowMs);
  }

  #endRetry(): void {
    if (!this.#isRetry) return;
    this.#isRetry = false;
    this.#of.load.endRetry();
  }

  /** A status below 500 is the request's fault or the instance's load, and whoever goes away has seen no failure. */
  #kindOf(outcome: Outcome): AttemptOutcome {
    if (this.blameless) return "ignored";
    switch (outcome) {
      case "success":
        return "success";
      case "error_status":
        return this.#status >= 500 ? "failure" : "success";
      case "aborted":
      case "overloaded":
        return this.#status >= 500 ? "failure" : "ignored";
      default:
        return "failure";
    }
  }
}
