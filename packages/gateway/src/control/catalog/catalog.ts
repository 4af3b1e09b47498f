import type { ChainEntry, ConsumerResource, Resources } from "@headgate/schema";
import type { CompiledChange } from "../compile.ts";
import type { MiddlewareTable } from "../resolve.ts";
import { ClaimIndex } from "./claims.ts";
import {
  idOf,
  kindsInOrder,
  refersTo,
  wantedOf,
  type CatalogKind,
  type Entry,
  type Value,
  type Version,
} from "./entry.ts";
import { planChange, type Plan, type PlanState } from "./plan.ts";

/** A resource that the workers could not build. */
export interface Refusal {
  readonly kind: CatalogKind;
  readonly name: string;
  readonly reason: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Every resource the gateway knows: what the store and the file say, and what runs. Step 2 of a change happens here; the
 * cost of a change depends on what it touches and on what refers to that, not on how many resources there are.
 */
export class Catalog {
  readonly #entries = new Map<string, Entry>();
  readonly #referrers = new Map<string, Set<Entry>>();
  readonly #claims = new ClaimIndex();
  readonly #byKind = new Map<CatalogKind, Set<Entry>>(kindsInOrder.map((kind) => [kind, new Set()]));
  /** Entries with problems: those that are shown. */
  readonly #troubled = new Set<Entry>();
  #troubles = 0;
  readonly #touched = new Set<Entry>();
  readonly #table: MiddlewareTable;
  readonly #state: PlanState;
  readonly #live: Mutable<Resources> & { readonly [kind: string]: unknown };

