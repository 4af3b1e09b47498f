import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import type { DeliveryOutcome, QueueToWorker } from "../../proxy/message.ts";
import { Gate } from "./gate.ts";
import { QueueError, type Death, type DeathCause, type Lease, type Queue, type Reserved } from "./queue.ts";
import { judge, type Verdict } from "./verdict.ts";

/** Most deliveries of a gateway at a time. */
export const deliveriesMax = 256;
/** Most bytes of messages that are on their way. */
export const deliveryBytesMax = 64 * 1024 * 1024;
/** How long a message stays with a gateway that does not speak any more. */
export const leaseMs = 30_000;
const renewMs = 10_000;
/** How often the queue is asked for what others put there, and what ended. */
const pollMs = 1_000;
/** Where nothing could be taken of what was due: it is asked again a little later, not at once. */
const emptyMs = 50;
/** Messages that are buried in one step because their time is over. */
const expiredPerStep = 500;
const settleAgainMs = 500;

/** A worker that delivers. */
export interface Courier {
  post(message: QueueToWorker): void;
}

/** How a delivery ended, as the metrics name it. */
export type DeliveryResult = "delivered" | "retried" | "refused" | "unreadable" | "deferred" | "expired";

export interface DispatcherOptions {
  readonly queue: Queue;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly count: (service: string, result: DeliveryResult, messages: number) => void;
  readonly onDeath: (death: Death, cause: DeathCause) => void;
}

interface UnderWay {
  readonly message: Reserved;
  readonly courier: Courier;
  readonly gate: Gate;
}

