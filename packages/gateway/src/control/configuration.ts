import type { GatewaySettings, PluginResource, Resources } from "@headgate/schema";
import type { Clock, Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import type { RecentRequests } from "../proxy/recent.ts";
import type { UpstreamEvent } from "../proxy/upstream/events.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { MetricsPage } from "../telemetry/metrics-page.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { FindAuthenticator } from "./authentication.ts";
import { Catalog } from "./catalog/catalog.ts";
import type { Version } from "./catalog/entry.ts";
import { ResourceView } from "./catalog/view.ts";
import { resourcesOf } from "./change/documents.ts";
import type { CompiledChange } from "./compile.ts";
import { Converger, type Converged } from "./converge.ts";
import { writeResource } from "./document.ts";
import { EventBus } from "./events.ts";
import { explain, type ExplainInput, type Origins } from "./explain.ts";
import type { Explanation } from "./explanation.ts";
import { FileLayer } from "./file-layer.ts";
import { judgeOf, type JudgeParts } from "./judge.ts";
import { checkOver } from "./health/check.ts";
import type { Circuits } from "./health/circuits.ts";
import { showHealth } from "./health/health-metrics.ts";
import { Monitor } from "./health/monitor.ts";
import type { HealthOverview } from "./health/overview.ts";
import { Reports } from "./health/reports.ts";
import { isKind, normalizePrefix, resourceKey } from "./layout.ts";
import type { PluginBuilder } from "./plugins.ts";
import { pluginResourceProblem } from "./plugin-problem.ts";
import { Publisher } from "./publish.ts";
import { mayBeStored, type DocumentReader } from "./read-document.ts";
import { Discovery, type FindInstances } from "./registry/discovery.ts";
import { Instances, type FoundElsewhere, type RegistryBacking } from "./registry/instances.ts";
import { isSource, kindOf } from "./registry/source-key.ts";
import type { Sources } from "./registry/sources.ts";
import { openSources } from "./registry/sources/open-sources.ts";
import { trafficReport } from "./replay.ts";
import type { ReadDocument } from "./replicate-file.ts";
import type { Report, ReportedProblem } from "./report.ts";
import type { MiddlewareTable } from "./resolve.ts";
import { Routing } from "./routing.ts";
import { StoreLayer, type StoreLayerOptions } from "./store-layer.ts";
import { textOf } from "./store/keys.ts";
import { settingsInUse, tryUses } from "./try-uses.ts";

export interface ConfigurationOptions {
  readonly settings: GatewaySettings;
  /** Absolute. */
  readonly dataDir: string;
  readonly version: string;
  readonly table: MiddlewareTable;
  readonly reader: DocumentReader;
  /** What `reader` read first; it is valid. */
  readonly first: ReadDocument & { readonly value: NonNullable<ReadDocument["value"]> };
  /** When it was read, monotonic milliseconds. */
  readonly seenMs: number;
  /** Whether there is a file at all; without one `first` holds settings only. */
  readonly hasFile: boolean;
  readonly plugins: PluginBuilder;
  /** The variables of the process's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How many workers there are, at least 1. */
  readonly workers: number;
  readonly report: Report;
  readonly metrics: Metrics;
  readonly page: MetricsPage;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** What the workers remember of their last requests. */
  readonly recent: () => Promise<RecentRequests[]>;
  readonly facts: StoreLayerOptions["facts"];
}

/** Services that one line of the log names. */
const namedMax = 20;

/** What a gateway serves: a file, a store, or a file above a store; and what is known about it. */
export class Configuration {
  readonly publisher: Publisher;
  readonly events: EventBus;
  readonly view: ResourceView;
  readonly instances: Instances;
  readonly sources: Sources;
  readonly #options: ConfigurationOptions;
  readonly #catalog: Catalog;
  readonly #discovery: Discovery;
  readonly #converger: Converger;
  readonly #routing: Routing;
  readonly #file: FileLayer | undefined;
  readonly #monitor: Monitor;
  #store: StoreLayer | undefined;
  #reports: Reports | undefined;

  constructor(options: ConfigurationOptions) {
    const { table, reader, first, seenMs, report, clock, timers, log, hasFile, plugins } = options;
    this.#options = options;
    this.#catalog = new Catalog(table);
    this.events = new EventBus(clock);
    this.#routing = new Routing(() => this.#catalog.live);
    this.sources = openSources({
      ...options,
      onChange: (keys) => this.#converger.instances(keys, clock.now()),
    });
    this.#discovery = new Discovery({
      catalog: this.#catalog,
      find: (settings) => this.#find(settings),
      onUse: (service, sources) => this.sources.use(service, sources),
      onMemory: (service, memory, known) => this.#monitor.prepare(service, memory, known),
      workers: options.workers,
    });
    this.#monitor = this.#createMonitor();
    showHealth(options.page, this.#monitor.services, options);
    this.instances = new Instances({
      services: () => this.#catalog.live.services,
      backing: () => this.#backing(),
      found: (service) => this.#foundElsewhere(service),
      state: (service, address) => this.#monitor.state(service, address),
      report: (name, address) => this.#reports?.of(name, address)?.value,
    });
    this.publisher = new Publisher(
      () => ({ ...this.#whole(), revision: this.#converger.revision }),
      (change) => tryUses(change, this.#catalog, plugins),
    );
    this.#converger = new Converger({
      catalog: this.#catalog,
      publisher: this.publisher,
      discovery: this.#discovery,
      clock,
      log,
      buildPlugin: (name, version) => this.#buildPlugin(name, version),
      onConverged: (converged) => this.#converged(converged),
    });
    this.view = new ResourceView(this.#catalog, this.#prefix, (kind, value) => writeResource(kind, value, true));
    // A document's revisions are counted here; above a store they are the store's.
    const revision = (): number => (this.#store === undefined ? report.revision + 1 : this.#converger.newest);
    const converger = this.#converger;
    this.#file = hasFile
      ? new FileLayer({ reader, first, seenMs, converger, revision, report, clock, timers, log })
      : undefined;
  }

  /** How all instances are, in short. */
  health(): HealthOverview {
    return this.#monitor.overview();
  }

  get circuits(): Circuits {
    return this.#monitor.circuits;
  }

  /** A worker changed a breaker, or ejected. */
  happened(event: UpstreamEvent): void {
    this.#monitor.happened(event);
  }

  /** What runs; its records are changed in place. */
  get live(): Resources {
    return this.#catalog.live;
  }

  /** For a worker that arrives. */
  #whole(): CompiledChange {
    const { services, memories } = this.#discovery;
    return { ...this.#catalog.whole(), services: { set: services, delete: [] }, memories };
  }

  #createMonitor(): Monitor {
    const { clock, timers, random, log, settings } = this.#options;
    return new Monitor({
      ...(settings.zone === undefined ? {} : { zone: settings.zone }),
      ...{ clock, timers, random, log, check: checkOver(timers) },
      publish: (event) => this.events.publish(event),
      sourceOf: (service) => this.#discovery.sourceOf(service),
      find: this.#find,
      report: (name, address) => this.#reports?.of(name, address),
      onHeldSick: (source, address) => {
        if ("etcd" in source) this.#store?.registry.release(source.etcd, address);
        else this.sources.release(source, address);
      },
    });
  }

  /** `undefined`: there is no store. */
  get store(): StoreLayer | undefined {
    return this.#store;
  }

  /** Opens the store and hands over what is known of it from the disk. Rejects where the embedded one cannot be opened. */
  async open(): Promise<void> {
    const { settings, reader, first, hasFile, clock } = this.#options;
    if (settings.store === undefined) return;
    this.#store = await StoreLayer.open({
      ...this.#options,
      settings: settings.store,
      registryPrefix: settings.registry.prefix,
      catalog: this.#catalog,
      converger: this.#converger,
      events: this.events,
      judge: (prefix) => judgeOf(this.#judgeParts(prefix)),
      servesWithout: hasFile && Object.keys(first.value.resources.routes).length > 0,
    });
    const { store } = this.#store.opened;
    this.#reports = new Reports({
      ...this.#options,
      store,
      onReport: (name, address) => this.#monitor.reported(name, address),
    });
    // What was on the disk was handed over while the store was being opened: its instances could not be asked for yet.
    const known = new Set(this.#store.registry.services());
    if (known.size > 0) this.#converger.instances(known, clock.now());
    reader.elsewhere = (kind, name) =>
      this.#store?.synced === true ? this.#catalog.entry(kind, name)?.store !== undefined : mayBeStored(kind);
  }

  /** Begins to read the store; what it says waits for workers. */
  follow(): void {
    this.#store?.start();
    this.#reports?.start();
  }

  /** Resolves when requests can be served. Rejects where the workers refuse the document. Needs workers. */
  async start(): Promise<void> {
    const { report } = this.#options;
    await this.#file?.start();
    if (this.#store === undefined && report.revision === 0) {
      const [problem] = report.problems.filter(({ severity }) => severity === "error").toReversed();
      throw new Error(problem?.message ?? "The configuration could not be brought to the workers.");
    }
    await this.#store?.ready();
    await this.sources.ready();
    await this.#converger.settled();
    this.#monitor.serving();
  }

  /** Reads the document again, whether it seems changed or not. */
  reload(): void {
    this.#file?.reload();
  }

  /** No change is taken any more. */
  async close(): Promise<void> {
    this.#file?.close();
    this.sources.close();
    this.#monitor.stop();
    this.#reports?.stop();
    await this.#store?.close();
    await this.#options.plugins.close();
  }

  /** Which route takes a request and why. */
  async explain(input: ExplainInput): Promise<Explanation> {
    await this.#routing.ready();
    const resources = { ...this.live, services: this.#discovery.services };
    return explain(input, resources, this.#origins, this.#routing.router, this.#monitor);
  }

  /** What is wrong with documents; changes nothing. */
  async check(documents: readonly unknown[]): Promise<readonly ReportedProblem[]> {
    const { wanted, problems } = resourcesOf(documents);
    const judgement = await judgeOf(this.#judgeParts(this.#prefix))(wanted, { traffic: false });
    return [...problems, ...judgement.problems];
  }

  get #prefix(): string {
    const { store } = this.#options.settings;
    if (store === undefined) return normalizePrefix("/headgate/");
    return normalizePrefix("etcd" in store ? store.etcd.prefix : store.embedded.prefix);
  }

  readonly #find: FindInstances = (settings) =>
    "etcd" in settings ? (this.#store?.registry.instances(settings.etcd) ?? []) : this.sources.find(settings);

  #foundElsewhere(service: string): FoundElsewhere | undefined {
    const source = this.#discovery.sourceOf(service);
    if (source === undefined || !isSource(source)) return undefined;
    return { kind: kindOf(source), instances: this.sources.find(source) ?? [] };
  }

  #backing(): RegistryBacking | undefined {
    if (this.#store === undefined) return undefined;
    const { opened, registry } = this.#store;
    return { store: opened.store, prefix: registry.prefix, registry };
  }

  #converged(converged: Converged): void {
    const { report } = this.#options;
    const { revision, seenMs, change, writes, renewed } = converged;
    // The first document is live also when there is nothing in it.
    const isFirst = this.#store === undefined && report.revision < revision;
    if (change !== undefined) this.#routing.update(change);
    if (change?.services !== undefined) this.#monitor.update(change.services, this.#discovery.memories);
    this.#monitor.renewed(renewed);
    if (change !== undefined && converged.entries.length === 0) {
      // The configuration is what it was.
      const services = Object.keys(change.services?.set ?? {});
      const what = services.length === 1 ? services[0] : `${services.length} services`;
      this.#options.log.info({ services: services.slice(0, namedMax) }, `the instances of ${what} changed`);
    } else if (change !== undefined || isFirst) {
      report.live(revision, seenMs);
      this.#options.log.info({ revision }, `revision ${revision} is live`);
    } else if (this.#store !== undefined) {
      report.advance(revision);
    }
    if (writes.length > 0) this.events.publish({ type: "change", revision, writes });
    this.#store?.converged(converged);
  }

  readonly #origins: Origins = (path) => {
    const [section = "", second] = path;
    const kind = section === "global" ? "settings" : section;
    const name = section === "global" ? "global" : second;
    if (typeof kind !== "string" || typeof name !== "string" || !isKind(kind) || kind === "certificates")
      return undefined;
    const live = this.#catalog.entry(kind, name)?.live;
    if (live?.source !== "store") return this.#options.reader.origins(path);
    return `${textOf(resourceKey(this.#prefix, kind, name))} (revision ${live.revision})`;
  };

  #judgeParts(prefix: string): JudgeParts {
    return {
      prefix,
      catalog: this.#catalog,
      publisher: this.publisher,
      routing: this.#routing,
      settled: () => this.#converger.settled(),
      buildPlugin: (name, version) => this.#buildPlugin(name, version),
      traffic: (change) => this.#traffic(change),
    };
  }

  async #traffic(change: SnapshotChange): Promise<object> {
    const { recent } = this.#options;
    const live = { resources: this.live, routing: this.#routing, authenticator: this.#authenticator };
    return trafficReport(await recent(), change, live);
  }

  readonly #authenticator: FindAuthenticator = (name) => {
    const { table, plugins } = this.#options;
    const known = table.get(name);
    const sha256 = Object.hasOwn(this.live.plugins, name) ? this.live.plugins[name]?.sha256 : undefined;
    return known ?? (sha256 !== undefined && plugins.authenticates(sha256) ? { authenticates: true } : undefined);
  };

  async #buildPlugin(name: string, version: Version): Promise<Version> {
    const written = version.value as PluginResource; // asked for plugins only
    // With its settings at once, since each trial takes a thread.
    const settings = settingsInUse(this.#catalog, name);
    const { resource, problems } = await this.#options.plugins.build(name, written, settings);
    const found = [...version.problems, ...problems.map((problem) => pluginResourceProblem(name, problem))];
    const { source, revision, kv } = version;
    const built = { source, revision, problems: found, ...(kv === undefined ? {} : { kv }) };
    return found.some(({ severity }) => severity === "error") ? built : { ...built, value: resource };
  }
}
