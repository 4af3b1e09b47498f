import { resolve as resolvePath } from "node:path";
import type { GatewaySettings } from "@headgate/schema";
import { adminEndpoints } from "../admin/endpoints.ts";
import { startAdmin, type AdminServer } from "../admin/server.ts";
import { ensureToken } from "../admin/token.ts";
import { AdminError } from "../admin/problem.ts";
import { Configuration } from "../control/configuration.ts";
import { parseExplainInput } from "../control/explain.ts";
import type { PluginBuilder } from "../control/plugins.ts";
import { canReusePort, claimAddresses, describeListenError } from "../control/probe-listen.ts";
import type { DocumentReader } from "../control/read-document.ts";
import type { ReadDocument } from "../control/replicate-file.ts";
import { queueSetupOf, type QueueSetup } from "../control/queue/open-queue.ts";
import { StoreAndForward } from "../control/queue/store-and-forward.ts";
import { Report } from "../control/report.ts";
import type { MiddlewareTable } from "../control/resolve.ts";
import { Supervisor } from "../control/supervise.ts";
import { startInline } from "../control/worker-inline.ts";
import type { BoundAddress, WorkerStart } from "../control/worker-messages.ts";
import { threadsOf } from "../control/worker-thread.ts";
import { systemRandom, type Clock } from "../core/clock.ts";
import { nextTurn, type Timers } from "../core/timers.ts";
import { createLimiterMemory } from "../proxy/limiter.ts";
import type { ApplicationLog } from "../telemetry/log.ts";
import { Seal } from "../core/seal.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { collectProcess, type ProcessFacts } from "../telemetry/process.ts";

export interface GatewayOptions {
  /** The document, absolute; absent: there is none, and `first` holds the settings of flags and variables. */
  readonly file?: string;
  readonly reader: DocumentReader;
  /** What `reader` read first; it is valid. */
  readonly first: ReadDocument & { readonly value: NonNullable<ReadDocument["value"]> };
  /** When it was read, monotonic milliseconds. */
  readonly seenMs: number;
  readonly table: MiddlewareTable;
  readonly plugins: PluginBuilder;
  /** The variables of the process's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly process: ProcessFacts;
  /** Cores there are, for `workers: auto`. */
  readonly cores: number;
  /** The code of a worker thread. */
  readonly workerEntry: URL;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: ApplicationLog;
}

/** A gateway; `start` makes it serve. */
export interface RunningGateway {
  readonly addresses: readonly BoundAddress[];
  readonly admin: string;
  readonly workers: number;
  /** Where the configuration comes from, for people. */
  readonly source: string;
  /** Starts everything. Resolves when requests are served; rejects with one sentence. */
  start(): Promise<void>;
  /** Reads the document again, whether it seems changed or not. */
  reload(): void;
  reopenLogs(): void;
  /** Lets exchanges in flight finish, at most `gateway.timeouts.drain`, and ends everything; whether all workers are gone. */
  drain(): Promise<boolean>;
  /** Ends what was started, also half-way, without waiting for exchanges. */
  stop(): Promise<void>;
}

/** Prepares a gateway. Rejects with one sentence. */
export async function createGateway(options: GatewayOptions): Promise<RunningGateway> {
  const settings = options.first.value.gateway;
  const reusePort = await canReusePort();
  const asked = settings.workers === "auto" ? options.cores : settings.workers;
  if (asked > 1 && !reusePort) options.log.warn({}, "this system cannot share a port between threads: one worker runs");
  const dataDir = resolvePath(options.cwd, settings.dataDir);
  const queue = await queueSetupOf({ ...options, settings, dataDir, random: systemRandom });
  const claimed = { ...settings, listen: await claimAddresses(settings.listen) };
  return new Gateway(options, claimed, asked, reusePort, queue);
}

class Gateway implements RunningGateway {
  readonly #options: GatewayOptions;
  readonly #settings: GatewaySettings;
  readonly #page = new MetricsPage();
  readonly #report: Report;
  readonly #configuration: Configuration;
  readonly #supervisor: Supervisor;
  readonly #queue: StoreAndForward;
  readonly #queueKey: Uint8Array | undefined;
  readonly #dataDir: string;
  readonly workers: number;
  #admin: AdminServer | undefined;

