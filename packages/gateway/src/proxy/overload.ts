import type { Importance, OverloadSettings } from "@headgate/schema";
import type { Clock, Random } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { EventLoop, LoopEcho } from "../core/event-loop.ts";
import type { Log } from "../core/log.ts";
import type { CounterHandle, Metrics } from "../telemetry/metrics.ts";

/**
 * How long requests have to wait, in `delayMs`, before those of an importance are refused: from one time on, and more and
 * more of them up to all at twice of that.
 */
const refusedFrom: Readonly<Record<Importance, number>> = { low: 1, normal: 2, high: 4, critical: Infinity };
/** They have to wait for between one and two of these without a break; a pause of the garbage collector is not load. */
const sustainedMs = 500;
/** Once it refuses, it does so until the wait was shorter than this share of `delayMs`. */
const disarmedShare = 0.5;
/** Between two echoes, at least, while requests come. */
const echoEveryMs = 20;
/** Time constant of the average of the utilisation. */
const utilizationMs = 500;
/** Between two lines in the log that say so. */
const logEveryMs = 30_000;

/** What the shedder needs of the thread it runs in. */
export interface ShedderContext {
  readonly clock: Clock;
  readonly loop: EventLoop;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly log: Log;
}

/**
 * Refuses requests at the door of a worker that has more to do than it can, before anything is done for them.
 *
 * What is measured is how long what comes to the worker waits for its turn: while requests come it sends itself an echo
 * every 20 ms or when the last one is back, which waits in the same queue as the requests that come with it. A worker that is busy all the time, but
 * gets through all its connections in less than `delayMs`, works at its limit and answers in time, as under a benchmark
 * that sends the next request when it has the answer: nobody is refused.
 *
 * Nothing is refused before each echo waited `delayMs` or longer for at least half a second (the minimum is taken, as
 * CoDel does, K. Nichols and V. Jacobson 2012: a queue that drains now and then does good), with a busy event loop. Then
 * the wait of the last echo, or the age of the one that is on its way, decides which share of each importance is
 * refused. As it is the wait of just the requests that are being read, what is refused shortens it at once: the wait
 * settles where as much is refused as is too much, and does not swing.
 */
export class Shedder {
  /** What a refused exchange ends in: HG_OVERLOADED, 503, with Retry-After. One for all. */
  readonly refusal = new GatewayError("HG_OVERLOADED", {
    detail: "The gateway is overloaded.",
    headers: { "retry-after": "1" },
  });
  readonly #settings: OverloadSettings;
  readonly #context: ShedderContext;
  readonly #echo: LoopEcho;
  readonly #counters = new Map<Importance, CounterHandle>();
  /** When the last echo was sent. One is on its way at a time: of several the loop sees to all when it comes to the first. */
  #sentMs = -Infinity;
  #onItsWay = false;
  #waitMs = 0;
  /** Refuses those that wait too long. */
  #armed = false;
  #busy = 0;
  #measuredMs: number;
  /** Shortest wait of the last two parts of time. */
  #leastMs = 0;
  #leastBeforeMs = 0;
  #partEndsMs = -Infinity;
  #loggedMs = -Infinity;

  constructor(settings: OverloadSettings, context: ShedderContext) {
    this.#settings = settings;
    this.#context = context;
    this.#measuredMs = context.clock.now();
    this.#echo = context.loop.echo(() => this.#onEcho(context.clock.now()));
  }

  /** Whether a request that was read just now is to be refused, with `refusal`; counted where it is. */
  refuses(importance: Importance = "normal", nowMs: number): boolean {
    const ageMs = nowMs - this.#sentMs;
    if (!this.#onItsWay && ageMs >= echoEveryMs) this.#sendEcho(ageMs, nowMs);
    if (!this.#armed) return false;
    const waitMs = this.#onItsWay ? Math.max(this.#waitMs, nowMs - this.#sentMs) : this.#waitMs;
    const fromMs = this.#settings.delayMs * refusedFrom[importance];
    if (waitMs <= fromMs || this.#context.random() >= waitMs / fromMs - 1) return false;
    this.#count(importance);
    this.#tell(waitMs, nowMs);
    return true;
  }

  /** Ends what keeps the thread from ending. */
  close(): void {
    this.#echo.close();
  }

  #sendEcho(pauseMs: number, nowMs: number): void {
    // There was nobody to be refused for a while: what was measured before says nothing.
    if (pauseMs > sustainedMs + this.#waitMs) {
      this.#armed = false;
      this.#leastMs = this.#leastBeforeMs = this.#waitMs = 0;
    }
    this.#sentMs = nowMs;
    this.#onItsWay = true;
    this.#echo.send();
  }

  #onEcho(nowMs: number): void {
    const waitMs = nowMs - this.#sentMs;
    this.#onItsWay = false;
    this.#waitMs = waitMs;
    if (nowMs < this.#partEndsMs) this.#leastMs = Math.min(this.#leastMs, waitMs);
    else {
      this.#leastBeforeMs = this.#leastMs;
      this.#leastMs = waitMs;
      this.#partEndsMs = nowMs + sustainedMs;
    }
    const share = 1 - Math.exp((this.#measuredMs - nowMs) / utilizationMs);
    this.#measuredMs = nowMs;
    this.#busy += (this.#context.loop.utilization() - this.#busy) * share;
    const { delayMs, utilizationRatio } = this.#settings;
    // To refuse makes the wait shorter; that must not be what ends it.
    const enoughMs = this.#armed ? delayMs * disarmedShare : delayMs;
    this.#armed = Math.min(this.#leastMs, this.#leastBeforeMs) >= enoughMs && this.#busy >= utilizationRatio;
  }

  #count(importance: Importance): void {
    let counter = this.#counters.get(importance);
    if (counter === undefined) {
      counter = this.#context.metrics.counter("shed_total", { importance });
      this.#counters.set(importance, counter);
    }
    counter.add(1);
  }

  #tell(waitMs: number, nowMs: number): void {
    if (nowMs - this.#loggedMs < logEveryMs) return;
    this.#loggedMs = nowMs;
    this.#context.log.warn(
      { waitMs: Math.round(waitMs) },
      "This worker has more to do than it can: requests are refused, the least important first.",
    );
  }
}