/**
 * Takes messages from the queue as they become due and gives them to the workers to be delivered; does with each what the
 * outcome asks for. What it has taken stays its own as long as it lives; what it cannot settle because the queue is away
 * it settles later, and takes nothing new for that service meanwhile.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #gates = new Map<string, Gate>();
  readonly #couriers = new Map<Courier, number>();
  readonly #underWay = new Map<number, UnderWay>();
  readonly #held = new Map<number, Lease>();
  #lastCall = 0;
  #bytes = 0;
  #turn = 0;
  #stopped = false;
  #isPumping = false;
  #again = false;
  #expiring = false;
  #away = false;
  #stopTimer = (): void => {};
  readonly #stops: (() => void)[];

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { timers } = options;
    this.#stops = [timers.every(renewMs, () => void this.#renew()), timers.every(pollMs, () => void this.#expire())];
  }

  /** A worker may be given messages. */
  joined(courier: Courier): void {
    this.#couriers.set(courier, 0);
    this.poke();
  }

  /** A worker has ended: what became of its deliveries nobody knows. */
  left(courier: Courier): void {
    this.#couriers.delete(courier);
    const text = "The worker that delivered it ended.";
    for (const [call, { courier: whose }] of [...this.#underWay]) {
      if (whose !== courier) continue;
      this.ended(call, { kind: "error", code: "HG_INTERNAL", nothingSent: false, detail: text, instance: "" });
    }
  }

  /** A delivery has ended. */
  ended(call: number, outcome: DeliveryOutcome): void {
    const found = this.#underWay.get(call);
    if (found === undefined) return;
    this.#underWay.delete(call);
    const { message, courier, gate } = found;
    const deliveries = this.#couriers.get(courier);
    if (deliveries !== undefined) this.#couriers.set(courier, deliveries - 1);
    void this.#finish(call, message, gate, judge(outcome, message, this.#options.random));
  }

  /** There may be something to deliver. */
  poke(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#stopTimer();
    void this.#pump();
  }

  /** Takes nothing more. What is under way goes on. */
  stop(): void {
    this.#stopped = true;
    this.#stopTimer();
  }

  /** Gives back what is still under way, so that it need not be waited for. Comes after `stop`, when the workers have ended. */
  async close(): Promise<void> {
    this.stop();
    for (const stop of this.#stops) stop();
    const leases = [...this.#held.values()];
    if (leases.length > 0) await this.#options.queue.release(leases).catch(() => undefined);
  }

  /** One round after the other for as long as somebody pokes; never two at a time. */
  async #pump(): Promise<void> {
    let nextMs = pollMs;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        nextMs = await this.#round();
        this.#away = false;
      } catch (error) {
        this.#report(error);
        nextMs = pollMs;
      }
    }
    this.#isPumping = false;
    if (!this.#stopped) this.#stopTimer = this.#options.timers.after(nextMs, () => this.poke());
  }

  /** Sends what may be sent now. How long until there may be more. */
  async #round(): Promise<number> {
    if (this.#couriers.size === 0) return pollMs;
    const { queue, clock } = this.#options;
    const due = await queue.due();
    this.#forgetGates(new Set(due.map(({ service }) => service)));
    let nextMs = pollMs;
    // Where all together are too many, each round begins with another one.
    const first = due.length === 0 ? 0 : this.#turn++ % due.length;
    for (const { service, inMs } of [...due.slice(first), ...due.slice(0, first)]) {
      const gate = this.#gateOf(service);
      const nowMs = clock.now();
      const waitMs = Math.max(inMs, gate.shutForMs(nowMs));
      const free = Math.min(gate.free(nowMs), deliveriesMax - this.#held.size);
      if (waitMs > 0) nextMs = Math.min(nextMs, waitMs);
      else if (
        free > 0 &&
        this.#bytes < deliveryBytesMax &&
        !this.#stopped &&
        (await this.#take(service, gate, free)) === 0
      ) {
        nextMs = Math.min(nextMs, emptyMs);
      }
    }
    return nextMs;
  }

  async #take(service: string, gate: Gate, free: number): Promise<number> {
    const taken = await this.#options.queue.reserve(service, free, deliveryBytesMax - this.#bytes, leaseMs);
    if (this.#stopped) {
      await this.#options.queue.release(taken.map(({ lease }) => lease));
      return 0;
    }
    gate.begin(taken.length);
    for (const message of taken) this.#send(message, gate);
    return taken.length;
  }

  #send(message: Reserved, gate: Gate): void {
    const call = ++this.#lastCall;
    const { lease, route, service, head, body } = message;
    this.#held.set(call, lease);
    this.#bytes += message.bytes;
    const courier = this.#leastBusy();
    if (courier === undefined) {
      void this.#finish(call, message, gate, { do: "wait", serviceWaitMs: 0 });
      return;
    }
    this.#underWay.set(call, { message, courier, gate });
    this.#couriers.set(courier, (this.#couriers.get(courier) ?? 0) + 1);
    const delivery = { id: lease.id, route, service, head, ...(body === undefined ? {} : { body }) };
    courier.post({ type: "deliver", call, delivery });
  }

  #leastBusy(): Courier | undefined {
    let found: Courier | undefined;
    let least = Infinity;
    for (const [courier, deliveries] of this.#couriers) {
      if (deliveries >= least) continue;
      found = courier;
      least = deliveries;
    }
    return found;
  }

  /** Tells the queue; the place of the message is free only then. */
  async #finish(call: number, message: Reserved, gate: Gate, verdict: Verdict): Promise<void> {
    const { clock, random, timers } = this.#options;
    for (;;) {
      try {
        await this.#settle(message, verdict);
        break;
      } catch (error) {
        this.#report(error);
        // Somebody else takes it when the lease is over, and the instance can tell by its key.
        if (this.#stopped) break;
        await new Promise<void>((resolve) => void timers.after(settleAgainMs, resolve));
      }
    }
    this.#held.delete(call);
    this.#bytes -= message.bytes;
    gate.end(verdict, clock.now(), random);
    this.#tell(message, verdict);
    this.poke();
  }

  #settle({ lease }: Reserved, verdict: Verdict): Promise<void> {
    const { queue, clock } = this.#options;
    switch (verdict.do) {
      case "ack":
        return queue.ack(lease);
      case "retry":
        return queue.nack(lease, verdict.delayMs, { atMs: clock.wall(), text: verdict.text });
      case "bury":
        return queue.bury(lease, verdict.cause, { atMs: clock.wall(), text: verdict.text });
      case "wait":
        return queue.release([lease]);
    }
  }

  #tell({ lease: { id }, route, service }: Reserved, verdict: Verdict): void {
    const { count, onDeath } = this.#options;
    if (verdict.do === "ack") count(service, "delivered", 1);
    else if (verdict.do === "retry") count(service, "retried", 1);
    else if (verdict.do === "wait") count(service, "deferred", 1);
    else {
      count(service, verdict.cause === "unreadable" ? "unreadable" : "refused", 1);
      onDeath({ id, route, service }, verdict.cause);
    }
  }

  async #renew(): Promise<void> {
    if (this.#held.size === 0) return;
    await this.#options.queue.renew([...this.#held.values()], leaseMs).catch((error: unknown) => this.#report(error));
  }

  async #expire(): Promise<void> {
    const { queue, count, onDeath } = this.#options;
    if (this.#expiring) return;
    this.#expiring = true;
    try {
      for (let deaths: readonly Death[]; !this.#stopped;) {
        deaths = await queue.expire(expiredPerStep);
        for (const death of deaths) {
          count(death.service, "expired", 1);
          onDeath(death, "deadline");
        }
        if (deaths.length < expiredPerStep) break;
      }
    } catch (error) {
      this.#report(error);
    }
    this.#expiring = false;
  }

  /** Once, until it is back. */
  #report(error: unknown): void {
    if (this.#away) return;
    this.#away = true;
    const reason = error instanceof QueueError ? error.message : String(error);
    this.#options.log.warn({ err: error }, `messages are not delivered for now: ${reason}`);
  }

  #gateOf(service: string): Gate {
    let gate = this.#gates.get(service);
    if (gate === undefined) this.#gates.set(service, (gate = new Gate()));
    return gate;
  }

  /** Of services that have no message: what was learned of them is old when the next one comes. */
  #forgetGates(due: ReadonlySet<string>): void {
    const nowMs = this.#options.clock.now();
    for (const [service, gate] of this.#gates) {
      if (!due.has(service) && gate.inFlight === 0 && gate.shutForMs(nowMs) === 0) this.#gates.delete(service);
    }
  }
}