  constructor(
    options: GatewayOptions,
    settings: GatewaySettings,
    asked: number,
    reusePort: boolean,
    queue: QueueSetup,
  ) {
    const { clock, timers, log } = options;
    this.#options = options;
    this.#settings = settings;
    this.#queueKey = queue.key;
    this.workers = asked === 0 ? 0 : reusePort ? asked : 1;
    const metrics = new Metrics((news) => source.accept(news));
    const source = this.#page.attach("control");
    this.#report = new Report(clock, metrics, log);
    this.#dataDir = resolvePath(options.cwd, settings.dataDir);
    this.#collect(metrics);
    this.#configuration = new Configuration({
      page: this.#page,
      ...options,
      // As written, not as claimed: a port that was picked is no change of the document.
      settings: options.first.value.gateway,
      dataDir: this.#dataDir,
      hasFile: options.file !== undefined,
      workers: Math.max(1, this.workers),
      report: this.#report,
      metrics,
      random: systemRandom,
      recent: () => this.#supervisor.recent(),
      facts: () => ({
        addresses: this.addresses.map(({ address }) => address),
        admin: this.admin,
        startedAt: new Date(this.#report.startedWallMs).toISOString(),
      }),
    });
    const { publisher, events } = this.#configuration;
    this.#queue = new StoreAndForward({
      ...options,
      ...queue,
      random: systemRandom,
      metrics,
      onDeaths: (dead) => events.publish({ type: "queue", dead }),
    });
    const restarts = metrics.counter("worker_restarts_total");
    this.#supervisor = new Supervisor({
      start: this.#workerStart(Math.max(1, this.workers), reusePort && this.workers > 0),
      startWorker: this.workers === 0 ? startInline : threadsOf(options.workerEntry),
      clock,
      timers,
      log,
      page: this.#page,
      workerLog: (worker, { level, fields, message }) => log.at(level, { worker, ...fields }, message),
      onUpstream: (event) => this.#configuration.happened(event),
      join: async (member) => {
        const refused = await publisher.join(member);
        if (refused === undefined) this.#queue.joined(member);
        return refused;
      },
      leave: (member) => {
        publisher.leave(member);
        this.#queue.left(member);
      },
      onQueue: (member, message) => this.#queue.receive(member, message),
      onRestart: () => restarts.add(1),
    });
  }

  get addresses(): readonly BoundAddress[] {
    return this.#supervisor.addresses;
  }

  get admin(): string {
    return this.#admin?.address ?? this.#settings.admin.address;
  }

  get source(): string {
    const store = this.#configuration.store?.url;
    return [this.#options.file, store].filter((part) => part !== undefined).join(" above ");
  }

  async start(): Promise<void> {
    const token = await ensureToken(this.#dataDir);
    // The workers load their code while the configuration is read: neither needs the other before both are done.
    const booted = this.#supervisor.boot();
    booted.catch(() => {}); // waited for below, unless something else fails first
    await this.#configuration.open();
    this.#configuration.follow();
    this.#admin = await this.#startAdmin(token);
    await booted;
    await this.#configuration.start();
    await this.#supervisor.listen();
    this.#queue.start();
    this.#report.serving();
    this.#configuration.store?.tellOthers();
    // Also finds what changed between the first reading and the watch.
    this.reload();
  }

  reload(): void {
    if (this.#report.phase === "serving") this.#configuration.reload();
  }

  reopenLogs(): void {
    this.#supervisor.reopenLogs();
  }

  async drain(): Promise<boolean> {
    this.#report.draining();
    this.#queue.stop();
    const gone = await this.#supervisor.drain(this.#settings.timeouts.drainMs);
    await this.#end();
    return gone;
  }

  async stop(): Promise<void> {
    this.#supervisor.stop();
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#admin?.close();
    await this.#queue.close();
    await this.#configuration.close();
  }

  #workerStart(workers: number, reusePort: boolean): Omit<WorkerStart, "workerId"> {
    const integers = (workers + 1) * Int32Array.BYTES_PER_ELEMENT;
    const { cwd } = this.#options;
    const { accessLog } = this.#settings;
    const path = accessLog.path === "-" ? "-" : resolvePath(cwd, accessLog.path);
    return {
      settings: { ...this.#settings, accessLog: { ...accessLog, path } },
      workers,
      limiterMemory: createLimiterMemory(),
      connectionMemory: new SharedArrayBuffer(integers),
      heartbeatMemory: new SharedArrayBuffer(integers),
      reusePort,
      ...(this.#queueKey === undefined ? {} : { queueKey: this.#queueKey }),
    };
  }

  #collect(metrics: Metrics): void {
    const { version, process } = this.#options;
    metrics.gauge("build_info", { version, node: process.node }).set(1);
    collectProcess(this.#page, metrics, process);
    this.#page.onCollect(() => {
      metrics.gauge("config_age_seconds").set(this.#report.ageSeconds);
      metrics.gauge("metrics_series").set(this.#page.seriesCount);
    });
  }

  async #startAdmin(token: string): Promise<AdminServer> {
    const { file, version, process, log, timers } = this.#options;
    const { address } = this.#settings.admin;
    const configuration = this.#configuration;
    const { store } = configuration;
    const endpoints = adminEndpoints({
      version,
      node: process.node,
      pid: process.pid,
      source: file,
      settings: this.#settings,
      report: this.#report,
      page: this.#page,
      resources: () => (this.#report.phase === "starting" ? undefined : configuration.live),
      workers: () => this.#supervisor.status(),
      addresses: () => this.#supervisor.addresses,
      adminAddress: () => this.admin,
      explain: (asked) => configuration.explain(readRequest(asked)),
      breathe: nextTurn,
      timers,
      view: configuration.view,
      changes: store?.changes,
      check: (documents) => configuration.check(documents),
      instances: configuration.instances,
      circuits: configuration.circuits,
      health: () => configuration.health(),
      discovery: () => configuration.sources.status(),
      queue: this.#queue.view(new Seal(this.#queueKey)),
      events: configuration.events,
      store: () => store?.status(),
    });
    try {
      return await startAdmin({ address, token, endpoints, log });
    } catch (error) {
      throw new Error(`The admin address: ${describeListenError(address, error)}`, { cause: error });
    }
  }
}

function readRequest(asked: unknown): ReturnType<typeof parseExplainInput> {
  try {
    return parseExplainInput(asked);
  } catch (error) {
    throw new AdminError(400, error instanceof Error ? error.message : String(error));
  }
}
