import type { GatewaySettings } from "@headgate/schema";
import type { QueueFromWorker, QueueToWorker } from "../proxy/message.ts";
import type { BuildFailure } from "../proxy/build-failure.ts";
import type { RecentRequests } from "../proxy/recent.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { UpstreamEvent } from "../proxy/upstream/events.ts";
import type { MetricsNews } from "../telemetry/metrics.ts";

/** What a worker gets when it starts. Cloned into the thread; the memories are shared, not copied. */
export interface WorkerStart {
  /** From 1; a replacement has the number of the worker it replaces. */
  readonly workerId: number;
  readonly settings: GatewaySettings;
  /** How many workers there are. */
  readonly workers: number;
  /** The state of all limits. */
  readonly limiterMemory: SharedArrayBuffer;
  /** 32-bit integers: [0] open client connections of all workers. */
  readonly connectionMemory: SharedArrayBuffer;
  /** 32-bit integers: [workerId] goes up as long as the worker's event loop turns. */
  readonly heartbeatMemory: SharedArrayBuffer;
  /** Whether several sockets may listen on one port; without it there is one worker. */
  readonly reusePort: boolean;
  /** What messages are sealed with; absent: they are not. */
  readonly queueKey?: Uint8Array;
}

export interface BoundAddress {
  /** `host:port`. */
  readonly address: string;
  readonly port: number;
}

/** A worker as `/v1/status` shows it. */
export interface WorkerStatus {
  /** From 1; stays when the worker is replaced. */
  readonly id: number;
  readonly state: "booting" | "running" | "restarting" | "stopped";
  /** 0: none yet. */
  readonly revision: number;
  readonly restarts: number;
  /** Open client connections. */
  readonly connections: number;
}

/** Control thread to worker. `prepare`, `commit`, `abandon`: the two phases of a publication. */
export type ToWorker =
  | QueueToWorker
  | { readonly type: "prepare"; readonly id: number; readonly change: SnapshotChange }
  | { readonly type: "commit"; readonly id: number }
  | { readonly type: "abandon"; readonly id: number }
  /**
   * Routes that the next change will probably set, to be made ready meanwhile: JSON of a list of `AheadRoute`, written
   * once for all workers. Several may come; `SnapshotChange.aheadBut` says what became of them.
   */
  | { readonly type: "ahead"; readonly text: string }
  /** What was told ahead was needed, or will not be. */
  | { readonly type: "forget-ahead" }
  | { readonly type: "listen" }
  | { readonly type: "drain"; readonly timeoutMs: number }
  | { readonly type: "reopen-logs" }
  /** Asks for a sign of life: with thousands of sockets ready the event loop comes to messages long before its timers. */
  | { readonly type: "beat" }
  /** Asks for the requests it remembers. */
  | { readonly type: "recent"; readonly id: number };

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Worker to control thread. */
export type FromWorker =
  | QueueFromWorker
  /** The code is loaded and the proxy built; it has no snapshot and does not listen yet. */
  | { readonly type: "booted" }
  | { readonly type: "prepared"; readonly id: number }
  /** `failures`: what cannot be built; empty where it was something else, which `message` tells. */
  | {
      readonly type: "rejected";
      readonly id: number;
      readonly message: string;
      readonly failures: readonly BuildFailure[];
    }
  | { readonly type: "committed"; readonly id: number; readonly revision: number }
  | { readonly type: "listening"; readonly addresses: readonly BoundAddress[] }
  | { readonly type: "listen-failed"; readonly message: string }
  | { readonly type: "drained" }
  | { readonly type: "recent"; readonly id: number; readonly recent: RecentRequests }
  /** It changed a breaker, or ejected an instance. */
  | { readonly type: "upstream"; readonly event: UpstreamEvent }
  | { readonly type: "metrics"; readonly news: readonly MetricsNews[] }
  | { readonly type: "log"; readonly level: LogLevel; readonly fields: object; readonly message: string };

/** A running worker as the control thread holds it: a thread, or the proxy in the control thread itself. */
export interface WorkerHandle {
  post(message: ToWorker): void;
  /** Ends it at once. */
  terminate(): void;
}

/** What a worker reports to. `onExit` comes once, last; `reason` is one sentence. */
export interface WorkerEvents {
  onMessage(message: FromWorker): void;
  onExit(reason: string): void;
}

export type StartWorker = (start: WorkerStart, events: WorkerEvents) => WorkerHandle;
