import type { Outcome } from "./instance.ts";
import type { Member } from "./member.ts";
import type { Service } from "./service.ts";

/**
 * The place of one attempt at one instance: taken before anything is sent, and given back exactly once, whatever the
 * end. What all workers know of the instance and the service (load, latency, retries under way) is told from here.
 */
export class Booking {
  readonly member: Member;
  /** It failed, and neither instance nor service are to blame: the connection was closed before the request came. */
  blameless = false;
  readonly #service: Service;
  readonly #startedMs: number;
  /** It counts against the budget for retries until its head is there. */
  #isRetry: boolean;
  #status = 0;
  /** Milliseconds from the request's last byte to the head. */
  #latencyMs = 0;
  /** The load has heard of the head, or of the failure. */
  #observed = false;
  #penalized = false;
  #told = false;
  #over = false;

  constructor(service: Service, member: Member, isRetry: boolean, nowMs: number) {
    this.#service = service;
    this.member = member;
    this.#isRetry = isRetry;
    this.#startedMs = nowMs;
    member.load.begin(nowMs);
  }

  /** Whether how it ends decides whether others may follow. */
  get isTrial(): boolean {
    return false;
  }

  /**
   * A final head came. `latencyMs`: since the request's last byte left; negative where it has not, as with an early
   * refusal. `retryAfterMs`: what the instance asked for.
   */
  answered(status: number, latencyMs: number, retryAfterMs: number | undefined, nowMs: number): void {
    this.#endRetry();
    this.#status = status;
    this.#latencyMs = latencyMs < 0 ? nowMs - this.#startedMs : latencyMs;
    if (status >= 500 || status === 429) this.#penalize(retryAfterMs, this.#latencyMs, nowMs);
    else {
      this.#observed = true;
      this.member.load.observe(this.#latencyMs, nowMs);
    }
  }

  /** Tells how it went before it is over: it has shown enough. */
  decide(nowMs: number): void {
    this.#tell(this.#status >= 500 ? "error_status" : "success", nowMs);
  }

  /** It is over. `waitedMs`: since the request's last byte left; 0 where it has not. */
  end(outcome: Outcome, waitedMs: number, nowMs: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#endRetry();
    const failed = isFailure(outcome) && !this.blameless;
    if (failed) this.#penalize(undefined, waitedMs > 0 ? waitedMs : nowMs - this.#startedMs, nowMs);
    this.member.load.end(this.#observed);
    this.#tell(outcome, nowMs);
  }

  #penalize(retryAfterMs: number | undefined, latencyMs: number, nowMs: number): void {
    if (this.#penalized) return;
    this.#penalized = true;
    this.member.load.penalize(retryAfterMs, latencyMs, nowMs);
  }

  #tell(outcome: Outcome, _nowMs: number): void {
    if (this.#told) return;
    this.#told = true;
    this.member.instance.count(outcome);
    if (this.#status > 0) this.#service.duration.observe(this.#latencyMs / 1000);
  }

  #endRetry(): void {
    if (!this.#isRetry) return;
    this.#isRetry = false;
    this.#service.load.endRetry();
  }
}

/** Whether the instance failed: not where the client went away, and not where the gateway itself refused. */
function isFailure(outcome: Outcome): boolean {
  return outcome !== "success" && outcome !== "aborted" && outcome !== "overloaded";
}
