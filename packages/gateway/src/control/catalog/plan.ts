import type { ChainEntry, ConsumerResource, Problem, Resources } from "@headgate/schema";
import { compileChange, type CompiledChange } from "../compile.ts";
import { Resolver, type MiddlewareTable, type Names } from "../resolve.ts";
import type { ClaimIndex } from "./claims.ts";
import { idOf, kindsInOrder, refersTo, wantedOf, type CatalogKind, type Entry, type Version } from "./entry.ts";

/** What a plan reads; it changes nothing of it. */
export interface PlanState {
  readonly table: MiddlewareTable;
  readonly entries: { get(id: string): Entry | undefined };
  /** The entries whose versions, wanted or live, refer to an id. */
  readonly referrers: ReadonlyMap<string, ReadonlySet<Entry>>;
  readonly claims: ClaimIndex;
  /** Names of entries of a kind, live or wanted: what a misspelt name could mean. */
  readonly names: (kind: CatalogKind) => Iterable<string>;
}

/** What would be live after a change, and what is wrong with what was wanted. */
export interface Plan {
  /** Entries whose live version changes. */
  readonly next: ReadonlyMap<Entry, Version | undefined>;
  /** Entries that were looked at, with what is wrong or doubtful in what is wanted. */
  readonly problems: ReadonlyMap<Entry, readonly Problem[]>;
  /** `undefined`: nothing that runs changes. */
  readonly change: CompiledChange | undefined;
}

/**
 * Decides which versions run. An entry takes over what is wanted when that is valid by itself and all it refers to
 * runs; otherwise it keeps its last good version. What is gone runs on while something that runs refers to it. Looks at
 * the touched entries and those that refer to them, not at the rest. Pure.
 *
 * @param wanted what is wanted of an entry; for a trial, something else than what the entry says
 */
export function planChange(
  state: PlanState,
  touched: Iterable<Entry>,
  wanted: (entry: Entry) => Version | undefined = wantedOf,
): Plan {
  return new Planner(state, wanted).run(touched);
}

class Planner {
  readonly #state: PlanState;
  readonly #wanted: (entry: Entry) => Version | undefined;
  readonly #next = new Map<Entry, Version | undefined>();
  readonly #problems = new Map<Entry, readonly Problem[]>();
  readonly #pending = new Map<CatalogKind, Set<Entry>>(kindsInOrder.map((kind) => [kind, new Set()]));
  /** Entries that run and that nothing wants, of which somebody let go. */
  readonly #released = new Set<Entry>();
  /** Ids that the new versions refer to; those of a trial are in no index. */
  readonly #neededAnew = new Set<string>();
  readonly #names: Names;

