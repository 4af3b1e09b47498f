import { GatewayError } from "../core/errors.ts";
import type { AttemptOwner, ForwardContext } from "./attempt.ts";
import { UpstreamAttempt } from "./attempt.ts";
import type { Carrier, ExchangeRun } from "./carrier.ts";
import type { Exchange } from "./exchange.ts";
import type { ResponseHead } from "./http1/parse-response.ts";
import type { AttemptHook } from "./middleware.ts";
import type { Decision, Failure } from "./retry.ts";
import { decideRetry, mayRepeat } from "./retry.ts";
import type { Kind } from "./upstream/booking.ts";
import { Booking } from "./upstream/booking.ts";
import type { UpstreamCall } from "./upstream/call.ts";
import type { Member } from "./upstream/member.ts";
import type { Admitted, Service } from "./upstream/service.ts";

/**
 * The attempts of one exchange at one service, until the head of one is the answer or the last one failed: one after
 * the other, as `decideRetry` says, and with hedging side by side.
 */
export class ForwardRun implements AttemptOwner, ExchangeRun {
  /** The call whose head was accepted. */
  answered: UpstreamCall | undefined;
  /** Nothing more will be tried. */
  settled = false;
  readonly exchange: Exchange;
  readonly carrier: Carrier;
  readonly service: Service;
  readonly hooks: readonly AttemptHook[];
  readonly context: ForwardContext;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  /** Under way without an accepted head: the only one or the newest; undefined while a retry is waited for. */
  #attempt: UpstreamAttempt | undefined;
  /** Older ones that a hedge was sent beside. */
  #hedged: UpstreamAttempt[] | undefined;
  /** The one whose head is the answer. */
  #winner: UpstreamAttempt | undefined;
  /** It answered with a status that is tried again, and is the answer after all if that cannot be done. */
  #held: UpstreamAttempt | undefined;
  #tried: Set<Member> | undefined;
  #stopWaiting: (() => void) | undefined;
  #stopHedge: (() => void) | undefined;
  /** It holds a slot of the service's limit on concurrency. */
  #hasSlot = false;
  /** The service counts it among the exchanges under way. */
  #begun = false;
  #retries = 0;
  #stale = 0;
  #hedges = 0;

  constructor(
    exchange: Exchange,
    carrier: Carrier,
    service: Service,
    hooks: readonly AttemptHook[],
    context: ForwardContext,
  ) {
    this.exchange = exchange;
    this.carrier = carrier;
    this.service = service;
    this.hooks = hooks;
    this.context = context;
  }

