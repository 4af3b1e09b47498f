import { Worker } from "node:worker_threads";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { QueueError, type Queue, type QueueLimits } from "../queue.ts";
import type { QueueCalls } from "./queue-file.ts";
import type { QueueThreadData } from "./queue-thread.ts";
import type { FromQueueThread, QueueReply, QueueRequest } from "./serve-queue.ts";

/** Calls under way; more are refused. The workers' own limits are reached before. */
export const callsMax = 100_000;

/** Longest wait for the last writes. */
const closeMsMax = 5_000;
const restartFirstMs = 250;
const restartMostMs = 30_000;

/** The thread as the control thread holds it. */
export interface QueueThread {
  post(request: QueueRequest): void;
}

export interface QueueThreadEvents {
  onMessage(message: FromQueueThread): void;
  /** Comes once, last; `reason` is one sentence. */
  onExit(reason: string): void;
}

export interface ThreadQueueOptions {
  readonly start: (events: QueueThreadEvents) => QueueThread;
  readonly timers: Timers;
  readonly log: Log;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: QueueError) => void;
}

/** The queue in the data directory, written by a thread of its own; the control thread's side. */
export class ThreadQueue implements Queue {
  readonly #options: ThreadQueueOptions;
  readonly #waiting = new Map<number, Waiting>();
  #thread: QueueThread | undefined;
  #lastCall = 0;
  #failures = 0;
  #reason = "";
  #stopRestart: (() => void) | undefined;
  #closed: (() => void) | undefined;

  constructor(options: ThreadQueueOptions) {
    this.#options = options;
    this.#start();
  }

  readonly enqueue: Queue["enqueue"] = (...args) => this.#call("enqueue", args);
  readonly due: Queue["due"] = (...args) => this.#call("due", args);
  readonly reserve: Queue["reserve"] = (...args) => this.#call("reserve", args);
  readonly renew: Queue["renew"] = (...args) => this.#call("renew", args);
  readonly release: Queue["release"] = (...args) => this.#call("release", args);
  readonly ack: Queue["ack"] = (...args) => this.#call("ack", args);
  readonly nack: Queue["nack"] = (...args) => this.#call("nack", args);
  readonly bury: Queue["bury"] = (...args) => this.#call("bury", args);
  readonly expire: Queue["expire"] = (...args) => this.#call("expire", args);
  readonly list: Queue["list"] = (...args) => this.#call("list", args);
  readonly get: Queue["get"] = (...args) => this.#call("get", args);
  readonly replay: Queue["replay"] = (...args) => this.#call("replay", args);
  readonly purge: Queue["purge"] = (...args) => this.#call("purge", args);
  readonly stats: Queue["stats"] = (...args) => this.#call("stats", args);

  /** A disk that hangs is not waited for: what it was told is there or not, as after a kill. */
  async close(): Promise<void> {
    this.#stopRestart?.();
    if (this.#thread === undefined) {
      this.#closed = () => {};
      return;
    }
    await new Promise<void>((resolve) => {
      const stop = this.#options.timers.after(closeMsMax, resolve);
      this.#closed = () => {
        stop();
        resolve();
      };
      this.#thread?.post({ call: 0, name: "close" });
    });
  }

  #call<Name extends keyof QueueCalls>(
    name: Name,
    args: Parameters<QueueCalls[Name]>,
  ): Promise<ReturnType<QueueCalls[Name]>> {
    if (this.#thread === undefined || this.#closed !== undefined) return Promise.reject(this.#away());
    if (this.#waiting.size >= callsMax) return Promise.reject(new QueueError("away", "The queue is behind."));
    const call = ++this.#lastCall;
    const thread = this.#thread;
    return new Promise((resolve, reject) => {
      // The thread answers a call with what its method returns.
      this.#waiting.set(call, { resolve: resolve as (value: unknown) => void, reject });
      thread.post({ call, name, args });
    });
  }

  #start(): void {
    this.#thread = this.#options.start({
      onMessage: (message) => this.#receive(message),
      onExit: (reason) => this.#exited(reason),
    });
  }

  #receive(message: FromQueueThread): void {
    if (message.kind === "replies") for (const reply of message.replies) this.#settle(reply);
    else {
      this.#failures = 0;
      this.#reason = "";
    }
  }

  #settle(reply: QueueReply): void {
    const waiting = this.#waiting.get(reply.call);
    this.#waiting.delete(reply.call);
    if ("value" in reply) waiting?.resolve(reply.value);
    else waiting?.reject(new QueueError(reply.code, reply.message));
  }

  /** Where the file cannot be opened it says so, again and again: somebody may put it right. */
  #exited(reason: string): void {
    this.#thread = undefined;
    this.#reason = reason;
    for (const { reject } of [...this.#waiting.values()]) reject(this.#away());
    this.#waiting.clear();
    if (this.#closed !== undefined) {
      this.#closed();
      return;
    }
    const delayMs = Math.min(restartMostMs, restartFirstMs * 2 ** this.#failures++);
    this.#options.log.error({ delayMs }, `the queue is away: ${reason}`);
    this.#stopRestart = this.#options.timers.after(delayMs, () => this.#start());
  }

  #away(): QueueError {
    return new QueueError("away", this.#reason === "" ? "The queue is closed." : this.#reason);
  }
}

/** Starts the thread that writes `<dataDir>/queue.db`. */
export function queueThreadOf(dataDir: string, limits: QueueLimits): ThreadQueueOptions["start"] {
  return (events) => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const data: QueueThreadData = { dataDir, limits };
    const thread = new Worker(new URL(`./queue-thread.${extension}`, import.meta.url), {
      workerData: data,
      name: "queue",
    });
    let reason: string | undefined;
    // The other side is queue-thread.ts, which posts nothing else.
    thread.on("message", (message) => events.onMessage(message as FromQueueThread));
    thread.on("error", (error) => (reason = error instanceof Error ? error.message : String(error)));
    thread.on("exit", (code) => events.onExit(reason ?? `The queue's thread ended with code ${code}.`));
    return { post: (request) => thread.postMessage(request) };
  };
}
