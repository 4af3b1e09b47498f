import type { DiscoverSettings, ServiceResource } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import type { UpstreamEvent } from "../../proxy/upstream/events.ts";
import { InstanceHealth } from "../../proxy/upstream/health/instance-health.ts";
import type { ServiceMemory } from "../../proxy/upstream/memory.ts";
import type { KindChange } from "../../proxy/snapshot.ts";
import type { GatewayEvent } from "../events.ts";
import type { FindInstances } from "../registry/discovery.ts";
import { discoveryKey } from "../registry/source-key.ts";
import type { FoundInstance } from "../registry/source.ts";
import { Announcer } from "./announcer.ts";
import type { RunCheck } from "./check.ts";
import type { CheckState } from "./check-state.ts";
import { isCircuitName } from "./circuit.ts";
import { Circuits, type CircuitText } from "./circuits.ts";
import type { StateText } from "./instance-state.ts";
import { biasesOf } from "./load-bias.ts";
import { isPanicking, overviewOf, stateText, type HealthOverview } from "./overview.ts";
import { Prober } from "./prober.ts";
import { hasLoad, hasStatus, type InstanceReport } from "./report.ts";
import { InstanceViews, ServiceViews } from "./views.ts";
import { currentState, type UsedInstance, type WatchedService } from "./watched.ts";

/** How often is looked at what changes without being told: reports that age, times that are over. */
const lookMs = 1_000;
/** Instances that are looked at each time though nothing is known to become of them: some milliseconds at most. */
const quietLooksMax = 1_000;

const noneRegistered: ReadonlyMap<string, FoundInstance> = new Map();

export interface MonitorOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly check: RunCheck;
  /** Where this gateway stands. */
  readonly zone?: string;
  readonly publish: (event: GatewayEvent) => void;
  /** Where the instances of a service come from, beside those that are written down. */
  readonly sourceOf: (service: string) => DiscoverSettings | undefined;
  /** Who is there, whatever their status. */
  readonly find: FindInstances;
  /** What an instance reports; `name` is that of the registry. */
  readonly report: (name: string, address: string) => InstanceReport | undefined;
  /** An instance that vanished from where it was found and was kept all the same failed a check. */
  readonly onHeldSick: (source: DiscoverSettings, address: string) => void;
}

/** What is to be told of a service as a whole. */
export interface ServiceHealth {
  /** Its own breaker; absent where it has none and none is held. */
  readonly circuit?: CircuitText;
  /** So few instances are well that health is not looked at. */
  readonly panic?: true;
}

/**
 * All that the control thread knows and does of the health of instances: has them checked, hears their reports, writes
 * what follows into the memory of the workers, and tells one state with one reason of each.
 */
