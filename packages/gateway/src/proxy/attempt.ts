import type { Clock, Random } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Wheel } from "../core/wheel.ts";
import { Timed } from "../core/wheel.ts";
import { HookedAttempt, runHooks } from "./attempt-hooks.ts";
import type { Carrier, ExchangeRun } from "./carrier.ts";
import type { Exchange } from "./exchange.ts";
import type { Decision, Failure } from "./forward.ts";
import { decideRetry } from "./forward.ts";
import type { ResponseHead } from "./http1/parse-response.ts";
import { fieldLines } from "./http1/write-head.ts";
import { writeText } from "./http1/wire.ts";
import type { AttemptHook } from "./middleware.ts";
import { sendWithBody, targetOf } from "./send.ts";
import type { CallEvents } from "./upstream/call.ts";
import { UpstreamCall } from "./upstream/call.ts";
import type { UpstreamConnection } from "./upstream/connection.ts";
import type { Instance, Outcome } from "./upstream/instance.ts";
import { outcomeOf } from "./upstream/instance.ts";
import type { PendingConnection, Waiter } from "./upstream/pool.ts";
import type { Service } from "./upstream/service.ts";

/** How long an instance may leave `Expect: 100-continue` unanswered before the gateway lets the client send. */
const continueWaitMs = 1_000;

/** What attempts need of the thread they run in. */
export interface ForwardContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: Wheel;
  /** Calls back after about that many milliseconds; returns how to stop it. */
  after(ms: number, callback: () => void): () => void;
  countRetry(service: string, reason: string): void;
}

/**
 * The attempts of one exchange at one service, until a head is there or the last one failed. It does what
 * `decideRetry` decides. After the head it watches the body until the answer is over.
 */
export class ForwardRun extends Timed implements CallEvents, ExchangeRun, Waiter {
  /** The call whose head was accepted. */
  answered: UpstreamCall | undefined;
  readonly #exchange: Exchange;
  readonly #carrier: Carrier;
  readonly #service: Service;
  readonly #hooks: readonly AttemptHook[];
  readonly #context: ForwardContext;
  /** The timer ends the wait for the instance's 100 Continue instead of the attempt. */
  #awaitsContinue = false;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #tried: Set<Instance> | undefined;
  #instance: Instance | undefined;
  #pending: PendingConnection | undefined;
  #call: UpstreamCall | undefined;
  #stopWaiting: (() => void) | undefined;
  #retries = 0;
  #stale = 0;
  #retrying = false;
  #answerBegan = false;
  #hooked: HookedAttempt | undefined;
  #hookDone: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  /** Nothing more will be tried. */
  settled = false;
  /** The answer took more than one read. */
  #streamed = false;

  constructor(
    exchange: Exchange,
    carrier: Carrier,
    service: Service,
    hooks: readonly AttemptHook[],
    context: ForwardContext,
  ) {
    super();
    this.#exchange = exchange;
    this.#carrier = carrier;
    this.#service = service;
    this.#hooks = hooks;
    this.#context = context;
  }

