import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { nextTurn, type Timers } from "../core/timers.ts";
import { SnapshotError } from "../proxy/build-failure.ts";
import type { QueueToWorker } from "../proxy/message.ts";
import type { RecentRequests } from "../proxy/recent.ts";
import type { AheadRoute } from "../proxy/routes-ahead.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { GaugeHandle } from "../telemetry/metrics.ts";
import { Metrics } from "../telemetry/metrics.ts";
import type { BoundAddress, FromWorker, LogLevel, ToWorker, WorkerStart } from "./worker-messages.ts";

const heartbeatIntervalMs = 500;

/** A change that was built. */
export interface Discardable {
  /** It will not be committed: what was built for it is disposed of. */
  readonly discard: () => void;
}

/** What the host needs of a proxy. `prepare` does the work of a change, `commit` is one assignment. */
export interface HostedProxy<Prepared extends Discardable> {
  prepare(change: SnapshotChange): Promise<Prepared>;
  /** Makes routes ready that the next change will probably set. */
  ahead(routes: readonly AheadRoute[]): void;
  forgetAhead(): void;
  commit(prepared: Prepared): void;
  recent(): RecentRequests;
  receive(message: QueueToWorker): void;
  listen(reusePort: boolean): Promise<readonly BoundAddress[]>;
  drain(timeoutMs: number): Promise<void>;
  close(): void;
}

/** The log this worker writes; with the proxy, what the worker consists of. */
export interface HostedLog {
  reopen(): Promise<void> | void;
  close(): Promise<void>;
}

export interface HostParts<Prepared extends Discardable> {
  readonly proxy: HostedProxy<Prepared>;
  readonly accessLog: HostedLog;
}

export interface HostOptions<Prepared extends Discardable> {
  readonly start: WorkerStart;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Busy share of the event loop since the last call, 0 to 1. */
  readonly utilization: () => number;
  readonly post: (message: FromWorker) => void;
  /** Called before it listens: what keeps the thread busy for long is best done while nobody waits. */
  readonly beforeListening: () => void;
  /** Called once when the worker has drained and may end. */
  readonly exit: () => void;
  readonly build: (log: Log, metrics: Metrics) => HostParts<Prepared>;
}

/** A worker's side of the conversation with the control thread: obeys `ToWorker`, answers with `FromWorker`. */
export class WorkerHost<Prepared extends Discardable> {
  readonly #options: HostOptions<Prepared>;
  readonly #parts: HostParts<Prepared>;
  readonly #heartbeats: Int32Array;
  readonly #utilization: GaugeHandle;
  readonly #stopBeating: () => void;
  #prepared: { readonly id: number; readonly revision: number; readonly value: Prepared } | undefined;
  /** The newest preparation asked for; an older one that ends later is not kept. */
  #wanted = 0;
  /** What was told ahead is made ready one part after the other, each in a turn of its own. */
  #aheadDone: Promise<void> | undefined;

  constructor(options: HostOptions<Prepared>) {
    this.#options = options;
    this.#heartbeats = new Int32Array(options.start.heartbeatMemory);
    const metrics = new Metrics((news) => options.post({ type: "metrics", news }));
    this.#utilization = metrics.gauge("event_loop_utilization");
    this.#parts = options.build(postingLog(options.post), metrics);
    this.#stopBeating = options.timers.every(heartbeatIntervalMs, () => this.#beat());
    options.post({ type: "booted" });
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case "prepare":
        void this.#prepare(message.id, message.change);
        return;
      case "commit":
        this.#commit(message.id);
        return;
      case "abandon":
        this.#abandon();
        return;
      case "ahead":
        this.#inTurn(() => this.#parts.proxy.ahead(JSON.parse(message.text) as AheadRoute[])); // written by publish.ts
        return;
      case "forget-ahead":
        this.#inTurn(() => this.#parts.proxy.forgetAhead());
        return;
      case "listen":
        void this.#listen();
        return;
      case "drain":
        void this.#drain(message.timeoutMs);
        return;
      case "enqueued":
      case "deliver":
        this.#parts.proxy.receive(message);
        return;
      case "reopen-logs":
        void Promise.resolve(this.#parts.accessLog.reopen());
        return;
      case "beat":
        this.#beat();
        return;
      case "recent":
        this.#options.post({ type: "recent", id: message.id, recent: this.#parts.proxy.recent() });
        return;
      default:
        message satisfies never;
    }
  }

  /** Ends without waiting for anyone. */
  close(): void {
    this.#stopBeating();
    this.#parts.proxy.close();
  }

  async #prepare(id: number, change: SnapshotChange): Promise<void> {
    this.#abandon();
    this.#wanted = id;
    try {
      if (change.aheadBut !== undefined) await this.#aheadDone;
      const value = await this.#parts.proxy.prepare(change);
      if (this.#wanted !== id) return value.discard();
      this.#prepared = { id, revision: change.revision, value };
      this.#options.post({ type: "prepared", id });
    } catch (error) {
      const failures = error instanceof SnapshotError ? error.failures : [];
      this.#options.post({ type: "rejected", id, message: messageOf(error), failures });
    }
  }

  #inTurn(step: () => void): void {
    const before = this.#aheadDone ?? Promise.resolve();
    this.#aheadDone = before.then(nextTurn).then(step);
  }

  #abandon(): void {
    this.#prepared?.value.discard();
    this.#prepared = undefined;
    this.#wanted = 0;
  }

  #commit(id: number): void {
    const prepared = this.#prepared;
    if (prepared?.id !== id) return;
    this.#prepared = undefined;
    this.#parts.proxy.commit(prepared.value);
    this.#options.post({ type: "committed", id, revision: prepared.revision });
  }

  async #listen(): Promise<void> {
    try {
      this.#options.beforeListening();
      const addresses = await this.#parts.proxy.listen(this.#options.start.reusePort);
      this.#options.post({ type: "listening", addresses });
    } catch (error) {
      this.#options.post({ type: "listen-failed", message: messageOf(error) });
    }
  }

  async #drain(timeoutMs: number): Promise<void> {
    try {
      await this.#parts.proxy.drain(timeoutMs);
      await this.#parts.accessLog.close();
    } finally {
      this.#stopBeating();
      this.#options.post({ type: "drained" });
      this.#options.exit();
    }
  }

  #beat(): void {
    Atomics.add(this.#heartbeats, this.#options.start.workerId, 1);
    this.#utilization.set(this.#options.utilization());
  }
}

/** Sends lines to the control thread: one writer, so lines of several workers do not mix. Debug lines stay behind. */
function postingLog(post: (message: FromWorker) => void): Log {
  const send =
    (level: LogLevel) =>
    (fields: object, message: string): void =>
      post({ type: "log", level, fields: plainFields(fields), message });
  return { debug: () => {}, info: send("info"), warn: send("warn"), error: send("error") };
}

/** What can be cloned into another thread: errors keep their text and stack, functions and the like do not come along. */
function plainFields(fields: object): object {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    if (value instanceof Error) {
      plain[name] = { type: value.name, message: value.message, stack: value.stack, ...causeOf(value) };
    } else if (typeof value === "object" && value !== null) {
      plain[name] = cloneOf(value);
    } else if (typeof value !== "function" && typeof value !== "symbol") {
      plain[name] = value;
    }
  }
  return plain;
}

function causeOf(error: Error): object {
  return error.cause instanceof Error ? { cause: error.cause.message } : {};
}

function cloneOf(value: object): unknown {
  try {
    return JSON.parse(JSON.stringify(value)) as unknown;
  } catch {
    return "[cannot be shown]";
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