  constructor(state: PlanState, wanted: (entry: Entry) => Version | undefined) {
    this.#state = state;
    this.#wanted = wanted;
    this.#names = {
      has: (kind, name) => this.#isThere(idOf(kind, name)),
      all: (kind) => this.#namesOf(kind),
    };
  }

  run(touched: Iterable<Entry>): Plan {
    for (const entry of touched) this.#pending.get(entry.kind)?.add(entry);
    for (const kind of kindsInOrder) {
      const entries = this.#pending.get(kind) ?? new Set();
      if (kind === "consumers") this.#decideConsumers(entries);
      else for (const entry of entries) this.#take(entry, this.#judge(entry));
    }
    this.#retain();
    return { next: this.#next, problems: this.#problems, change: compileChange(this.#next) };
  }

  #after(entry: Entry): Version | undefined {
    return this.#next.has(entry) ? this.#next.get(entry) : entry.live;
  }

  /** Whether it runs, and not only for those that referred to it before it was deleted. */
  #isThere(id: string): boolean {
    const entry = this.#state.entries.get(id);
    return entry !== undefined && this.#after(entry) !== undefined && this.#wanted(entry) !== undefined;
  }

  *#namesOf(kind: CatalogKind): Iterable<string> {
    for (const name of this.#state.names(kind)) if (this.#isThere(idOf(kind, name))) yield name;
  }

  #decideConsumers(entries: ReadonlySet<Entry>): void {
    if (entries.size === 0) return;
    // A consumer that lets go of a key lets another one have it, and who waits for it goes before who comes now.
    const judged = new Map([...this.#state.claims.waiting(), ...entries].map((entry) => [entry, this.#judge(entry)]));
    const valid = [...judged].filter(([, problems]) => !isWrong(problems));
    const wanted = valid.map(([entry]) => [entry, this.#wanted(entry)?.value as ConsumerResource | undefined] as const); // of this kind
    const conflicts = this.#state.claims.conflicts(new Map(wanted));
    for (const [entry, problems] of judged) this.#take(entry, [...problems, ...(conflicts.get(entry) ?? [])]);
  }

  /** Takes over what is wanted of an entry, unless that is wrong. */
  #take(entry: Entry, problems: readonly Problem[]): void {
    this.#problems.set(entry, problems);
    const version = this.#wanted(entry);
    if (!isWrong(problems) && version !== entry.live) this.#next.set(entry, version);
    const wasThere = entry.live !== undefined && !entry.withdrawn;
    if (wasThere !== this.#isThere(entry.id)) this.#lookAtReferrers(entry);
  }

  #judge(entry: Entry): Problem[] {
    const version = this.#wanted(entry);
    if (version === undefined) return [];
    const { kind, name, refused } = entry;
    const path = kind === "settings" ? ["global"] : [kind, name];
    const problems = [...version.problems];
    if (refused?.version === version) {
      problems.push({ path, message: refused.reason, severity: "error" });
    } else if (version.value !== undefined) {
      const resolver = new Resolver(this.#names, this.#state.table);
      resolveOne(resolver, entry, version);
      for (const problem of resolver.problems) problems.push(problem);
    }
    return problems.length > toldMax ? shortened(problems, path) : problems;
  }

  #lookAtReferrers(entry: Entry): void {
    for (const referrer of this.#state.referrers.get(entry.id) ?? []) this.#enqueue(referrer);
    // A plugin and a named configuration of one name: in a chain one of them is meant.
    if (entry.kind !== "plugins" && entry.kind !== "middlewares") return;
    const other = entry.kind === "plugins" ? "middlewares" : "plugins";
    const namesake = this.#state.entries.get(idOf(other, entry.name));
    if (namesake === undefined) return;
    if (other === "middlewares") this.#enqueue(namesake);
    else if (namesake.live !== undefined && this.#wanted(namesake) === undefined) this.#released.add(namesake);
  }

  #enqueue(entry: Entry): void {
    // A Set takes new members while it is walked through; those of an earlier kind cannot refer to a later one.
    if (!this.#problems.has(entry)) this.#pending.get(entry.kind)?.add(entry);
  }

  /** What is gone, or was kept only for somebody who let go of it, runs on while something that runs needs it. */
  #retain(): void {
    for (const [entry, version] of this.#next) {
      if (version === undefined) this.#released.add(entry);
      this.#release(entry);
    }
    // Most changes let go of nothing; with 100,000 routes the rest takes as long as all before it.
    if (this.#released.size === 0) return;
    for (const [entry, version] of this.#next) {
      if (version !== undefined) for (const id of this.#needs(entry, version)) this.#neededAnew.add(id);
    }
    for (const kind of kindsInOrder.toReversed()) {
      // The references of what goes or changes may have been the last ones.
      for (const entry of ofKind(this.#next.keys(), kind)) this.#release(entry);
      for (const entry of ofKind(this.#released, kind)) {
        if (this.#isNeeded(entry)) this.#next.delete(entry);
        else if (entry.live !== undefined) {
          this.#next.set(entry, undefined);
          this.#release(entry);
        }
      }
    }
  }

  #release(entry: Entry): void {
    for (const id of refersTo(entry.kind, entry.live?.value, this.#state.table)) {
      const referred = this.#state.entries.get(id);
      if (referred?.live !== undefined && this.#wanted(referred) === undefined) this.#released.add(referred);
    }
  }

  #isNeeded(entry: Entry): boolean {
    if (this.#neededAnew.has(entry.id)) return true;
    for (const referrer of this.#state.referrers.get(entry.id) ?? []) {
      if (this.#needs(referrer, this.#after(referrer)).includes(entry.id)) return true;
    }
    return false;
  }

  /** A plugin is not needed where a named configuration of its name is meant. */
  #needs({ kind }: Entry, version: Version | undefined): string[] {
    const ids = refersTo(kind, version?.value, this.#state.table);
    if (kind === "middlewares") return ids;
    return ids.filter((id) => {
      const plugin = this.#state.entries.get(id);
      return plugin?.kind !== "plugins" || !this.#isThere(idOf("middlewares", plugin.name));
    });
  }
}

function ofKind(entries: Iterable<Entry>, kind: CatalogKind): Entry[] {
  return [...entries].filter((entry) => entry.kind === kind);
}

/** Problems of one resource that are told one by one: they are shown, logged and compared with each change. */
const toldMax = 100;

function shortened(problems: readonly Problem[], path: readonly string[]): Problem[] {
  const message = `has ${problems.length - toldMax} more problems`;
  const severity = isWrong(problems) ? "error" : "warning";
  return [...problems.slice(0, toldMax), { path, message, severity }];
}

function isWrong(problems: readonly Problem[]): boolean {
  return problems.some(({ severity }) => severity === "error");
}

function resolveOne(resolver: Resolver, { kind, name }: Entry, { value }: Version): void {
  // Kind and value belong together, see ValueOf.
  if (kind === "plugins") resolver.plugin(name);
  else if (kind === "middlewares") resolver.middleware(name, value as Resources["middlewares"][string]);
  else if (kind === "services") resolver.service(name, value as Resources["services"][string]);
  else if (kind === "routes") resolver.route(name, value as Resources["routes"][string]);
  else if (kind === "settings") resolver.global(value as readonly ChainEntry[]);
}