  /** Resolves when an instance's head is on the exchange; rejects with the last attempt's GatewayError. */
  start(): Promise<void> {
    this.#exchange.serviceName = this.#service.name;
    this.#service.load.active++;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { request } = this.#exchange;
      // A limit that a step set after the bytes had come.
      if ((this.#carrier.body?.bytes ?? 0) > request.bodyBytesMax) {
        this.#settle(new GatewayError("HG_BODY_TOO_LARGE", { detail: `The limit is ${request.bodyBytesMax} bytes.` }));
      } else this.#try();
    });
  }

  /** Ends it from outside (the client went away, the exchange's time is over, a step replaced the answer). */
  abort(error: GatewayError): void {
    this.#stopWaiting?.();
    this.#pending?.cancel();
    this.#call?.abort();
    this.#endAttempt("aborted");
    this.#settle(error);
  }

  onConnection(connection: UpstreamConnection): void {
    this.#pending = undefined;
    const exchange = this.#exchange;
    const { request } = exchange;
    const target = targetOf(request);
    if (target === undefined) {
      connection.release(true, -1, this.#context.clock.now());
      this.#endAttempt("aborted");
      this.#settle(new GatewayError("HG_INTERNAL", { cause: new Error("a step made the path one that HTTP forbids") }));
      return;
    }
    const call = new UpstreamCall(connection, request.method, this.#carrier.dechunk, this);
    this.#call = call;
    exchange.upstreamStartMs = this.#context.clock.now();
    const head = `${request.method} ${target} HTTP/1.1\r\n${this.#carrier.requestLines(this.#hooked?.names)}${this.#hooked?.lines ?? ""}\r\n`;
    const { body } = this.#carrier;
    if (body === undefined) {
      writeText(connection.socket, head, connection);
      this.#sent(call);
    } else this.#sendWithBody(call, head, body);
  }

  /** Also the pool's: no connection could be had. */
  onFailure(error: GatewayError): void {
    this.#pending = undefined;
    if (this.answered !== undefined) {
      this.#endAttempt(outcomeOf(error));
      this.#settle(error);
      this.#exchange.error ??= error;
      this.#carrier.cut();
      return;
    }
    const stale =
      this.#call !== undefined && this.#call.onReused && !this.#answerBegan && error.code === "HG_UPSTREAM_RESET";
    this.#endAttempt(outcomeOf(error));
    this.#decide({ error, stale }, error);
  }

  onInterim(head: ResponseHead): void {
    if (head.status === 100) {
      if (!this.#carrier.expectsContinue) return;
      this.#awaitsContinue = false;
      this.#context.wheel.disarm(this);
    }
    const statusLine = head.fields.raw.slice(0, head.fieldsStart);
    this.#carrier.interim(statusLine + fieldLines(head.fields, head.fieldsStart, head.hopByHop, head.nominated));
  }

  onHead(head: ResponseHead): void {
    const exchange = this.#exchange;
    if (head.status === 101 && !this.#carrier.upgrade) {
      this.#call?.abort();
      this.onFailure(
        new GatewayError("HG_UPSTREAM_PROTOCOL", { cause: new Error("101 to a request without Upgrade") }),
      );
      return;
    }
    if (this.#service.retriesStatus(head.status) && this.#canRetryStatus(head.status)) return;
    exchange.upstreamHeadMs = this.#context.clock.now();
    this.answered = this.#call;
    this.#awaitsContinue = false;
    const { response } = exchange;
    response.status = head.status;
    response.headers = head.fields;
    response.source = "upstream";
    if (this.answered?.complete === true) this.#context.wheel.disarm(this);
    else this.#arm(exchange.upstreamHeadMs, this.#service.timeouts.idleMs);
    this.#hookDone?.resolve();
    this.#resolve();
  }

  onDone(): void {
    const status = this.answered?.head?.status ?? 0;
    this.#endAttempt(status >= 500 ? "error_status" : "success");
    this.#settle(undefined);
  }

  onDrain(): void {
    this.#carrier.resumeBody();
  }

  onProgress(): void {
    this.#answerBegan = true;
    if (this.answered === undefined) return;
    this.#streamed = true;
    this.#arm(this.#context.clock.now(), this.#service.timeouts.idleMs);
  }

  nowMs(): number {
    return this.#streamed || this.answered === undefined ? this.#context.clock.now() : this.#exchange.upstreamHeadMs;
  }

  /** An attempt took too long, or the wait for 100 Continue did. */
  fire(): void {
    if (this.#awaitsContinue) {
      this.#awaitsContinue = false;
      this.#carrier.interim("HTTP/1.1 100 Continue\r\n");
    } else this.#timedOut();
  }

  /** The instance switched protocols: the attempt is a success, what follows belongs to the tunnel. */
  leaveToTunnel(): void {
    this.#endAttempt("success");
    this.#settle(undefined);
  }

  /** The answer waits for the client, which is not the instance's fault: its silence does not count meanwhile. */
  pauseIdle(): void {
    this.#context.wheel.disarm(this);
  }

  /** The client takes bytes again. */
  resumeIdle(): void {
    const call = this.answered;
    if (call === undefined || call.complete) return;
    this.#arm(this.#context.clock.now(), this.#service.timeouts.idleMs);
    call.resume();
  }

  #try(): void {
    const instance = this.#service.pick(this.#tried);
    if (instance === undefined) {
      this.#settle(new GatewayError("HG_NO_INSTANCE"));
      return;
    }
    this.#instance = instance;
    this.#answerBegan = false;
    this.#exchange.attempts++;
    this.#exchange.instanceAddress = instance.address;
    instance.active++;
    if (this.#hooks.length > 0) this.#runHooks(instance);
    else this.#connect(instance);
  }

  #connect(instance: Instance): void {
    const idle = instance.pool.takeIdle();
    if (idle === undefined) this.#pending = instance.pool.request(this);
    else this.onConnection(idle);
  }

  /** A failure of the attempt itself has been dealt with when it rejects here; one of a hook ends the exchange. */
  #runHooks(instance: Instance): void {
    const attempt = (this.#hooked = new HookedAttempt(this.#exchange, this.#service.name, instance.address));
    let sent = false;
    const send = (): Promise<void> =>
      new Promise((resolve, reject) => {
        sent = true;
        // A hook may come back when the client has long gone.
        if (this.settled || this.#hooked !== attempt) {
          reject(new GatewayError("HG_CLIENT_CLOSED"));
          return;
        }
        this.#hookDone = { resolve, reject };
        this.#connect(instance);
      });
    runHooks(this.#hooks, attempt, send).catch((error: unknown) => {
      if (sent || this.#hooked !== attempt) return;
      this.#endAttempt("aborted");
      this.#settle(error);
    });
  }

  #sendWithBody(call: UpstreamCall, head: string, body: NonNullable<Carrier["body"]>): void {
    const more = sendWithBody(call.connection, head, body, {
      onBody: () => {
        // While both sides send, either one's bytes show that the exchange is alive.
        if (this.armed && this.answered?.complete === false) {
          this.#arm(this.#context.clock.now(), this.#service.timeouts.idleMs);
        }
      },
      onSent: () => {
        if (this.#call === call) this.#sent(call);
      },
    });
    if (body.complete) return;
    if (this.#carrier.expectsContinue && body.bytes === 0) {
      this.#awaitsContinue = true;
      this.#arm(this.#exchange.upstreamStartMs, continueWaitMs);
    }
    if (more) this.#carrier.resumeBody();
  }

  /** The request has left in full: from here the instance is waited for. */
  #sent(call: UpstreamCall): void {
    call.requestSent = true;
    if (this.answered !== undefined) return;
    this.#awaitsContinue = false;
    // Without a body this is still the moment at which the head was written.
    const nowMs = this.#carrier.body === undefined ? this.#exchange.upstreamStartMs : this.#context.clock.now();
    this.#arm(nowMs, this.#service.headTimeoutMs);
  }

  #timedOut(): void {
    const call = this.#call;
    if (call === undefined) return;
    call.abort();
    this.onFailure(new GatewayError("HG_UPSTREAM_TIMEOUT", { instance: call.connection.instance.address }));
  }

  #arm(nowMs: number, ms: number): void {
    this.#context.wheel.arm(this, nowMs + ms);
  }

  #canRetryStatus(status: number): boolean {
    const decision = this.#decision({ status });
    if (decision.do === "fail") return false;
    this.#call?.abort();
    this.#endAttempt("error_status");
    this.#retry(decision);
    return true;
  }

  #decide(failure: Failure, error: GatewayError): void {
    const decision = this.#decision(failure);
    if (decision.do === "retry") this.#retry(decision);
    else this.#settle(error);
  }

  #decision(failure: Failure): Decision {
    const { body } = this.#carrier;
    return decideRetry(
      failure,
      this.#service.retry,
      {
        method: this.#exchange.request.method,
        carriesKey: this.#carrier.carriesKey,
        replayable: !this.settled && (body === undefined || body.replayable),
        retries: this.#retries,
        staleConnections: this.#stale,
        active: this.#service.load.active,
        activeRetries: this.#service.load.retries,
      },
      this.#context.random,
    );
  }

  #retry(decision: Extract<Decision, { do: "retry" }>): void {
    this.#context.countRetry(this.#service.name, decision.reason);
    if (decision.counts) {
      this.#retries++;
      if (!this.#retrying) {
        this.#retrying = true;
        this.#service.load.retries++;
      }
    } else this.#stale++;
    if (decision.waitMs < 1) this.#try();
    else {
      this.#stopWaiting = this.#context.after(decision.waitMs, () => {
        this.#stopWaiting = undefined;
        this.#try();
      });
    }
  }

  /** Books the end of the current attempt, once. */
  #endAttempt(outcome: Outcome): void {
    this.#context.wheel.disarm(this);
    const instance = this.#instance;
    if (instance === undefined) return;
    this.#instance = undefined;
    this.#awaitsContinue = false;
    instance.active--;
    instance.count(outcome);
    const { upstreamHeadMs, upstreamStartMs } = this.#exchange;
    if (this.answered !== undefined) this.#service.duration.observe((upstreamHeadMs - upstreamStartMs) / 1000);
    if (outcome !== "success") {
      (this.#tried ??= new Set()).add(instance);
      this.#carrier.body?.detach();
      this.#hookDone?.reject(new GatewayError("HG_UPSTREAM_RESET", { instance: instance.address }));
    }
    this.#hookDone = undefined;
    this.#call = undefined;
  }

  #settle(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#service.load.active--;
    if (this.#retrying) this.#service.load.retries--;
    if (error !== undefined && this.answered === undefined) this.#reject(error);
  }
}
