import type { Problem, Resources, RouteResource } from "@headgate/schema";
import { nextTurn } from "../core/timers.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { BuildFailure } from "../proxy/build-failure.ts";
import type { AheadRoute } from "../proxy/routes-ahead.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import type { Catalog, Refusal } from "./catalog/catalog.ts";
import { kindsInOrder, type CatalogKind, type Entry, type Version } from "./catalog/entry.ts";
import type { Plan } from "./catalog/plan.ts";
import { pathOf, readVersion } from "./catalog/read-version.ts";
import type { Publisher } from "./publish.ts";
import type { Discovery } from "./registry/discovery.ts";
import type { KeyValue } from "./store/store.ts";

/** What a store holds of a resource now. */
export interface StoredResource {
  readonly kind: CatalogKind;
  readonly name: string;
  /** Absent: it was deleted. */
  readonly kv?: KeyValue;
}

/** A change that is live. */
export interface Converged {
  readonly revision: number;
  /** When its oldest part was seen, monotonic milliseconds. */
  readonly seenMs: number;
  /** `undefined`: nothing that runs changed. */
  readonly change: SnapshotChange | undefined;
  /** Entries whose live version changed. */
  readonly entries: readonly Entry[];
  /** What became of what runs. */
  readonly writes: readonly {
    readonly kind: CatalogKind;
    readonly name: string;
    readonly action: "create" | "update" | "delete";
  }[];
  /** Keys under which instances came, changed or went. */
  readonly renewed: ReadonlySet<string>;
}

/** Why a document did not go live; then nothing of it did. */
export type FileResult = "live" | "unchanged" | { readonly refused: string };

export interface ConvergerOptions {
  readonly catalog: Catalog;
  readonly publisher: Publisher;
  readonly discovery: Discovery;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes a module of a plugin's source and tries it. Does not reject. */
  readonly buildPlugin: (name: string, version: Version) => Promise<Version>;
  /** After each change, also those in which only problems changed. Must not throw. */
  readonly onConverged: (converged: Converged) => void;
  /** Of a change of so many resources the workers are told the routes ahead. Default: 1,000. */
  readonly aheadMin?: number;
}

interface Batch {
  /** Absent: it has none of its own, and is of that which runs by then. */
  readonly revision?: number;
  readonly seenMs: number;
  readonly stored?: readonly StoredResource[];
  /** Keys under which instances came, changed or went. */
  readonly renewed?: ReadonlySet<string>;
  readonly file?: { readonly resources: Resources; readonly resolve: (result: FileResult) => void };
}

/** Resources validated before the control thread does something else: some milliseconds. */
const resourcesPerSlice = 500;
/** Each round takes out what the workers refused; a change of which more fails piece by piece is refused as a whole. */
const roundsMax = 5;

/**
 * Brings what the store and the file want to the workers: validates, decides, publishes; one after the other, in the
 * order of the revisions. Changes that come meanwhile are taken together as the next one: each revision is seen whole
 * or not at all, and the newest wins. What the workers refuse keeps its last good version, and the rest goes on.
 */
export class Converger {
  readonly #options: ConvergerOptions;
  #queue: Batch[] = [];
  #running = false;
  #revision = 0;
  #newest = 0;
  /** Batches that were handed over, and that were dealt with. */
  #pushed = 0;
  #done = 0;
  #waiting: { readonly pushed: number; readonly resolve: () => void }[] = [];

  constructor(options: ConvergerOptions) {
    this.#options = options;
  }

  /** The newest revision that was dealt with. */
  get revision(): number {
    return this.#revision;
  }

  /** The newest revision that was handed over: that of what is said beside the store's own revisions. */
  get newest(): number {
    return this.#newest;
  }

  /** What changed in the store with a revision. */
  store(revision: number, seenMs: number, stored: readonly StoredResource[]): void {
    this.#newest = revision;
    this.#push({ revision, seenMs, stored });
  }

  /** Instances came, changed or went under these keys (`discoveryKey`). */
  instances(keys: ReadonlySet<string>, seenMs: number): void {
    this.#push({ seenMs, renewed: keys });
  }

