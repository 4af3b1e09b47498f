import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Seal } from "../../core/seal.ts";
import type { Timers } from "../../core/timers.ts";
import type { HandedOver, NewMessage, QueueFromWorker } from "../../proxy/message.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { Dispatcher, type Courier } from "./dispatch.ts";
import { QueueError, type Death, type DeathCause, type Queue, type QueueStats } from "./queue.ts";
import { QueueView } from "./view.ts";

/** How often is told what died, and what there is. */
const tellMs = 1_000;

/** A message that has gone to the dead-letter list, and why. */
export interface ToldDeath extends Death {
  readonly cause: DeathCause;
}

export interface StoreAndForwardOptions {
  /** Opens the queue: when it is known to hold something, or when the first message comes. */
  readonly open: () => Queue;
  /** Whether there may be messages already. */
  readonly mayHold: boolean;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Messages that died since it was called last. */
  readonly onDeaths: (deaths: readonly ToldDeath[]) => void;
}

interface Opened {
  readonly queue: Queue;
  readonly dispatcher: Dispatcher;
}

/** Requests of routes with `delivery`: from the workers into the queue, from the queue to the workers. */
export class StoreAndForward {
  readonly #options: StoreAndForwardOptions;
  readonly #couriers = new Set<Courier>();
  #opened: Opened | undefined;
  #stopped = false;
  #deaths: ToldDeath[] = [];
  #stopTelling = (): void => {};

  constructor(options: StoreAndForwardOptions) {
    this.#options = options;
  }

  /** As operators see and change it. */
  view(seal: Seal): QueueView {
    return new QueueView(
      () => (this.#opened ?? (this.#options.mayHold ? this.#open() : undefined))?.queue,
      seal,
      () => this.#opened?.dispatcher.poke(),
    );
  }

  /** Goes on with what was left. */
  start(): void {
    if (this.#options.mayHold) this.#open();
  }

  /** A worker serves, and may be given messages. */
  joined(courier: Courier): void {
    this.#couriers.add(courier);
    this.#opened?.dispatcher.joined(courier);
  }

  /** A worker has ended. */
  left(courier: Courier): void {
    this.#couriers.delete(courier);
    this.#opened?.dispatcher.left(courier);
  }

  /** What a worker says about messages. */
  receive(courier: Courier, message: QueueFromWorker): void {
    if (message.type === "enqueue") void this.#enqueue(courier, message.message);
    else this.#opened?.dispatcher.ended(message.call, message.outcome);
  }

  /** Nothing more is delivered; what is under way is finished. Requests are taken as long as workers hand them over. */
  stop(): void {
    this.#stopped = true;
    this.#opened?.dispatcher.stop();
  }

  /** Comes after `stop`, when the workers have ended. */
  async close(): Promise<void> {
    this.#stopped = true;
    this.#stopTelling();
    const { dispatcher, queue } = this.#opened ?? {};
    await dispatcher?.close();
    await queue?.close();
    this.#tellDeaths();
  }

  async #enqueue(courier: Courier, message: NewMessage): Promise<void> {
    const { id } = message;
    let result: HandedOver;
    try {
      const { queue, dispatcher } = this.#open();
      result = await queue.enqueue(message);
      dispatcher.poke();
    } catch (error) {
      result = refusalOf(error);
      if (!(error instanceof QueueError)) this.#options.log.error({ err: error }, "A message could not be queued.");
    }
    courier.post({ type: "enqueued", messageId: id, result });
  }

  #open(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    const { open, metrics, timers } = this.#options;
    const queue = open();
    const dispatcher = new Dispatcher({
      ...this.#options,
      queue,
      count: (service, outcome, messages) =>
        metrics.counter("queue_deliveries_total", { service, outcome }).add(messages),
      onDeath: (death, cause) => this.#deaths.push({ ...death, cause }),
    });
    if (!this.#stopped) for (const courier of this.#couriers) dispatcher.joined(courier);
    this.#stopTelling = timers.every(tellMs, () => void this.#tell(queue));
    return (this.#opened = { queue, dispatcher });
  }

  async #tell(queue: Queue): Promise<void> {
    this.#tellDeaths();
    // The dispatcher has said that the queue is away.
    const stats = await queue.stats().catch(() => undefined);
    if (stats !== undefined) this.#gauge(stats);
  }

  #gauge({ waiting, delivering, dead, bytes, oldestAtMs, dropped }: QueueStats): void {
    const { metrics, clock } = this.#options;
    for (const [state, count] of Object.entries({ waiting, delivering, dead })) {
      metrics.gauge("queue_messages", { state }).set(count);
    }
    metrics.gauge("queue_bytes").set(bytes);
    metrics.gauge("queue_dead_letters_dropped").set(dropped);
    const ageMs = oldestAtMs === undefined ? 0 : Math.max(0, clock.wall() - oldestAtMs);
    metrics.gauge("queue_oldest_seconds").set(ageMs / 1_000);
  }

  #tellDeaths(): void {
    if (this.#deaths.length === 0) return;
    const deaths = this.#deaths;
    this.#deaths = [];
    const counts = new Map<string, number>();
    for (const { service, cause } of deaths) {
      const key = `${service} (${cause})`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    for (const [what, count] of counts) {
      this.#options.log.warn({}, `${count} message${count === 1 ? "" : "s"} went to the dead-letter list: ${what}`);
    }
    this.#options.onDeaths(deaths);
  }
}

/** What the client is told. */
function refusalOf(error: unknown): HandedOver {
  if (!(error instanceof QueueError)) {
    return { kind: "refused", code: "HG_OVERLOADED", detail: "The request could not be queued." };
  }
  const code = error.code === "conflict" ? "HG_IDEMPOTENCY_CONFLICT" : "HG_OVERLOADED";
  // Paths and what a disk says are not the client's.
  return { kind: "refused", code, detail: error.code === "away" ? "The queue cannot be written to." : error.message };
}
