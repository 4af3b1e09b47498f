import { join } from "node:path";
import type { StoreSettings } from "@headgate/schema";
import type { Clock, Random } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Catalog } from "./catalog/catalog.ts";
import { kindsInOrder } from "./catalog/entry.ts";
import { reportEntries } from "./catalog/report-entry.ts";
import type { Judge, ResourceWrite } from "./change/change.ts";
import { Changes } from "./change/changes.ts";
import { Confirmations } from "./change/confirmations.ts";
import type { Converged, Converger, StoredResource } from "./converge.ts";
import type { EventBus } from "./events.ts";
import { openLastGood, type LastGood } from "./last-good.ts";
import { normalizePrefix, parseKey, resourceKey } from "./layout.ts";
import { nodeId } from "./node-id.ts";
import { NodeReport, type Node } from "./node-report.ts";
import { Nodes } from "./nodes.ts";
import { Replicator, type ReplicaChange, type ReplicaState } from "./replicate.ts";
import { rejectedOf } from "./rejected.ts";
import type { Report } from "./report.ts";
import type { StoreStatus } from "./store-status.ts";
import { Strays } from "./strays.ts";
import { recordOf, recordsOf, kvOfRecord, type RecordText } from "./last-good-record.ts";
import { Registry } from "./registry/registry.ts";
import { openStore, type OpenedStore } from "./store/open-store.ts";
import type { Key, KeyValue } from "./store/store.ts";

/** How long a start waits for a store that does not answer, where something else can be served meanwhile. */
const patienceMs = 2_000;

export interface StoreLayerOptions {
  readonly settings: StoreSettings;
  /** What the keys of instances begin with. */
  readonly registryPrefix: string;
  /** Absolute. */
  readonly dataDir: string;
  readonly version: string;
  readonly catalog: Catalog;
  readonly converger: Converger;
  readonly report: Report;
  readonly events: EventBus;
  readonly metrics: Metrics;
  readonly judge: (prefix: Key) => Judge;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** What this gateway tells the others of itself. */
  readonly facts: () => Pick<Node, "addresses" | "admin" | "startedAt">;
  /** Whether something is served also without the store. */
  readonly servesWithout: boolean;
}

/** What the store says of the configuration, all the way: open, replicate, hand over, remember, and report back. */
export class StoreLayer {
  readonly prefix: Key;
  readonly changes: Changes;
  readonly nodes: Nodes;
  readonly confirmations: Confirmations;
  readonly registry: Registry;
  readonly opened: OpenedStore;
  readonly #options: StoreLayerOptions;
  readonly #replicator: Replicator;
  readonly #lastGood: LastGood;
  readonly #report: NodeReport;
  readonly #strays: Strays;
  readonly #undone = new Map<string, readonly ResourceWrite[]>();
  readonly #hasCache: boolean;
  #troubles = -1;
  /** What was read from the disk, until it is live: 100,000 routes are not written back as they were. */
  #onDisk: ReadonlySet<KeyValue>;
  #goOn: () => void = () => undefined;

