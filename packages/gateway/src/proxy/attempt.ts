import type { Clock, Random } from "../core/clock.ts";
import type { ErrorCode } from "../core/errors.ts";
import { GatewayError } from "../core/errors.ts";
import type { Wheel } from "../core/wheel.ts";
import { Timed } from "../core/wheel.ts";
import { HookedAttempt, runHooks } from "./attempt-hooks.ts";
import type { Carrier } from "./carrier.ts";
import type { Exchange } from "./exchange.ts";
import type { ResponseHead } from "./http1/parse-response.ts";
import { fieldLines } from "./http1/write-head.ts";
import { writeText } from "./http1/wire.ts";
import type { AttemptHook } from "./middleware.ts";
import { retryAfterOf } from "./retry.ts";
import { sendWithBody, targetOf } from "./send.ts";
import type { Booking } from "./upstream/booking.ts";
import type { CallEvents } from "./upstream/call.ts";
import { UpstreamCall } from "./upstream/call.ts";
import type { UpstreamConnection } from "./upstream/connection.ts";
import type { Outcome } from "./upstream/instance.ts";
import { outcomeOf } from "./upstream/instance.ts";
import type { PendingConnection, Waiter } from "./upstream/pool.ts";
import type { Service } from "./upstream/service.ts";

/** How long an instance may leave `Expect: 100-continue` unanswered before the gateway lets the client send. */
const continueWaitMs = 1_000;
/** A trial is decided by its answer's end, or by its having streamed for so long. */
const trialStreamMs = 1_000;

/** What attempts need of the thread they run in. */
export interface ForwardContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: Wheel;
  /** Calls back after about that many milliseconds; returns how to stop it. */
  after(ms: number, callback: () => void): () => void;
  countRetry(service: string, reason: string): void;
}

/** Who makes attempts and decides what becomes of them; hears of each attempt's head or failure once. */
export interface AttemptOwner {
  readonly exchange: Exchange;
  readonly carrier: Carrier;
  readonly service: Service;
  readonly hooks: readonly AttemptHook[];
  readonly context: ForwardContext;
  /** A final head, for `accept`, `hold` or `abort`. */
  headCame(attempt: UpstreamAttempt, head: ResponseHead): void;
  /** It failed before it was accepted; it is over. */
  failed(attempt: UpstreamAttempt, error: GatewayError, stale: boolean): void;
  /** Something of the gateway ended it before it was sent: no other attempt would fare better. */
  refused(attempt: UpstreamAttempt, error: unknown): void;
  /** The answer that was accepted is over, or broke off. */
  ended(error: GatewayError | undefined): void;
}

/** What the timer of an attempt waits for. */
type Waiting = "answer" | "continue" | "trial";

/**
 * One try at one instance: gets a connection, sends the request, waits for the head, and watches the body of the answer
 * if it is accepted. Its end is booked once, whatever it is.
 */