  /** What a file says, as a whole; it is above the store. Resolves when it is live, or refused as a whole. */
  file(resources: Resources, seenMs: number, revision: number): Promise<FileResult> {
    return new Promise((resolve) => this.#push({ revision, seenMs, file: { resources, resolve } }));
  }

  /** Resolves when all that was handed over so far was dealt with; what comes meanwhile is not waited for. */
  settled(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ pushed: this.#pushed, resolve }));
  }

  #push(batch: Batch): void {
    this.#queue.push(batch);
    this.#pushed++;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    for (let batches = this.#take(); batches.length > 0; batches = this.#take()) {
      try {
        await this.#converge(batches);
      } catch (error) {
        // A defect of ours. What comes next must not wait for it.
        this.#options.log.error({ err: error }, "a change could not be taken over; the gateway serves on without it");
        for (const { file } of batches) file?.resolve({ refused: "the gateway failed; the log has the details" });
      }
      this.#options.publisher.forgetAhead();
      this.#done += batches.length;
      this.#tellWaiting();
    }
    this.#running = false;
  }

  #tellWaiting(): void {
    const reached = this.#waiting.filter(({ pushed }) => pushed <= this.#done);
    this.#waiting = this.#waiting.filter(({ pushed }) => pushed > this.#done);
    for (const { resolve } of reached) resolve();
  }

  /** All that waits before the first document, or that document: it is live or refused by itself. */
  #take(): readonly Batch[] {
    const first = this.#queue.findIndex(({ file }) => file !== undefined);
    return this.#queue.splice(0, first < 0 ? this.#queue.length : Math.max(first, 1));
  }

  async #converge(batches: readonly Batch[]): Promise<void> {
    const { catalog, publisher, discovery, onConverged } = this.#options;
    const last = batches.at(-1);
    const file = last?.file;
    let before = file === undefined ? undefined : this.#setFile(file.resources);
    await this.#setStored(batches);
    const revision = batches.findLast((batch) => batch.revision !== undefined)?.revision ?? this.#revision;
    const seenMs = Math.min(...batches.map((batch) => batch.seenMs));
    const renewed = new Set(batches.flatMap((batch) => [...(batch.renewed ?? [])]));
    for (let round = 1; ; round++) {
      const plan = catalog.plan();
      const writes = writesOf(plan);
      const compiled = discovery.expand(plan, renewed);
      const change = compiled === undefined ? undefined : { ...compiled, revision };
      if (change === undefined) {
        catalog.commit(plan);
      } else {
        const result = await publisher.publish(change, () => {
          catalog.commit(plan);
          discovery.adopt(compiled);
        });
        if (result.outcome === "refused") {
          const refusals = before === undefined ? refusalsOf(result, plan, round) : [];
          catalog.refuse(plan, refusals);
          if (before === undefined) {
            if (refusals.length > 0 || round < roundsMax) continue;
            // Only deletions are left, which have no version to refuse: what they would delete runs on.
            catalog.settle(heldBack(plan, result.message));
            this.#revision = revision;
            onConverged({ revision, seenMs, change: undefined, entries: [], writes: [], renewed });
            return;
          }
          // A document is live as a whole or not at all; what the store changed meanwhile goes on without it.
          this.#restoreFile(before);
          before = undefined;
          file?.resolve({ refused: result.message });
          continue;
        }
      }
      // A document that changed nothing has no revision of its own, unless it is the first: also an empty one is served.
      const counts = change !== undefined || file === undefined || (before !== undefined && this.#revision === 0);
      if (counts) this.#revision = revision;
      if (before !== undefined) file?.resolve(change === undefined ? "unchanged" : "live");
      onConverged({ revision: this.#revision, seenMs, change, entries: [...plan.next.keys()], writes, renewed });
      return;
    }
  }

  async #setStored(batches: readonly Batch[]): Promise<void> {
    const { catalog, buildPlugin, publisher, aheadMin = 1_000 } = this.#options;
    let count = 0;
    let ahead: AheadRoute[] = [];
    // Plugins last: they are tried with the settings that came with them.
    const newest = newestOf(batches);
    const [plugins, others] = partition(newest, ({ kind }) => kind === "plugins");
    for (const { kind, name, kv } of [...others, ...plugins]) {
      let version = kv === undefined ? undefined : readVersion(kind, name, kv);
      if (kind === "plugins" && version?.value !== undefined) version = await buildPlugin(name, version);
      catalog.set("store", kind, name, version);
      if (kind === "routes" && newest.length >= aheadMin) addTo(ahead, name, version);
      if (++count % resourcesPerSlice !== 0) continue;
      if (ahead.length > 0) publisher.ahead(ahead);
      ahead = [];
      await nextTurn();
    }
    if (ahead.length > 0) publisher.ahead(ahead);
  }

  /** Sets the layer of the file; answers what it said before, to be restored. */
  #setFile(resources: Resources): readonly FileVersion[] {
    const { catalog } = this.#options;
    const before: FileVersion[] = [];
    for (const kind of kindsInOrder) {
      const written = valuesOf(kind, resources);
      for (const entry of [...catalog.entries(kind)]) {
        if (entry.file === undefined || written.has(entry.name)) continue;
        before.push({ kind, name: entry.name, version: entry.file });
        catalog.set("file", kind, entry.name, undefined);
      }
      for (const [name, value] of written) {
        const version = catalog.entry(kind, name)?.file;
        // Of ten thousand routes all but one are the same objects as before the change.
        if (version?.value === value) continue;
        before.push({ kind, name, version });
        catalog.set("file", kind, name, { value, problems: none, source: "file", revision: 0 });
      }
    }
    return before;
  }

  #restoreFile(before: readonly FileVersion[]): void {
    for (const { kind, name, version } of before) this.#options.catalog.set("file", kind, name, version);
  }
}