  /** Rejects where the embedded store or its address cannot be opened. */
  static async open(options: StoreLayerOptions): Promise<StoreLayer> {
    const opened = await openStore(options);
    try {
      const id = await nodeId(options.dataDir, options.random);
      return new StoreLayer(options, opened, id);
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  private constructor(options: StoreLayerOptions, opened: OpenedStore, id: string) {
    const { settings, dataDir, clock, timers, random, log, metrics, report, converger } = options;
    const { store } = opened;
    this.#options = options;
    this.opened = opened;
    this.prefix = normalizePrefix("etcd" in settings ? settings.etcd.prefix : settings.embedded.prefix);
    const { prefix } = this;
    this.#strays = new Strays(prefix);
    this.#lastGood = openLastGood({
      file: join(dataDir, "last-good.db"),
      clock,
      timers,
      log,
      onDamaged: () => this.#saveAll(),
    });
    const known = this.#lastGood.load();
    const all = known === undefined ? [] : [...known.records].map(([key, record]) => kvOfRecord(key, record));
    const registryPrefix = normalizePrefix(options.registryPrefix);
    const kvs = all.filter(({ key }) => !key.startsWith(registryPrefix));
    this.#hasCache = kvs.length > 0;
    this.#onDisk = new Set(kvs);
    const drift = metrics.counter("config_drift_total");
    this.#replicator = new Replicator({
      store,
      prefix,
      clock,
      timers,
      random,
      log,
      ...(known === undefined ? {} : { initial: { revision: known.revision, clusterId: known.clusterId, kvs } }),
      counts: (key) => parseKey(prefix, key).area === "resource",
      onChange: (change) => this.#receive(change),
      onState: (state) => this.#follow(state),
      onDrift: (count) => drift.add(count),
    });
    this.registry = new Registry({
      ...{ store, prefix: registryPrefix, clock, timers, random, log },
      ...(known === undefined ? {} : { initial: { ...known, kvs: all } }),
      onChange: (services) => converger.instances(services, clock.now()),
      onSynced: () => this.#advance(),
      onKeys: (set, gone) => this.#remember(recordsOf(set), gone),
    });
    this.nodes = new Nodes(prefix, () => this.nodeId, options.events);
    this.#report = new NodeReport({ store, prefix, id, clock, timers, random, log, dataDir });
    const common = { store, prefix, clock, timers, random, log };
    this.confirmations = new Confirmations({
      ...common,
      author: id,
      onLocalUndo: (change, writes) => this.#undo(change, writes),
      onLocalRedo: (change) => this.#redo(change),
    });
    this.changes = new Changes({
      ...common,
      judge: options.judge(prefix),
      kvs: this.#replicator.kvs,
      revision: () => this.#replicator.revision,
      caughtUp: (revision, timeoutMs) => this.#replicator.caughtUp(revision, timeoutMs),
      nodes: () => this.nodes.all(),
      onNodes: (listener) => this.nodes.listen(listener),
      remainingMs: (change) => this.confirmations.remainingMs(change),
    });
    if (known === undefined || kvs.length === 0) return;
    const { stored, others } = this.#split(kvs, []);
    for (const kv of others.set) if (parseKey(prefix, kv.key).area === "confirm") this.confirmations.set(kv, false);
    report.savedAt(known.savedWallMs);
    converger.store(known.revision, clock.now(), stored);
  }

  /** For `/v1/status`. */
  status(): StoreStatus {
    const { connected, reason } = this.#replicator.state;
    const { kind, url } = this.opened.store.facts;
    const { listening } = this.opened;
    return {
      node: this.nodeId,
      kind,
      url,
      connected,
      reason,
      revision: this.#replicator.revision,
      ...(listening === undefined ? {} : { listening }),
      nodes: this.nodes.all(),
      confirmations: this.confirmations.pending(),
    };
  }

  get url(): string {
    return this.opened.store.facts.url;
  }

  get nodeId(): string {
    return this.#report.id;
  }

  get connected(): boolean {
    return this.#replicator.state.connected;
  }

  /** Whether the store's own word is known: a name that it does not have is not there. */
  get synced(): boolean {
    return this.#replicator.state.synced && this.registry.synced;
  }

  start(): void {
    this.#replicator.start();
    this.registry.start();
  }

  /**
   * Resolves when requests can be served: what the store says was handed over; or, where a configuration is known
   * without it, the store does not answer.
   */
  async ready(): Promise<void> {
    const { timers, converger, servesWithout, log } = this.#options;
    if (!this.synced) {
      await new Promise<void>((resolve) => {
        this.#goOn = resolve;
        if (!this.#hasCache && !servesWithout) return;
        const cancel = timers.after(patienceMs, resolve);
        this.#goOn = () => {
          cancel();
          resolve();
        };
      });
    }
    await converger.settled();
    if (!this.synced) {
      const from = this.#hasCache ? "the last good state on disk" : "the file alone";
      log.warn({ reason: this.#replicator.state.reason }, `the store does not answer: serves from ${from}`);
    }
  }

  /** A change is live. */
  converged({ entries }: Converged): void {
    this.#judge();
    const set: [string, RecordText][] = [];
    const gone: string[] = [];
    for (const { kind, name, live } of entries) {
      const kv = live?.kv;
      if (kv === undefined) gone.push(resourceKey(this.prefix, kind, name));
      else if (!this.#onDisk.has(kv)) set.push([kv.key, () => recordOf(kv)]);
    }
    this.#onDisk = nothing;
    this.#remember(set, gone);
    this.tellOthers();
    this.#showSource();
  }

  #judge(): void {
    const { catalog, report, events } = this.#options;
    const troubles = catalog.troubles + this.#strays.changes;
    if (troubles === this.#troubles) return;
    this.#troubles = troubles;
    const problems = [...this.#strays.problems(), ...reportEntries(this.prefix, catalog.troubled())];
    if (report.judge("store", problems)) events.publish({ type: "rejected", problems: report.problems });
  }

  #remember(set: readonly [string, RecordText][], gone: readonly string[]): void {
    const { revision } = this.#options.converger;
    this.#lastGood.save({ revision, clusterId: this.#replicator.clusterId, set, delete: gone });
  }

  /** The file was lost: what runs is written anew. */
  #saveAll(): void {
    const { catalog, converger } = this.#options;
    const records = kindsInOrder.flatMap((kind) =>
      [...catalog.entries(kind)].flatMap(({ name, live }): [string, string][] =>
        live?.kv === undefined ? [] : [[resourceKey(this.prefix, kind, name), recordOf(live.kv)]],
      ),
    );
    const { clusterId, kvs } = this.#replicator;
    for (const [key, kv] of kvs) {
      if (parseKey(this.prefix, key).area === "confirm") records.push([key, recordOf(kv)]);
    }
    for (const kv of this.registry.keys()) records.push([kv.key, recordOf(kv)]);
    this.#lastGood.replaceAll({ revision: converger.revision, clusterId, records });
  }

  /** Brings what the other gateways know of this one up to date. */
  tellOthers(): void {
    const { report, facts, version, converger } = this.#options;
    this.#report.update({
      ...facts(),
      version,
      revision: converger.revision,
      rejected: rejectedOf(this.prefix, report.problems),
      source: report.source,
    });
  }

  /** Leaves the store as who ends in good order: its node is gone at once. */
  async close(): Promise<void> {
    this.confirmations.stop();
    this.#replicator.stop();
    this.registry.stop();
    await this.#report.release();
    this.#lastGood.flush();
    this.#lastGood.close();
    await this.opened.close();
  }

  #receive(change: ReplicaChange): void {
    const { stored, strays, others } = this.#split(change.set, change.deleted);
    if (stored.length > 0 || strays) this.#options.converger.store(change.revision, change.seenMs, stored);
    for (const kv of others.set) {
      const { area } = parseKey(this.prefix, kv.key);
      if (area === "node") this.nodes.set(kv);
      else if (area === "confirm") {
        this.confirmations.set(kv, change.cause === "watch");
        // A gateway that starts without the store takes back what nobody confirmed, too.
        this.#remember([[kv.key, recordOf(kv)]], []);
      }
    }
    for (const key of others.deleted) {
      const { area } = parseKey(this.prefix, key);
      if (area === "node") {
        this.nodes.delete(key);
        this.#report.deleted(key);
      } else if (area === "confirm") {
        this.confirmations.delete(key);
        this.#remember([], [key]);
      }
    }
  }

  /** The resources of a change, and the other keys that are read; what is neither is a stray. */
  #split(set: readonly KeyValue[], deleted: readonly Key[]): Split {
    const stored: StoredResource[] = [];
    const others: Split["others"] = { set: [], deleted: [] };
    let strays = false;
    for (const kv of set) {
      const parsed = parseKey(this.prefix, kv.key);
      if (parsed.area === "resource" && parsed.kind !== "certificates") {
        stored.push({ kind: parsed.kind, name: parsed.name, kv });
      } else if (parsed.area === "resource" || parsed.area === "unknown") {
        this.#strays.set(kv, parsed);
        strays = true;
      } else others.set.push(kv);
    }
    for (const key of deleted) {
      const parsed = parseKey(this.prefix, key);
      if (parsed.area === "resource" && parsed.kind !== "certificates") {
        stored.push({ kind: parsed.kind, name: parsed.name });
      } else if (this.#strays.delete(key)) strays = true;
      else others.deleted.push(key);
    }
    return { stored, strays, others };
  }

  #follow({ connected, reason, synced }: ReplicaState): void {
    const { metrics, events } = this.#options;
    metrics.gauge("store_connected").set(connected ? 1 : 0);
    events.publish({ type: "store", connected, reason });
    if (synced) {
      this.#advance();
    } else if (!connected && (this.#hasCache || this.#options.servesWithout)) {
      this.#goOn();
    }
  }

  /** In the turn after: the list that made the configuration, or the registry, known is handed over first. */
  #advance(): void {
    const { converger, timers } = this.#options;
    timers.after(0, () => {
      if (!this.synced) return;
      this.#goOn();
      void converger.settled().then(() => this.#showSource());
    });
  }

  /** From the disk until what the store said first is live. */
  #showSource(): void {
    const { report } = this.#options;
    if (!this.synced || report.source === "live") return;
    report.savedAt(undefined);
    this.tellOthers();
  }

  #undo(change: string, writes: readonly ResourceWrite[]): void {
    const { converger, clock } = this.#options;
    this.#undone.set(change, writes);
    const stored = writes.flatMap(({ kind, name, value }): StoredResource[] => {
      if (kind === "certificates") return [];
      if (value === undefined) return [{ kind, name }];
      const key = resourceKey(this.prefix, kind, name);
      const known = this.#replicator.kvs.get(key);
      const kv = { key, value: Buffer.from(JSON.stringify(value)), createRevision: 0, version: 0, lease: "0" };
      return [{ kind, name, kv: { ...kv, modRevision: known?.modRevision ?? 0 } }];
    });
    converger.store(converger.newest, clock.now(), stored);
  }

  #redo(change: string): void {
    const { converger, clock } = this.#options;
    const writes = this.#undone.get(change) ?? [];
    this.#undone.delete(change);
    const stored = writes.flatMap(({ kind, name }): StoredResource[] => {
      if (kind === "certificates") return [];
      const kv = this.#replicator.kvs.get(resourceKey(this.prefix, kind, name));
      return [kv === undefined ? { kind, name } : { kind, name, kv }];
    });
    converger.store(converger.newest, clock.now(), stored);
  }
}

const nothing: ReadonlySet<KeyValue> = new Set();

interface Split {
  readonly stored: StoredResource[];
  /** Whether something was or is one. */
  readonly strays: boolean;
  readonly others: { readonly set: KeyValue[]; readonly deleted: Key[] };
}
