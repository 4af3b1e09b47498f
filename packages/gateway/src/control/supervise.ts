import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import type { QueueFromWorker } from "../proxy/message.ts";
import type { RecentRequests } from "../proxy/recent.ts";
import type { UpstreamEvent } from "../proxy/upstream/events.ts";
import type { MetricsPage, MetricsSource } from "../telemetry/metrics-page.ts";
import type { Member } from "./publish.ts";
import type {
  BoundAddress,
  FromWorker,
  StartWorker,
  ToWorker,
  WorkerHandle,
  WorkerStart,
  WorkerStatus,
} from "./worker-messages.ts";

/** A worker that serves and whose event loop did not turn during this many checks in a row is replaced. */
const stuckChecks = 5;
const checkIntervalMs = 1_000;
/** The same for one that serves nobody yet: loading code and building all that is live take long on a busy machine. */
const bootChecks = 30;
/** A worker that lived this long is not held responsible for earlier deaths. */
const settledMs = 10_000;
const backoffFirstMs = 100;
const backoffMostMs = 10_000;
/** Importing plugins and building a snapshot; what takes longer does not finish. Checks, not time: see `#check`. */
const answerChecks = 30;
/** After the drain time is over, what a worker gets to say goodbye. */
const goodbyeMs = 1_000;
/** How long a thread that was terminated may take to be gone: Node.js waits for each handle in it, in the end for ever. */
const terminationMs = 5_000;

export interface SupervisorOptions {
  /** `start.workers`, at least 1, are kept running. */
  readonly start: Omit<WorkerStart, "workerId">;
  readonly startWorker: StartWorker;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly page: MetricsPage;
  /** Where the workers' log lines go. */
  readonly workerLog: (workerId: number, line: Extract<FromWorker, { type: "log" }>) => void;
  /** A worker changed a breaker, or ejected. */
  readonly onUpstream: (event: UpstreamEvent) => void;
  /** A worker is there to be given the live snapshot. Resolves with a reason when it cannot take it. */
  readonly join: (member: Member) => Promise<string | undefined>;
  /** What a worker says about messages. */
  readonly onQueue?: (member: Member, message: QueueFromWorker) => void;
  readonly leave: (member: Member) => void;
  /** A worker ended and will be replaced. */
  readonly onRestart: () => void;
}

interface Waiter {
  readonly accepts: (message: FromWorker) => boolean;
  readonly resolve: (message: FromWorker | undefined) => void;
}

/** One place for a worker: the worker in it changes when it dies. */
class Slot implements Member {
  readonly workerId: number;
  state: WorkerStatus["state"] = "booting";
  revision = 0;
  restarts = 0;
  /** Deaths soon after the start, in a row. */
  failures = 0;
  startedMs = 0;
  lastBeat = 0;
  silentChecks = 0;
  /** It runs what is live and may listen. */
  joined = false;
  handle: WorkerHandle | undefined;
  source: MetricsSource | undefined;
  readonly #timers: Timers;
  #waiters: Waiter[] = [];

  constructor(workerId: number, timers: Timers) {
    this.workerId = workerId;
    this.#timers = timers;
  }

  post(message: ToWorker): void {
    this.handle?.post(message);
  }

