import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { Seal } from "../core/seal.ts";
import type { Wheel } from "../core/wheel.ts";
import { deliver, type DeliveryTarget } from "./deliver.ts";
import { EnqueueRun } from "./enqueue.ts";
import type { Delivery, DeliveryOutcome, QueueFromWorker, QueueToWorker } from "./message.ts";
import { QueueLine } from "./queue-line.ts";
import { Route, type EnqueueFor, type ForwardTo } from "./route.ts";
import type { Live } from "./snapshot.ts";

/** How a worker reaches the queue. `key`: 32 bytes that messages are sealed with; absent: they are not. */
export interface QueueAccess {
  readonly post: (message: QueueFromWorker) => void;
  readonly key?: Uint8Array;
}

export interface WorkerQueueOptions extends QueueAccess {
  readonly live: Live;
  readonly forward: ForwardTo;
  readonly clock: Clock;
  readonly wheel: Wheel;
  readonly makeId: () => string;
  readonly log: Log;
  /** The last delivery under way has ended. */
  readonly onIdle: () => void;
}

/** A worker's part in store-and-forward: hands requests over to the queue, and delivers the messages it is given. */
export class WorkerQueue {
  /** Deliveries under way. */
  active = 0;
  readonly #options: WorkerQueueOptions;
  readonly #line: QueueLine;

  constructor(options: WorkerQueueOptions) {
    this.#options = options;
    const { post, key, clock } = options;
    this.#line = new QueueLine({ post, clock, seal: new Seal(key), entropy: randomBytes });
  }

  /** The last step of a route with `delivery`. */
  readonly enqueue: EnqueueFor = (exchange, service, delivery) => {
    const { carrier } = exchange;
    if (carrier === undefined) return Promise.reject(new GatewayError("HG_INTERNAL"));
    // The client went away, or the time was over, while a step was still at work.
    if (carrier.over) return Promise.reject(exchange.error ?? new GatewayError("HG_CLIENT_CLOSED"));
    carrier.run?.abort(new GatewayError("HG_CLIENT_CLOSED"));
    const { clock, wheel } = this.#options;
    const run = new EnqueueRun(exchange, carrier, service.name, delivery, { clock, wheel, line: this.#line });
    carrier.run = run;
    return run.start();
  };

  receive(message: QueueToWorker): void {
    if (message.type === "enqueued") this.#line.receive(message.messageId, message.result);
    else void this.#deliver(message.call, message.delivery);
  }

  async #deliver(call: number, delivery: Delivery): Promise<void> {
    const { live, post, onIdle } = this.#options;
    const epoch = live.enter();
    this.active++;
    let outcome: DeliveryOutcome;
    try {
      outcome = await deliver(delivery, {
        ...this.#options,
        seal: this.#line.seal,
        find: (...where) => this.#find(...where),
      });
    } catch (error) {
      this.#options.log.error({ err: error, message: delivery.id }, "A message could not be delivered.");
      outcome = { kind: "error", code: "HG_INTERNAL", nothingSent: false, detail: String(error), instance: "" };
    }
    live.leave(epoch);
    post({ type: "delivered", call, outcome });
    if (--this.active === 0) onIdle();
  }

  /** A route that is gone leaves its messages what every route has, and the service's own. */
  #find(name: string, service: string): DeliveryTarget | undefined {
    const { live } = this.#options;
    const route = live.router.get(name)?.value ?? new Route(name, { match: [], use: [], priority: 0 }, [], live);
    const found = route.deliversTo(service);
    const { timeoutMs, resource } = route;
    return found === undefined ? undefined : { ...found, timeoutMs, importance: resource.importance };
  }
}