export class UpstreamAttempt extends Timed implements CallEvents, Waiter {
  readonly booking: Booking;
  call: UpstreamCall | undefined;
  /** Monotonic milliseconds at which the request was written, and at which the head of the answer came. */
  startMs: number;
  headMs = 0;
  readonly #owner: AttemptOwner;
  #pending: PendingConnection | undefined;
  #waiting: Waiting = "answer";
  /** When the last byte of the request was written; from there the instance is waited for. -1: not yet. */
  #sentMs = -1;
  #accepted = false;
  #answerBegan = false;
  /** The answer took more than one read. */
  #streamed = false;
  #over = false;
  #hooked: HookedAttempt | undefined;
  #hookDone: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor(owner: AttemptOwner, booking: Booking, nowMs: number) {
    super();
    this.#owner = owner;
    this.booking = booking;
    this.startMs = nowMs;
  }

  /** Begins. Failures may come before this returns. */
  start(): void {
    const { exchange, hooks } = this.#owner;
    const { instance } = this.booking.member;
    exchange.attempts++;
    exchange.instanceAddress = instance.address;
    if (hooks.length > 0) this.#runHooks();
    else this.#connect();
  }

  /** The head that came is the exchange's answer: from here on the body is watched. */
  accept(): void {
    this.#accepted = true;
    this.#hookDone?.resolve();
    this.#hookDone = undefined;
    if (this.call?.complete === true) this.#disarm();
    else if (this.booking.isTrial) this.#await("trial", this.headMs, trialStreamMs);
    else this.#await("answer", this.headMs, this.#owner.service.timeouts.idleMs);
  }

  /** The head that came is kept for as long as something better may come; it counts as what it is. */
  hold(): void {
    this.#disarm();
    this.booking.end("error_status", 0, this.headMs);
    this.#owner.carrier.body?.detach();
  }

  /** Ends it from outside: because of an error, or because another one's answer is taken. Does nothing where it is over. */
  abort(error: GatewayError | undefined): void {
    if (this.#over) return;
    this.#pending?.cancel();
    this.call?.abort();
    this.#end(this.#outcomeOf(error?.code));
  }

  onConnection(connection: UpstreamConnection): void {
    const { exchange, carrier, context } = this.#owner;
    const { request } = exchange;
    if (this.#pending !== undefined) {
      this.#pending = undefined;
      this.startMs = context.clock.now();
    }
    const target = targetOf(request);
    if (target === undefined) {
      connection.release(true, -1, this.startMs);
      this.#end("aborted");
      const cause = new Error("a step made the path one that HTTP forbids");
      this.#owner.refused(this, new GatewayError("HG_INTERNAL", { cause }));
      return;
    }
    const call = new UpstreamCall(connection, request.method, carrier.dechunk, this);
    this.call = call;
    exchange.upstreamStartMs = this.startMs;
    exchange.instanceAddress = connection.instance.address;
    const head = `${request.method} ${target} HTTP/1.1\r\n${carrier.requestLines(this.#hooked?.names, this.startMs)}${this.#hooked?.lines ?? ""}\r\n`;
    const { body } = carrier;
    if (body === undefined) {
      writeText(connection.socket, head, connection);
      this.#sent(call, this.startMs);
    } else this.#sendWithBody(call, head, body);
  }

  /** Also the pool's: no connection could be had. */
  onFailure(error: GatewayError): void {
    this.#pending = undefined;
    if (this.#accepted) {
      this.#end(outcomeOf(error));
      this.#owner.ended(error);
      return;
    }
    const stale = this.call?.onReused === true && !this.#answerBegan && error.code === "HG_UPSTREAM_RESET";
    if (stale) this.booking.blameless = true;
    this.#end(outcomeOf(error));
    this.#owner.failed(this, error, stale);
  }

  onInterim(head: ResponseHead): void {
    const { carrier } = this.#owner;
    if (head.status === 100) {
      if (!carrier.expectsContinue) return;
      if (this.#waiting === "continue") this.#disarm();
    }
    const statusLine = head.fields.raw.slice(0, head.fieldsStart);
    carrier.interim(statusLine + fieldLines(head.fields, head.fieldsStart, head.hopByHop, head.nominated));
  }

  onHead(head: ResponseHead): void {
    const { carrier, context } = this.#owner;
    if (head.status === 101 && !carrier.upgrade) {
      this.call?.abort();
      const cause = new Error("101 to a request without Upgrade");
      this.onFailure(new GatewayError("HG_UPSTREAM_PROTOCOL", { cause }));
      return;
    }
    const nowMs = context.clock.now();
    this.headMs = nowMs;
    this.booking.answered(head.status, this.#sentMs < 0 ? -1 : nowMs - this.#sentMs, this.retryAfterMs, nowMs);
    this.#owner.headCame(this, head);
  }

  onDone(): void {
    const status = this.call?.head?.status ?? 0;
    this.#end(status >= 500 ? "error_status" : "success");
    this.#owner.ended(undefined);
  }

  onDrain(): void {
    this.#owner.carrier.resumeBody();
  }

  onProgress(): void {
    this.#answerBegan = true;
    if (!this.#accepted) return;
    this.#streamed = true;
    if (this.#waiting === "answer") this.#awaitBody();
  }

  nowMs(): number {
    return this.#streamed || !this.#accepted ? this.#owner.context.clock.now() : this.headMs;
  }

  /** An attempt took too long, the wait for 100 Continue did, or a trial has shown enough. */
  fire(): void {
    switch (this.#waiting) {
      case "continue":
        this.#waiting = "answer";
        this.#owner.carrier.interim("HTTP/1.1 100 Continue\r\n");
        return;
      case "trial":
        this.booking.decide(this.#owner.context.clock.now());
        this.#awaitBody();
        return;
      case "answer":
        this.#timedOut();
    }
  }

  /** Milliseconds after which the instance that answered wants to be asked again, where it is busy and says so. */
  get retryAfterMs(): number | undefined {
    const head = this.call?.head;
    if (head === undefined || (head.status !== 503 && head.status !== 429)) return undefined;
    return retryAfterOf(head.fields.get("retry-after"), this.#owner.context.clock.wall());
  }

  /** The instance switched protocols, which is a success; its place is held until `endTunnel`. */
  leaveToTunnel(): void {
    this.#disarm();
    this.booking.decide(this.headMs);
  }

  endTunnel(): void {
    this.#end("success");
  }

  /** The answer waits for the client, which is not the instance's fault: its silence does not count meanwhile. */
  pauseIdle(): void {
    this.#disarm();
  }

  /** The client takes bytes again. */
  resumeIdle(): void {
    const { call } = this;
    if (call === undefined || call.complete) return;
    this.#awaitBody();
    call.resume();
  }

  #connect(): void {
    const { pool } = this.booking.member.instance;
    const idle = pool.takeIdle();
    if (idle === undefined) this.#pending = pool.request(this);
    else this.onConnection(idle);
  }

  /** A failure of the attempt itself has been dealt with when it rejects here; one of a hook ends the exchange. */
  #runHooks(): void {
    const { exchange, service, hooks } = this.#owner;
    const hooked = (this.#hooked = new HookedAttempt(exchange, service.name, exchange.instanceAddress));
    let sent = false;
    const send = (): Promise<void> =>
      new Promise((resolve, reject) => {
        sent = true;
        // A hook may come back when the client has long gone.
        if (this.#over) {
          reject(new GatewayError("HG_CLIENT_CLOSED"));
          return;
        }
        this.#hookDone = { resolve, reject };
        this.startMs = this.#owner.context.clock.now();
        this.#connect();
      });
    runHooks(hooks, hooked, send).catch((error: unknown) => {
      if (sent || this.#over) return;
      this.#end("aborted");
      this.#owner.refused(this, error);
    });
  }

  #sendWithBody(call: UpstreamCall, head: string, body: NonNullable<Carrier["body"]>): void {
    const { carrier, context } = this.#owner;
    const more = sendWithBody(call.connection, head, body, {
      onBody: () => {
        // While both sides send, either one's bytes show that the exchange is alive.
        if (this.armed && this.#accepted && !call.complete) this.#awaitBody();
      },
      onSent: () => {
        if (!this.#over) this.#sent(call, context.clock.now());
      },
    });
    if (body.complete) return;
    if (carrier.expectsContinue && body.bytes === 0) this.#await("continue", this.startMs, continueWaitMs);
    if (more) carrier.resumeBody();
  }

  /** The request has left in full: from here the instance is waited for. */
  #sent(call: UpstreamCall, nowMs: number): void {
    call.requestSent = true;
    this.#sentMs = nowMs;
    this.booking.sent(nowMs);
    if (this.headMs === 0) this.#await("answer", nowMs, this.#owner.service.headTimeoutMs);
  }

  #timedOut(): void {
    const { call } = this;
    if (call === undefined) return;
    call.abort();
    this.onFailure(new GatewayError("HG_UPSTREAM_TIMEOUT", { instance: call.connection.instance.address }));
  }

  #awaitBody(): void {
    const { context, service } = this.#owner;
    this.#await("answer", context.clock.now(), service.timeouts.idleMs);
  }

  #await(what: Waiting, nowMs: number, ms: number): void {
    this.#waiting = what;
    this.#owner.context.wheel.arm(this, nowMs + ms);
  }

  #disarm(): void {
    this.#waiting = "answer";
    this.#owner.context.wheel.disarm(this);
  }

  /** What an end from outside says of the instance. */
  #outcomeOf(code: ErrorCode | undefined): Outcome {
    if (code === "HG_UPSTREAM_TIMEOUT") return "timeout";
    if (code !== "HG_TIMEOUT" || this.#sentMs < 0 || this.headMs > 0) return "aborted";
    // The exchange's time ran out on it. If most of that time had gone before it was sent, it is not to blame.
    const { exchange, context } = this.#owner;
    const nowMs = context.clock.now();
    return (nowMs - this.#sentMs) * 2 >= nowMs - exchange.startedMs ? "timeout" : "aborted";
  }

  /** Books the end, once. */
  #end(outcome: Outcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#disarm();
    const nowMs = this.nowMs();
    this.booking.end(outcome, this.#sentMs < 0 ? 0 : nowMs - this.#sentMs, nowMs);
    if (outcome !== "success") this.#owner.carrier.body?.detach();
    this.#hookDone?.reject(new GatewayError("HG_UPSTREAM_RESET", { instance: this.booking.member.address }));
    this.#hookDone = undefined;
  }
}