  constructor(table: MiddlewareTable) {
    this.#table = table;
    this.#state = {
      table,
      entries: this.#entries,
      referrers: this.#referrers,
      claims: this.#claims,
      names: (kind) => namesOf(this.entries(kind)),
    };
    this.#live = {
      routes: emptyRecord(),
      services: emptyRecord(),
      middlewares: emptyRecord(),
      consumers: emptyRecord(),
      plugins: emptyRecord(),
      global: [],
    };
  }

  /** What runs. The records are changed in place when a plan is committed. */
  get live(): Resources {
    return this.#live;
  }

  /** Whether `plan` has something to decide. */
  get isTouched(): boolean {
    return this.#touched.size > 0;
  }

  entry(kind: CatalogKind, name: string): Entry | undefined {
    return this.#entries.get(idOf(kind, name));
  }

  entries(kind: CatalogKind): Iterable<Entry> {
    return this.#byKind.get(kind) ?? [];
  }

  /** The entries whose versions, wanted or live, refer to a resource. */
  referrers(kind: CatalogKind, name: string): Iterable<Entry> {
    return this.#referrers.get(idOf(kind, name)) ?? [];
  }

  /** Entries that have problems, warnings too. */
  troubled(): Iterable<Entry> {
    return this.#troubled;
  }

  /** Grows whenever `troubled` may tell something else: ten thousand problems are not compared with every change. */
  get troubles(): number {
    return this.#troubles;
  }

  /** What a store or a file says of a resource now; `undefined`: nothing. Takes effect with the next plan. */
  set(source: "store" | "file", kind: CatalogKind, name: string, version: Version | undefined): void {
    let entry = this.entry(kind, name);
    if (entry === undefined) {
      if (version === undefined) return;
      entry = newEntry(kind, name);
      this.#entries.set(entry.id, entry);
      this.#byKind.get(kind)?.add(entry);
    }
    entry[source] = version;
    this.#refer(entry);
    this.#touched.add(entry);
  }

  /** Decides what the touched entries come to. What was decided is not asked again until it is touched. */
  plan(): Plan {
    const plan = planChange(this.#state, this.#touched);
    this.#touched.clear();
    return plan;
  }

  /** What these versions would lead to, were they set in the store's layer; changes nothing. */
  trial(versions: Iterable<{ kind: CatalogKind; name: string; version: Version | undefined }>): Trial {
    const wanted = new Map<Entry, Version | undefined>();
    const added = new Map<string, Entry>();
    for (const { kind, name, version } of versions) {
      const id = idOf(kind, name);
      const entry = this.#entries.get(id) ?? added.get(id) ?? newEntry(kind, name);
      if (!this.#entries.has(id)) added.set(id, entry);
      wanted.set(entry, entry.file ?? version);
    }
    const state = added.size === 0 ? this.#state : withEntries(this.#state, added);
    const plan = planChange(state, wanted.keys(), (entry) => (wanted.has(entry) ? wanted.get(entry) : wantedOf(entry)));
    return { plan, written: new Set(wanted.keys()) };
  }

  /** The plan is live on all workers. */
  commit(plan: Plan): void {
    for (const [entry, version] of plan.next) {
      const before = entry.live;
      entry.live = version;
      if (entry.kind === "consumers") {
        this.#claims.replace(entry, consumerOf(before), consumerOf(version));
      }
      this.#show(entry, version?.value);
    }
    this.settle(plan);
    for (const entry of plan.next.keys()) {
      this.#refer(entry);
      this.#forget(entry);
    }
  }

  /** Takes over what a plan found wrong, without what it would change: nothing did, or the workers refused it. */
  settle(plan: Plan): void {
    for (const [entry, problems] of plan.problems) {
      if (problems.length > 0 || entry.problems.length > 0) this.#troubles++;
      entry.problems = problems;
      entry.withdrawn = entry.live !== undefined && wantedOf(entry) === undefined;
      if (problems.length === 0) this.#troubled.delete(entry);
      else this.#troubled.add(entry);
      if (entry.kind === "consumers") {
        this.#claims.waits(
          entry,
          problems.some(({ severity }) => severity === "error"),
        );
      }
      this.#forget(entry);
    }
  }

  /**
   * The workers could not build a plan. What they name is refused and keeps its last good version; the rest is decided
   * again with the next plan.
   */
  refuse(plan: Plan, refusals: readonly Refusal[]): void {
    for (const entry of plan.problems.keys()) this.#touched.add(entry);
    for (const { kind, name, reason } of refusals) {
      const entry = this.entry(kind, name);
      const version = entry === undefined ? undefined : wantedOf(entry);
      if (entry !== undefined && version !== undefined) entry.refused = { version, reason };
    }
  }

  /** From nothing to what runs: for a worker that arrives. */
  whole(): CompiledChange {
    const { global, ...records } = this.#live;
    return {
      ...Object.fromEntries(Object.entries(records).map(([kind, set]) => [kind, { set, delete: [] }])),
      global,
    };
  }

  #show(entry: Entry, value: Value | undefined): void {
    const { kind, name } = entry;
    if (kind === "settings") {
      this.#live.global = (value ?? []) as readonly ChainEntry[]; // see ValueOf
      return;
    }
    const record = this.#live[kind] as Record<string, Value>; // ours, see the constructor
    if (value === undefined) delete record[name];
    else record[name] = value;
  }

  /** Keeps the index of what refers to what. */
  #refer(entry: Entry): void {
    const wanted = wantedOf(entry)?.value;
    const live = entry.live?.value;
    const named = refersTo(entry.kind, wanted, this.#table);
    if (live !== wanted) named.push(...refersTo(entry.kind, live, this.#table));
    const ids = named.length > 1 ? [...new Set(named)] : named;
    // Most changes refer to what they did; a service has as many referrers as there are routes.
    if (ids.length === entry.refers.length && ids.every((id, at) => id === entry.refers[at])) return;
    for (const id of entry.refers) {
      const referrers = this.#referrers.get(id);
      referrers?.delete(entry);
      if (referrers?.size === 0) this.#referrers.delete(id);
    }
    for (const id of ids) {
      let referrers = this.#referrers.get(id);
      if (referrers === undefined) this.#referrers.set(id, (referrers = new Set()));
      referrers.add(entry);
    }
    entry.refers = ids.length === 0 ? nothing : ids;
  }

  #forget(entry: Entry): void {
    if (entry.live !== undefined || wantedOf(entry) !== undefined || entry.store !== undefined) return;
    this.#entries.delete(entry.id);
    this.#byKind.get(entry.kind)?.delete(entry);
    if (this.#troubled.delete(entry)) this.#troubles++;
  }
}

/** What a trial came to. */
export interface Trial {
  readonly plan: Plan;
  /** The entries that the trial set; the plan may have looked at others. */
  readonly written: ReadonlySet<Entry>;
}

const nothing: readonly string[] = [];

function* namesOf(entries: Iterable<Entry>): Iterable<string> {
  for (const { name } of entries) yield name;
}

function newEntry(kind: CatalogKind, name: string): Entry {
  return {
    id: idOf(kind, name),
    kind,
    name,
    file: undefined,
    store: undefined,
    live: undefined,
    withdrawn: false,
    refused: undefined,
    problems: [],
    refers: nothing,
  };
}

function withEntries(state: PlanState, added: ReadonlyMap<string, Entry>): PlanState {
  return {
    ...state,
    entries: { get: (id: string) => state.entries.get(id) ?? added.get(id) },
    names: function* (kind) {
      yield* state.names(kind);
      for (const entry of added.values()) if (entry.kind === kind) yield entry.name;
    },
  };
}

function consumerOf(version: Version | undefined): ConsumerResource | undefined {
  return version?.value as ConsumerResource | undefined; // asked for consumers only
}

/** Without a prototype: a resource may be called `__proto__`. */
function emptyRecord(): Record<string, never> {
  return Object.create(null) as Record<string, never>;
}
