import { resolve as resolvePath } from "node:path";
import type { GatewaySettings } from "@headgate/schema";
import { adminEndpoints } from "../admin/endpoints.ts";
import { AdminError, startAdmin, type AdminServer } from "../admin/server.ts";
import { ensureToken } from "../admin/token.ts";
import { explain, parseExplainInput } from "../control/explain.ts";
import { canReusePort, claimAddresses, describeListenError } from "../control/probe-listen.ts";
import { Publisher } from "../control/publish.ts";
import type { DocumentReader } from "../control/read-document.ts";
import { FileReplicator, type ReadDocument } from "../control/replicate-file.ts";
import { Report } from "../control/report.ts";
import { watchFiles, type FileWatcher } from "../control/store/file/watch.ts";
import { Supervisor } from "../control/supervise.ts";
import { startInline } from "../control/worker-inline.ts";
import type { BoundAddress, WorkerStart } from "../control/worker-messages.ts";
import { threadsOf } from "../control/worker-thread.ts";
import type { Clock } from "../core/clock.ts";
import { nextTurn, type Timers } from "../core/timers.ts";
import { createLimiterMemory } from "../proxy/limiter.ts";
import type { ApplicationLog } from "../telemetry/log.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { collectProcess, type ProcessFacts } from "../telemetry/process.ts";

export interface GatewayOptions {
  /** The document, absolute. */
  readonly file: string;
  readonly reader: DocumentReader;
  /** What `reader` read first; it is valid. */
  readonly first: ReadDocument & { readonly value: NonNullable<ReadDocument["value"]> };
  /** When it was read, monotonic milliseconds. */
  readonly seenMs: number;
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

/** A gateway that serves. */
export interface RunningGateway {
  readonly addresses: readonly BoundAddress[];
  readonly admin: string;
  readonly workers: number;
  /** Reads the document again, whether it seems changed or not. */
  reload(): void;
  reopenLogs(): void;
  /** Lets exchanges in flight finish, at most `gateway.timeouts.drain`, and ends everything. */
  drain(): Promise<void>;
}

/** Starts everything. Resolves when requests are served; what fails before is undone and told in one sentence. */
export async function runGateway(options: GatewayOptions): Promise<RunningGateway> {
  const gateway = await Gateway.create(options);
  try {
    await gateway.start();
    return gateway;
  } catch (error) {
    await gateway.stop();
    throw error;
  }
}

/** Where plugins of a gateway are kept. */
export function pluginCacheOf(settings: GatewaySettings, cwd: string): string {
  return resolvePath(cwd, settings.dataDir, "plugins");
}

class Gateway implements RunningGateway {
  readonly #options: GatewayOptions;
  readonly #settings: GatewaySettings;
  readonly #page = new MetricsPage();
  readonly #publisher = new Publisher();
  readonly #report: Report;
  readonly #supervisor: Supervisor;
  readonly #replicator: FileReplicator;
  readonly #watched = new Set<string>();
  readonly workers: number;
  #watcher: FileWatcher | undefined;
  #admin: AdminServer | undefined;

  static async create(options: GatewayOptions): Promise<Gateway> {
    const settings = options.first.value.gateway;
    const reusePort = await canReusePort();
    const asked = settings.workers === "auto" ? options.cores : settings.workers;
    if (asked > 1 && !reusePort)
      options.log.warn({}, "this system cannot share a port between threads: one worker runs");
    return new Gateway(options, { ...settings, listen: await claimAddresses(settings.listen) }, asked, reusePort);
  }

  private constructor(options: GatewayOptions, settings: GatewaySettings, asked: number, reusePort: boolean) {
    const { clock, timers, log } = options;
    this.#options = options;
    this.#settings = settings;
    this.workers = asked === 0 ? 0 : reusePort ? asked : 1;
    const metrics = new Metrics((news) => source.accept(news));
    const source = this.#page.attach("control");
    this.#report = new Report(clock, metrics);
    this.#collect(metrics);
    const restarts = metrics.counter("worker_restarts_total");
    this.#supervisor = new Supervisor({
      start: this.#workerStart(Math.max(1, this.workers), reusePort && this.workers > 0),
      startWorker: this.workers === 0 ? startInline : threadsOf(options.workerEntry),
      clock,
      timers,
      log,
      page: this.#page,
      workerLog: (worker, { level, fields, message }) => log.at(level, { worker, ...fields }, message),
      join: (member) => this.#publisher.join(member),
      leave: (member) => this.#publisher.leave(member),
      onRestart: () => restarts.add(1),
    });
    this.#replicator = new FileReplicator({
      // As written, not as claimed: a port that was picked is no change of the document.
      settings: options.first.value.gateway,
      read: () =>
        options.reader.read((written) => pluginCacheOf({ ...written, dataDir: settings.dataDir }, options.cwd)),
      publisher: this.#publisher,
      report: this.#report,
      clock,
      log,
      watch: (paths) => this.#watch(paths),
    });
  }

  get addresses(): readonly BoundAddress[] {
    return this.#supervisor.addresses;
  }

  get admin(): string {
    return this.#admin?.address ?? this.#settings.admin.address;
  }

  async start(): Promise<void> {
    const { first, seenMs, cwd } = this.#options;
    const token = await ensureToken(resolvePath(cwd, this.#settings.dataDir));
    this.#admin = await this.#startAdmin(token);
    // Watched before it goes live: what changes while workers start is seen.
    this.#watcher = watchFiles([], { timers: this.#options.timers, onChange: () => this.reload() });
    await this.#watch(first.paths);
    await this.#supervisor.boot();
    await this.#replicator.apply(first, seenMs);
    if (this.#report.revision === 0) {
      throw new Error(
        this.#report.problems.at(-1)?.message ?? "The configuration could not be brought to the workers.",
      );
    }
    await this.#supervisor.listen();
    this.#report.serving();
    // Also finds what changed between the first reading and the watch.
    this.reload();
  }

  reload(): void {
    if (this.#report.phase === "serving") void this.#replicator.reload();
  }

  reopenLogs(): void {
    this.#supervisor.reopenLogs();
  }

  async drain(): Promise<void> {
    this.#report.draining();
    this.#watcher?.close();
    await this.#supervisor.drain(this.#settings.timeouts.drainMs);
    await this.#admin?.close();
  }

  /** Ends what was started, without waiting for exchanges. */
  async stop(): Promise<void> {
    this.#watcher?.close();
    this.#supervisor.stop();
    await this.#admin?.close();
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
      pluginCacheDir: pluginCacheOf(this.#settings, cwd),
      reusePort,
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

  async #watch(paths: readonly string[]): Promise<boolean> {
    const fresh = paths.some((path) => !this.#watched.has(path));
    for (const path of paths) this.#watched.add(path);
    this.#watcher?.setPaths([...new Set(paths)]);
    await this.#watcher?.ready();
    return fresh;
  }

  async #startAdmin(token: string): Promise<AdminServer> {
    const { file, version, process, reader, log } = this.#options;
    const { address } = this.#settings.admin;
    const endpoints = adminEndpoints({
      version,
      node: process.node,
      pid: process.pid,
      source: file,
      settings: this.#settings,
      report: this.#report,
      page: this.#page,
      resources: () => this.#publisher.live?.resources,
      workers: () => this.#supervisor.status(),
      addresses: () => this.#supervisor.addresses,
      adminAddress: () => this.admin,
      explain: (asked, resources) => explain(readRequest(asked), resources, reader.origins),
      breathe: nextTurn,
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