export class Monitor {
  readonly #options: MonitorOptions;
  readonly #prober: Prober;
  readonly #announcer: Announcer;
  readonly circuits: Circuits;
  readonly #services = new Map<string, WatchedService>();
  readonly #byReportName = new Map<string, Set<WatchedService>>();
  readonly #stopLooking: () => void;
  /** Services of which instances are looked at each time. */
  readonly #lively = new Set<WatchedService>();
  /** Whose turn it is to be looked at all the same. */
  #turn: MapIterator<WatchedService>;
  #isServing = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    const { clock, timers, random, check, log, publish } = options;
    this.#announcer = new Announcer({ clock, log, publish });
    this.circuits = new Circuits({
      ...{ clock, random, log, announcer: this.#announcer, services: this.#services },
      onChange: (watched, address) => this.#refresh(watched, address),
    });
    this.#prober = new Prober({
      ...{ clock, timers, random, check },
      onChecked: (service, address, state, before) => this.#checked(service, address, state, before),
    });
    this.#turn = this.#services.values();
    this.#stopLooking = timers.every(lookMs, () => this.#look());
  }

  /** Requests are served: who is not there yet is new. */
  serving(): void {
    this.#isServing = true;
  }

  /**
   * The memory of a service before the workers have it; `known` is what it had. An instance that comes later than its
   * service begins with a small share. Those that come with it, or while the gateway finds out who is there, have been
   * there before: among them there is nothing to be slow about.
   */
  prepare(service: string, memory: ServiceMemory, known: ServiceMemory | undefined): void {
    this.circuits.prepare(service, memory);
    if (known === undefined || !this.#isServing) return;
    for (const [address, one] of Object.entries(memory.instances)) {
      if (known.instances[address] !== one) new InstanceHealth(one).begin(this.#options.clock.now());
    }
  }

  /** The workers have it: services that changed, with their instances, and those that are gone. */
  update(change: KindChange<ServiceResource>, memories: Readonly<Record<string, ServiceMemory>>): void {
    for (const name of change.delete) this.#drop(name);
    for (const [name, resource] of Object.entries(change.set)) {
      const memory = memories[name];
      if (memory !== undefined) this.#set(name, resource, memory);
    }
  }

  /** Instances came, went or changed under these keys (`discoveryKey`). */
  renewed(keys: ReadonlySet<string>): void {
    for (const watched of keys.size === 0 ? [] : this.#services.values()) {
      const { discovery } = watched;
      if (discovery === undefined || !keys.has(discoveryKey(discovery))) continue;
      watched.registered = this.#registeredOf(discovery);
      this.#refreshAll(watched);
    }
  }

  /** A report came, changed or went. */
  reported(name: string, address: string): void {
    for (const watched of this.#byReportName.get(name) ?? []) {
      const used = watched.used.get(address);
      if (used === undefined) continue;
      used.report = this.#options.report(name, address);
      this.#writeReport(used, used.bias);
      this.#refresh(watched, address);
    }
  }

  /** A worker changed a breaker, or ejected. */
  happened({ kind, service, instance, to, reason, atMs }: UpstreamEvent): void {
    const watched = this.#services.get(service);
    if (watched === undefined) return;
    const used = instance === undefined ? undefined : watched.used.get(instance);
    // Back in, it is as cold as one that was just started.
    if (to === "closed" || to === "in") used?.views.health.begin(atMs);
    if (kind === "breaker" && isCircuitName(to)) this.circuits.tell(watched, instance, to, reason);
    else if (used !== undefined && instance !== undefined) {
      used.ejectionReason = reason;
      this.#refresh(watched, instance);
    }
  }

  /** All services that run, by name; changed in place. */
  get services(): ReadonlyMap<string, WatchedService> {
    return this.#services;
  }

  /** What is shown of an instance; `undefined` where no service of that name uses it. */
  state(service: string, address: string): StateText | undefined {
    const shown = this.#services.get(service)?.shown.get(address);
    return shown && stateText(shown, this.#options.clock);
  }

  /** How all instances are, in short. */
  overview(): HealthOverview {
    return overviewOf(this.#services, this.#options.clock);
  }

  /** What is to be told of a service as a whole; empty where there is nothing. */
  service(name: string): ServiceHealth {
    const watched = this.#services.get(name);
    if (watched === undefined) return {};
    const circuit = this.circuits.whole(watched);
    return {
      ...(circuit === undefined ? {} : { circuit }),
      ...(isPanicking(watched, this.#options.zone) ? { panic: true } : {}),
    };
  }

  stop(): void {
    this.#stopLooking();
    this.#prober.stop();
  }

  #set(name: string, resource: ServiceResource, memory: ServiceMemory): void {
    const known = this.#services.get(name);
    const discovery = this.#options.sourceOf(name);
    const reportName = discovery !== undefined && "etcd" in discovery ? discovery.etcd : name;
    const registered = this.#registeredOf(discovery);
    const now = { resource, memory, discovery, reportName, registered };
    const watched: WatchedService = known ?? {
      ...{ name, ...now, used: new Map(), shown: new Map() },
      ...{ views: new ServiceViews(memory.service), lively: new Set() },
    };
    this.#unindex(watched);
    this.#services.set(name, Object.assign(watched, now));
    this.#byReportName.set(reportName, (this.#byReportName.get(reportName) ?? new Set()).add(watched));
    const addresses = new Set(resource.instances.map(({ address }) => address));
    for (const address of watched.used.keys()) if (!addresses.has(address)) watched.used.delete(address);
    this.#prober.set(name, resource.healthCheck, addresses);
    if (known === undefined) this.circuits.begin(watched, undefined);
    for (const address of addresses) {
      const shared = memory.instances[address];
      if (shared !== undefined) this.#use(watched, address, shared);
    }
    this.#refreshAll(watched, known === undefined);
  }

  #drop(name: string): void {
    const watched = this.#services.get(name);
    if (watched === undefined) return;
    this.#prober.set(name, undefined, []);
    this.#services.delete(name);
    this.#lively.delete(watched);
    this.#unindex(watched);
  }

  #unindex(watched: WatchedService): void {
    const namesakes = this.#byReportName.get(watched.reportName);
    namesakes?.delete(watched);
    if (namesakes?.size === 0) this.#byReportName.delete(watched.reportName);
  }

  #use(watched: WatchedService, address: string, memory: SharedArrayBuffer): void {
    const { name, reportName, used } = watched;
    let instance = used.get(address);
    if (instance?.views.memory !== memory) {
      instance = {
        views: new InstanceViews(memory),
        report: undefined,
        isReportedUp: true,
        bias: 1,
        isCheckedWell: true,
      };
      used.set(address, instance);
      this.circuits.begin(watched, address);
    }
    this.#writeCheck(instance, this.#prober.state(name, address)?.healthy ?? true);
    instance.report = this.#options.report(reportName, address);
    this.#writeReport(instance, instance.bias);
  }

  #registeredOf(discovery: DiscoverSettings | undefined): ReadonlyMap<string, FoundInstance> {
    const found = discovery === undefined ? undefined : this.#options.find(discovery);
    return found === undefined ? noneRegistered : new Map(found.map((known) => [known.address, known]));
  }

  #checked(service: string, address: string, state: CheckState, before: CheckState): void {
    const watched = this.#services.get(service);
    const used = watched?.used.get(address);
    if (watched === undefined || used === undefined) return;
    this.#writeCheck(used, state.healthy);
    // Only after its checks had failed, too: while they pass, requests may fail all the same.
    if (state.healthy && !before.healthy) used.views.outlier?.lift();
    this.#refresh(watched, address);
    const { discovery, registered } = watched;
    if (discovery === undefined || state.failure === undefined) return;
    if (registered.get(address)?.heldSinceMs !== undefined) this.#options.onHeldSick(discovery, address);
  }

  #writeCheck(instance: UsedInstance, isWell: boolean): void {
    if (isWell === instance.isCheckedWell) return;
    instance.isCheckedWell = isWell;
    instance.views.health.setCheck(isWell, this.#options.clock.now());
  }

  #writeReport(instance: UsedInstance, bias: number): void {
    const { report, views } = instance;
    const nowMs = this.#options.clock.now();
    const isUp = report === undefined || report.status === "UP" || !hasStatus(report, nowMs);
    if (isUp === instance.isReportedUp && bias === instance.bias) return;
    instance.isReportedUp = isUp;
    instance.bias = bias;
    views.health.setReport(isUp, bias, nowMs);
  }

  /**
   * What changes with time, and what a worker that ended could not tell. Those that are simply up are looked at in turn,
   * some at a time: what becomes of them is told.
   */
  #look(): void {
    for (const watched of [...this.#lively]) {
      this.#writeLoads(watched);
      for (const address of [...watched.lively]) this.#lookAt(watched, address === "" ? undefined : address);
    }
    for (let left = quietLooksMax, services = this.#services.size; left > 0 && services > 0; services--) {
      const watched = this.#next();
      if (watched === undefined) break;
      const { lively, used } = watched;
      if (!lively.has("")) this.#lookAt(watched, undefined);
      for (const address of used.keys()) if (!lively.has(address)) this.#lookAt(watched, address);
      left -= used.size + 1;
    }
    this.#announcer.tick();
  }

  /** Whose turn it is; after the last it is the first's. */
  #next(): WatchedService | undefined {
    const next = this.#turn.next();
    if (next.done !== true) return next.value;
    this.#turn = this.#services.values();
    const first = this.#turn.next();
    return first.done === true ? undefined : first.value;
  }

  #lookAt(watched: WatchedService, instance: string | undefined): void {
    const isUntold = this.circuits.look(watched, instance);
    if (instance === undefined) this.#setLively(watched, "", isUntold);
    else this.#refresh(watched, instance, false, isUntold);
  }

  #setLively(watched: WatchedService, address: string, isLively: boolean): void {
    if (isLively) watched.lively.add(address);
    else if (!watched.lively.delete(address)) return;
    if (watched.lively.size === 0) this.#lively.delete(watched);
    else this.#lively.add(watched);
  }

  /** All of a service together, as they are compared with one another, and so often only: load changes all the time. */
  #writeLoads({ used }: WatchedService): void {
    const nowMs = this.#options.clock.now();
    const instances = [...used.values()];
    if (instances.every(({ report, bias, isReportedUp }) => report === undefined && bias === 1 && isReportedUp)) return;
    const loads = instances.map(({ report }) =>
      report !== undefined && hasLoad(report, nowMs) ? report.load : undefined,
    );
    for (const [index, bias] of biasesOf(loads).entries()) {
      const instance = instances[index];
      if (instance !== undefined) this.#writeReport(instance, bias);
    }
  }

  /** `isNew`: its service is, too, and who reads of that is told enough. */
  #refreshAll(watched: WatchedService, isNew = false): void {
    const { used, registered, shown } = watched;
    for (const address of new Set([...used.keys(), ...registered.keys(), ...shown.keys()])) {
      this.#refresh(watched, address, isNew);
    }
  }

  #refresh(watched: WatchedService, address: string, isNew = false, isUntold = false): void {
    const { name, shown, used } = watched;
    const before = shown.get(address);
    const after = currentState(watched, address, this.#prober.state(name, address), this.#options);
    const isSame = before?.state === after?.state;
    if (after === undefined) shown.delete(address);
    else if (!isSame || after.state !== "up") {
      const sinceWallMs = isSame && before !== undefined ? before.sinceWallMs : this.#options.clock.wall();
      shown.set(address, { ...after, sinceWallMs });
    }
    const { report, bias = 1 } = used.get(address) ?? {};
    const ages = report !== undefined || bias > 1;
    this.#setLively(watched, address, after !== undefined && (after.state !== "up" || ages || isUntold));
    if (!isSame && !isNew) this.#announcer.instance(name, address, before?.state, after);
  }
}