/** Of several versions of one resource only the newest is read. One batch names each of its resources once. */
function newestOf(batches: readonly Batch[]): readonly StoredResource[] {
  const [only] = batches;
  if (batches.length === 1) return only?.stored ?? [];
  const newest = new Map<string, StoredResource>();
  for (const { stored = [] } of batches) for (const one of stored) newest.set(`${one.kind}/${one.name}`, one);
  return [...newest.values()];
}

/** What is not valid, or has steps of its own, which others may have to be there for, is told with the change only. */
function addTo(ahead: AheadRoute[], name: string, version: Version | undefined): void {
  const route = version?.value as RouteResource | undefined; // asked for routes only
  if (route?.use.length === 0) ahead.push([name, route]);
}

function partition<T>(all: readonly T[], is: (one: T) => boolean): readonly [T[], T[]] {
  return [all.filter(is), all.filter((one) => !is(one))];
}

/** Before it is committed. */
function writesOf({ next }: Plan): Converged["writes"] {
  return [...next].map(([{ kind, name, live }, version]) => ({
    kind,
    name,
    action: version === undefined ? "delete" : live === undefined ? "create" : "update",
  }));
}

/** A plan that the workers refuse though there is nothing left in it to blame; it is tried again with the next change. */
function heldBack(plan: Plan, message: string): Plan {
  const deleted = [...plan.next].filter(([, version]) => version === undefined);
  const problems = deleted.map(([entry]): [Entry, readonly Problem[]] => [
    entry,
    [{ path: pathOf(entry.kind, entry.name), message: `it cannot be deleted: ${message}`, severity: "error" }],
  ]);
  return { ...plan, problems: new Map([...plan.problems, ...problems]) };
}

const none: readonly Problem[] = [];

interface FileVersion {
  readonly kind: CatalogKind;
  readonly name: string;
  readonly version: Version | undefined;
}

/** A file without a global chain leaves that to the store. */
function valuesOf(kind: CatalogKind, resources: Resources): Map<string, NonNullable<Version["value"]>> {
  if (kind !== "settings") return new Map(Object.entries(resources[kind]));
  return new Map(resources.global.length === 0 ? [] : [["global", resources.global]]);
}

/**
 * Who is to blame. What the workers name; where they name nobody (a step that never finishes building takes its worker
 * down) the plugins among the changes, for only code can do that. Where there are none it was a worker that ended for
 * another reason, and the change is tried again as it is before all of it is refused.
 */
function refusalsOf(
  { message, failures }: { readonly message: string; readonly failures: readonly BuildFailure[] },
  plan: Plan,
  round: number,
): Refusal[] {
  const all = round >= roundsMax;
  const named = failures.filter(({ name, kind }) => name !== "" || kind === "global");
  if (named.length > 0 && !all) {
    return named.map(({ kind, name, message: reason }) =>
      kind === "global" ? { kind: "settings", name: "global", reason } : { kind, name, reason },
    );
  }
  const changed = [...plan.next].flatMap(([entry, version]) => (version === undefined ? [] : [entry]));
  const plugins = changed.filter(({ kind }) => kind === "plugins");
  if (plugins.length === 0 && round === 1) return [];
  return (plugins.length > 0 && !all ? plugins : changed).map(({ kind, name }) => ({ kind, name, reason: message }));
}
