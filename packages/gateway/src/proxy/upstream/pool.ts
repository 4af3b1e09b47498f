import { GatewayError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { Wheel } from "../../core/wheel.ts";
import { WheelTimer } from "../../core/wheel.ts";
import type { GaugeHandle } from "../../telemetry/metrics.ts";
import { UpstreamConnection } from "./connection.ts";
import type { Instance } from "./instance.ts";

/** Most requests that wait for a connection while a pool is at its maximum, as a multiple of that maximum. */
const waitersFactor = 4;
/** Shorten an instance's announced keep-alive by this, so that we close first and never race its close. */
const keepAliveMarginMs = 1_000;

export interface PoolLimits {
  /** Most connections of this thread to the instance. Reached: requests wait; the queue full: HG_OVERLOADED. */
  readonly max: number;
  readonly idleMs: number;
  readonly connectMs: number;
}

/** Whoever asked for a connection. Exactly one of the two is called, unless `cancel` is called before. */
export interface Waiter {
  onConnection(connection: UpstreamConnection): void;
  onFailure(error: GatewayError): void;
}

/** A request for a connection that is not there yet. */
export interface PendingConnection {
  cancel(): void;
}

/** A request for a connection while all are in use. */
interface Queued {
  readonly waiter: Waiter;
  readonly timer: WheelTimer;
  /** Its turn has come, and a connection is being opened for it. */
  opening: PendingConnection | undefined;
}

/** The connections of one thread to one instance. The last one used is the first one used again. */
export class Pool {
  readonly #instance: Instance;
  readonly #idle: UpstreamConnection[] = [];
  readonly #queue: Queued[] = [];
  readonly #clock: Clock;
  readonly #wheel: Wheel;
  readonly #idleGauge: GaugeHandle;
  readonly #activeGauge: GaugeHandle;
  readonly #reaper = new WheelTimer(() => {
    this.#reap();
  });
  limits: PoolLimits;
  #open = 0;
  #closing = false;

  constructor(
    instance: Instance,
    limits: PoolLimits,
    clock: Clock,
    wheel: Wheel,
    idle: GaugeHandle,
    active: GaugeHandle,
  ) {
    this.#instance = instance;
    this.limits = limits;
    this.#clock = clock;
    this.#wheel = wheel;
    this.#idleGauge = idle;
    this.#activeGauge = active;
  }

  /** Connections open or being opened. */
  get open(): number {
    return this.#open;
  }

  /** An idle connection, or undefined. */
  takeIdle(): UpstreamConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return undefined;
      this.#idleGauge.add(-1);
      // Also one that is about to close: `forget` takes it off again.
      this.#activeGauge.add(1);
      if (connection.usable) return connection;
      connection.destroy();
    }
  }

  /** Opens a connection, or waits for one where the pool is at its maximum. */
  request(waiter: Waiter): PendingConnection | undefined {
    if (this.#open < this.limits.max) return this.#connect(waiter);
    const overloaded = (): void => {
      waiter.onFailure(new GatewayError("HG_OVERLOADED", { instance: this.#instance.address, nothingSent: true }));
    };
    if (this.#queue.length >= this.limits.max * waitersFactor) {
      overloaded();
      return undefined;
    }
    const queued: Queued = {
      waiter,
      timer: new WheelTimer(() => {
        this.#drop(queued);
        overloaded();
      }),
      opening: undefined,
    };
    this.#queue.push(queued);
    this.#wheel.arm(queued.timer, this.#clock.now() + this.limits.connectMs);
    return {
      cancel: () => {
        if (queued.opening === undefined) this.#drop(queued);
        else queued.opening.cancel();
      },
    };
  }

  /** `keepAliveMs`: what the instance announced, or -1. `nowMs`: about the present. */
  takeBack(connection: UpstreamConnection, keepAliveMs: number, nowMs: number): void {
    const next = this.#nextQueued();
    if (next !== undefined) {
      next.waiter.onConnection(connection);
      return;
    }
    if (this.#closing || keepAliveMs === 0) {
      connection.destroy();
      return;
    }
    this.#activeGauge.add(-1);
    const announcedMs = keepAliveMs < 0 ? Infinity : Math.max(keepAliveMs - keepAliveMarginMs, keepAliveMs / 2);
    connection.idleUntilMs = nowMs + Math.min(this.limits.idleMs, announcedMs);
    this.#idle.push(connection);
    this.#idleGauge.add(1);
    if (!this.#reaper.armed) this.#wheel.arm(this.#reaper, connection.idleUntilMs);
  }

  /** A connection has closed. */
  forget(connection: UpstreamConnection): void {
    this.#open--;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) {
      this.#idle.splice(at, 1);
      this.#idleGauge.add(-1);
    } else {
      this.#activeGauge.add(-1);
    }
    const next = this.#nextQueued();
    if (next !== undefined) next.opening = this.#connect(next.waiter);
  }

  /** Closes idle connections now and the others when their request is over. */
  close(): void {
    this.#closing = true;
    for (const connection of [...this.#idle]) connection.destroy();
  }

  reopen(): void {
    this.#closing = false;
  }

  #connect(waiter: Waiter): PendingConnection {
    this.#open++;
    this.#activeGauge.add(1);
    let waiting: Waiter | undefined = waiter;
    const fail = (error: GatewayError): void => {
      const failed = waiting;
      waiting = undefined;
      this.#wheel.disarm(timer);
      failed?.onFailure(error);
    };
    const { address } = this.#instance;
    const timer = new WheelTimer(() => {
      connection.use(nobody);
      connection.destroy();
      fail(
        new GatewayError("HG_UPSTREAM_TIMEOUT", {
          instance: address,
          cause: new Error("connect timed out"),
          nothingSent: true,
        }),
      );
    });
    const connection = new UpstreamConnection(this.#instance, () => {
      this.#wheel.disarm(timer);
      const connected = waiting;
      waiting = undefined;
      if (connected === undefined) connection.release(true, -1, this.#clock.now());
      else connected.onConnection(connection);
    });
    connection.use({
      ...nobody,
      onClose: (cause) => {
        fail(new GatewayError("HG_UPSTREAM_CONNECT", { instance: address, cause }));
      },
    });
    this.#wheel.arm(timer, this.#clock.now() + this.limits.connectMs);
    return {
      // The connection is nearly there: it goes to the pool for the next request.
      cancel: () => (waiting = undefined),
    };
  }

  #nextQueued(): Queued | undefined {
    if (this.#queue.length === 0) return undefined;
    const queued = this.#queue.shift();
    if (queued !== undefined) this.#wheel.disarm(queued.timer);
    return queued;
  }

  #drop(queued: Queued): void {
    this.#wheel.disarm(queued.timer);
    const at = this.#queue.indexOf(queued);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  #reap(): void {
    const now = this.#clock.now();
    let nextMs = Infinity;
    for (const connection of [...this.#idle]) {
      if (connection.idleUntilMs <= now) connection.destroy();
      else nextMs = Math.min(nextMs, connection.idleUntilMs);
    }
    if (nextMs !== Infinity) this.#wheel.arm(this.#reaper, nextMs);
  }
}

const nobody = { onBytes: () => false, onEnd() {}, onClose() {}, onDrain() {} };