  /** Resolves when an instance's head is on the exchange; rejects with the last attempt's GatewayError. */
  start(): Promise<void> {
    this.exchange.serviceName = this.service.name;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { request } = this.exchange;
      // A limit that a step set after the bytes had come.
      if ((this.carrier.body?.bytes ?? 0) > request.bodyBytesMax) {
        this.#settle(new GatewayError("HG_BODY_TOO_LARGE", { detail: `The limit is ${request.bodyBytesMax} bytes.` }));
        return;
      }
      const nowMs = this.context.clock.now();
      const { limiter } = this.service;
      if (limiter !== undefined) {
        if (!limiter.acquire(nowMs, this.exchange.importance)) {
          this.#settle(limiter.refusal);
          return;
        }
        this.#hasSlot = true;
      }
      const booking = this.#admit("first", nowMs);
      if (booking instanceof Booking) {
        // Not before: what is refused pays nothing into the budget for retries.
        this.#begun = true;
        this.service.load.beginExchange();
        this.#begin(booking, nowMs);
      } else this.#settle(booking);
    });
  }

  /** Ends it from outside (the client went away, the exchange's time is over, a step replaced the answer). */
  abort(error: GatewayError): void {
    this.#stopTimers();
    const attempts = [this.#held, this.#winner, this.#attempt, ...(this.#hedged ?? [])];
    this.#held = this.#attempt = this.#hedged = undefined;
    for (const attempt of attempts) attempt?.abort(error);
    this.#settle(error);
  }

  headCame(attempt: UpstreamAttempt, head: ResponseHead): void {
    if (this.service.retriesStatus(head.status) && this.#tryInstead(attempt, head.status)) return;
    this.#accept(attempt, head);
  }

  failed(attempt: UpstreamAttempt, error: GatewayError, stale: boolean): void {
    if (attempt === this.#held) {
      this.#held = undefined;
      return;
    }
    this.#leave(attempt);
    (this.#tried ??= new Set()).add(attempt.booking.member);
    if (error.code === "HG_UPSTREAM_TIMEOUT" && error.details.nothingSent !== true) {
      this.service.limiter?.observe("dropped", this.service.headTimeoutMs, this.context.clock.now());
    }
    // With a hedge under way the exchange has its second chance already.
    if (this.#attempt !== undefined) return;
    this.#stopTimers();
    const decision = this.#decide({ error, stale });
    if (decision.do === "retry") this.#retry(decision, error);
    else this.#giveUp(error);
  }

  refused(attempt: UpstreamAttempt, error: unknown): void {
    this.#leave(attempt);
    this.#endOthers();
    this.#settle(error);
  }

  ended(error: GatewayError | undefined): void {
    this.#settle(error);
    if (error === undefined) return;
    this.exchange.error ??= error;
    this.carrier.cut();
  }

  /** The instance switched protocols: what follows belongs to the tunnel. */
  leaveToTunnel(): void {
    this.#winner?.leaveToTunnel();
    this.#settle(undefined);
  }

  endTunnel(): void {
    this.#winner?.endTunnel();
  }

  /** The answer waits for the client, which is not the instance's fault: its silence does not count meanwhile. */
  pauseIdle(): void {
    this.#winner?.pauseIdle();
  }

  /** The client takes bytes again. */
  resumeIdle(): void {
    this.#winner?.resumeIdle();
  }

  #admit(kind: Kind, nowMs: number): Admitted {
    return this.service.admit(this.exchange, this.#tried, kind, this.carrier.body?.complete === false, nowMs);
  }

  #begin(booking: Booking, nowMs: number): void {
    const attempt = new UpstreamAttempt(this, booking, nowMs);
    this.#attempt = attempt;
    if (this.service.hedging !== undefined) this.#armHedge(this.service.hedging);
    attempt.start();
  }

  #accept(attempt: UpstreamAttempt, head: ResponseHead): void {
    const { exchange } = this;
    this.#leave(attempt);
    this.#endOthers();
    this.#winner = attempt;
    this.answered = attempt.call;
    exchange.upstreamStartMs = attempt.startMs;
    exchange.upstreamHeadMs = attempt.headMs;
    exchange.instanceAddress = attempt.booking.member.address;
    const { response } = exchange;
    response.status = head.status;
    response.headers = head.fields;
    response.source = "upstream";
    this.service.mark(exchange, attempt.booking.member);
    // Told here and not at the end: an answer may stream for long. A failure says nothing of the time that work takes.
    const { latencyMs } = attempt.booking;
    if (latencyMs >= 0 && head.status < 500) this.service.limiter?.observe("success", latencyMs, attempt.headMs);
    attempt.accept();
    this.#resolve();
  }

  /** Whether another attempt takes the place of one whose status the policy names; it is held meanwhile. */
  #tryInstead(attempt: UpstreamAttempt, status: number): boolean {
    const others = this.#hedged !== undefined || (this.#attempt !== undefined && this.#attempt !== attempt);
    const decision = others ? undefined : this.#decide({ status, retryAfterMs: attempt.retryAfterMs });
    if (decision?.do === "fail") return false;
    this.#leave(attempt);
    (this.#tried ??= new Set()).add(attempt.booking.member);
    this.#held?.abort(undefined);
    this.#held = attempt;
    attempt.hold();
    if (decision !== undefined) this.#retry(decision, undefined);
    return true;
  }

  #decide(failure: Failure): Decision {
    const { body } = this.carrier;
    const { exchange } = this;
    return decideRetry(
      failure,
      this.service.retry,
      {
        method: exchange.request.method,
        carriesKey: this.carrier.carriesKey,
        replayable: !this.settled && (body === undefined || body.replayable),
        retries: this.#retries,
        staleConnections: this.#stale,
        remainingMs: exchange.deadlineMs - this.context.clock.now(),
      },
      this.context.random,
    );
  }

  /** `error`: what the exchange ends in if it cannot be tried again; undefined where an answer is held. */
  #retry(decision: Extract<Decision, { do: "retry" }>, error: GatewayError | undefined): void {
    if (decision.counts) this.#retries++;
    else this.#stale++;
    if (decision.waitMs < 1) {
      this.#again(decision, error);
      return;
    }
    this.#stopWaiting = this.context.after(decision.waitMs, () => {
      this.#stopWaiting = undefined;
      this.#again(decision, error);
    });
  }

  #again({ counts, reason }: Extract<Decision, { do: "retry" }>, error: GatewayError | undefined): void {
    const nowMs = this.context.clock.now();
    const booking = this.#admit(counts ? "retry" : "renewed", nowMs);
    if (!(booking instanceof Booking)) {
      this.#giveUp(error);
      return;
    }
    this.context.countRetry(this.service.name, reason);
    this.#held?.abort(undefined);
    this.#held = undefined;
    this.#begin(booking, nowMs);
  }

  /** Nothing more can be tried: an answer that is held is the answer, else the error. */
  #giveUp(error: GatewayError | undefined): void {
    const held = this.#held;
    const head = held?.call?.head;
    this.#held = undefined;
    if (held !== undefined && head !== undefined) this.#accept(held, head);
    else this.#settle(error ?? new GatewayError("HG_UPSTREAM_RESET"));
  }

  #armHedge({ afterMs, max }: { readonly afterMs: number; readonly max: number }): void {
    const { body, upgrade, carriesKey } = this.carrier;
    if (this.#hedges >= max || upgrade || !(carriesKey || mayRepeat(this.exchange.request.method))) return;
    if (body !== undefined && !body.repeatable) return;
    this.#stopHedge?.();
    this.#stopHedge = this.context.after(afterMs, () => {
      this.#stopHedge = undefined;
      this.#hedge();
    });
  }

  /** Sends the request to one more instance, if the budget allows it and there is one. */
  #hedge(): void {
    const slow = this.#attempt;
    if (slow === undefined) return;
    (this.#tried ??= new Set()).add(slow.booking.member);
    const nowMs = this.context.clock.now();
    const booking = this.#admit("hedge", nowMs);
    if (!(booking instanceof Booking)) return;
    this.#hedges++;
    this.context.countRetry(this.service.name, "hedge");
    (this.#hedged ??= []).push(slow);
    this.#begin(booking, nowMs);
  }

  /** Takes an attempt off the list of those under way. */
  #leave(attempt: UpstreamAttempt): void {
    if (this.#attempt === attempt) this.#attempt = this.#hedged?.pop();
    else if (this.#hedged !== undefined) this.#hedged = this.#hedged.filter((other) => other !== attempt);
    if (this.#hedged?.length === 0) this.#hedged = undefined;
  }

  /** The answer is there, or never will be: whoever else is under way or held is not needed. */
  #endOthers(): void {
    this.#stopTimers();
    if (this.#held === undefined && this.#attempt === undefined && this.#hedged === undefined) return;
    const others = [this.#held, this.#attempt, ...(this.#hedged ?? [])];
    this.#held = this.#attempt = this.#hedged = undefined;
    for (const attempt of others) attempt?.abort(undefined);
  }

  #stopTimers(): void {
    this.#stopWaiting?.();
    this.#stopHedge?.();
    this.#stopWaiting = this.#stopHedge = undefined;
  }

  #settle(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    if (this.#begun) this.service.load.endExchange();
    if (this.#hasSlot) this.service.limiter?.release("ignored", 0, this.context.clock.now());
    if (error !== undefined && this.answered === undefined) this.#reject(error);
  }
}