  /** The first answer that `accepts` takes; `undefined` when the worker is gone before, or did not answer in time. */
  ask(message: ToWorker | undefined, accepts: Waiter["accepts"]): Promise<FromWorker | undefined> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        accepts,
        resolve: (answer) => {
          disarm();
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          resolve(answer);
        },
      };
      let checks = 0;
      const disarm = this.#timers.every(checkIntervalMs, () => {
        if (++checks >= answerChecks) waiter.resolve(undefined);
      });
      this.#waiters.push(waiter);
      if (message !== undefined) this.post(message);
    });
  }

  end(): void {
    this.handle?.terminate();
  }

  answer(message: FromWorker): void {
    this.#waiters.find((waiter) => waiter.accepts(message))?.resolve(message);
  }

  gone(): void {
    for (const waiter of [...this.#waiters]) waiter.resolve(undefined);
  }
}

/** Keeps the workers running: starts them, replaces the one that ends or whose loop stands still, drains them. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #slots: Slot[] = [];
  readonly #connections: Int32Array;
  readonly #heartbeats: Int32Array;
  #settings: WorkerStart["settings"];
  #phase: "booting" | "booted" | "listening" | "draining" = "booting";
  #bootFailed: (reason: string) => void = () => {};
  #addresses: readonly BoundAddress[] = [];
  #stopChecks = (): void => {};
  #recentId = 0;
  #allGone: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#settings = options.start.settings;
    this.#connections = new Int32Array(options.start.connectionMemory);
    this.#heartbeats = new Int32Array(options.start.heartbeatMemory);
    for (let id = 1; id <= options.start.workers; id++) this.#slots.push(new Slot(id, options.timers));
  }

  /** What clients can connect to; empty before `listen` resolved. */
  get addresses(): readonly BoundAddress[] {
    return this.#addresses;
  }

  status(): readonly WorkerStatus[] {
    return this.#slots.map((slot) => ({
      id: slot.workerId,
      state: slot.state,
      revision: slot.revision,
      restarts: slot.restarts,
      connections: slot.source?.total("connections") ?? 0,
    }));
  }

  /** Starts all workers. Resolves when their code is loaded; rejects when one cannot start. */
  async boot(): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.#bootFailed = (reason) => reject(new Error(reason));
    });
    this.#stopChecks = this.#options.timers.every(checkIntervalMs, () => this.#check());
    const booted = this.#slots.map((slot) => this.#start(slot));
    await Promise.race([Promise.all(booted), failed]);
    this.#phase = "booted";
  }

  /** Opens the listening sockets of all workers. Rejects when one cannot listen. */
  async listen(): Promise<readonly BoundAddress[]> {
    this.#phase = "listening";
    // What a busy machine took to start is not held against who serves from now on.
    for (const slot of this.#slots) slot.silentChecks = 0;
    // One that is being replaced right now listens by itself as soon as it can serve.
    const ready = this.#slots.filter((slot) => slot.joined);
    const answers = await Promise.all(ready.map((slot) => this.#listen(slot)));
    const failed = answers.find((answer) => typeof answer === "string");
    if (failed !== undefined) throw new Error(failed);
    return this.#addresses;
  }

  /** What the workers remember of their last requests; one that is gone or does not answer is left out. */
  async recent(): Promise<RecentRequests[]> {
    const id = ++this.#recentId;
    const answers = await Promise.all(
      this.#slots
        .filter((slot) => slot.joined)
        .map((slot) => slot.ask({ type: "recent", id }, (heard) => heard.type === "recent" && heard.id === id)),
    );
    return answers.flatMap((answer) => (answer?.type === "recent" ? [answer.recent] : []));
  }

  reopenLogs(): void {
    for (const slot of this.#slots) slot.post({ type: "reopen-logs" });
  }

  /** Lets exchanges in flight finish, at most `timeoutMs`, then ends the workers. Resolves with whether all are gone. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#phase = "draining";
    this.#stopChecks();
    for (const slot of this.#slots) slot.post({ type: "drain", timeoutMs });
    if (await this.#gone(timeoutMs + goodbyeMs)) return true;
    this.stop();
    return this.#gone(terminationMs);
  }

  /** Resolves when no worker is left, or when the time is over: with which of the two. */
  #gone(withinMs: number): Promise<boolean> {
    if (this.#slots.every((slot) => slot.handle === undefined)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const disarm = this.#options.timers.after(withinMs, () => resolve(false));
      this.#allGone = () => {
        disarm();
        resolve(true);
      };
    });
  }

  /** Ends all workers at once. */
  stop(): void {
    this.#phase = "draining";
    this.#stopChecks();
    for (const slot of this.#slots) slot.handle?.terminate();
  }

  async #start(slot: Slot): Promise<void> {
    const options = this.#options;
    slot.state = "booting";
    slot.joined = false;
    slot.silentChecks = 0;
    slot.startedMs = options.clock.now();
    slot.revision = 0;
    const source = options.page.attach(String(slot.workerId));
    slot.source = source;
    const booted = slot.ask(undefined, (message) => message.type === "booted");
    slot.handle = options.startWorker(
      { ...options.start, settings: this.#settings, workerId: slot.workerId },
      {
        onMessage: (message) => this.#receive(slot, source, message),
        onExit: (reason) => this.#exited(slot, source, reason),
      },
    );
    if ((await booted) === undefined) return;
    const refused = await options.join(slot);
    if (refused !== undefined) {
      options.log.error(
        { worker: slot.workerId },
        `worker ${slot.workerId} cannot run the live configuration: ${refused}`,
      );
      slot.handle?.terminate();
      return;
    }
    slot.joined = true;
    if (this.#phase !== "listening" || slot.handle === undefined) return;
    const answer = await this.#listen(slot);
    if (typeof answer !== "string") return;
    options.log.error({ worker: slot.workerId }, answer);
    slot.handle.terminate();
  }

  /** A text says why it does not listen. */
  async #listen(slot: Slot): Promise<string | undefined> {
    const accepts = (message: FromWorker): boolean => message.type === "listening" || message.type === "listen-failed";
    const answer = await slot.ask({ type: "listen" }, accepts);
    if (answer?.type === "listen-failed") return answer.message;
    if (answer?.type !== "listening") return `worker ${slot.workerId} ended before it listened`;
    slot.state = "running";
    if (this.#addresses.length === 0) this.#keepAddresses(answer.addresses);
    return undefined;
  }

  /** A replacement listens where its predecessor did, also where the system picked the port. */
  #keepAddresses(bound: readonly BoundAddress[]): void {
    this.#addresses = bound;
    const listen = this.#settings.listen.map((entry, index) => {
      const at = bound[index];
      return at !== undefined && entry.address.endsWith(":0") ? { ...entry, address: at.address } : entry;
    });
    this.#settings = { ...this.#settings, listen };
  }

  #receive(slot: Slot, source: MetricsSource, message: FromWorker): void {
    if (message.type === "metrics") source.accept(message.news);
    else if (message.type === "upstream") this.#options.onUpstream(message.event);
    else if (message.type === "log") this.#options.workerLog(slot.workerId, message);
    else if (message.type === "enqueue" || message.type === "delivered") this.#options.onQueue?.(slot, message);
    else if (slot.source === source) {
      if (message.type === "committed") slot.revision = message.revision;
      slot.answer(message);
    }
  }

  #exited(slot: Slot, source: MetricsSource, reason: string): void {
    // Its connections ended with it, but nobody was left to count them down.
    Atomics.sub(this.#connections, 0, source.total("connections"));
    source.retire();
    slot.handle = undefined;
    slot.joined = false;
    slot.gone();
    this.#options.leave(slot);
    if (this.#phase === "draining") {
      slot.state = "stopped";
      if (this.#slots.every((other) => other.handle === undefined)) this.#allGone?.();
      return;
    }
    if (this.#phase === "booting") {
      slot.state = "stopped";
      this.#bootFailed(reason);
      return;
    }
    this.#replace(slot, reason);
  }

  #replace(slot: Slot, reason: string): void {
    const { clock, log, timers, onRestart } = this.#options;
    if (clock.now() - slot.startedMs >= settledMs) slot.failures = 0;
    const delayMs = slot.failures === 0 ? 0 : Math.min(backoffMostMs, backoffFirstMs * 2 ** (slot.failures - 1));
    slot.failures++;
    slot.restarts++;
    slot.state = "restarting";
    onRestart();
    log.error({ worker: slot.workerId, delayMs }, `worker ${slot.workerId} ended and is replaced: ${reason}`);
    const restart = (): void => {
      if (this.#phase !== "draining") void this.#start(slot);
    };
    if (delayMs === 0) restart();
    else timers.after(delayMs, restart);
  }

  /**
   * Counts checks rather than time: when the whole process stood still (a suspended machine, a debugger) the workers
   * are not to blame.
   */
  #check(): void {
    const isServing = this.#phase === "listening" || this.#phase === "draining";
    for (const slot of this.#slots) {
      if (slot.handle === undefined) continue;
      const beat = Atomics.load(this.#heartbeats, slot.workerId);
      slot.silentChecks = beat === slot.lastBeat ? slot.silentChecks + 1 : 0;
      slot.lastBeat = beat;
      if (slot.silentChecks > 0) slot.post({ type: "beat" });
      if (slot.silentChecks < (slot.joined && isServing ? stuckChecks : bootChecks)) continue;
      slot.silentChecks = 0;
      this.#options.log.error({ worker: slot.workerId }, `worker ${slot.workerId} does not respond and is ended`);
      slot.handle.terminate();
    }
  }
}
