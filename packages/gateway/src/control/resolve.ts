import { didYouMean, parseWith, quote } from "@headgate/schema";
import type {
  ChainEntry,
  Destination,
  MiddlewareResource,
  Path,
  Problem,
  Resources,
  RouteResource,
  ServiceResource,
} from "@headgate/schema";
import type { MiddlewareDefinition } from "../proxy/middleware.ts";

/** Middlewares by name. */
export type MiddlewareTable = ReadonlyMap<string, MiddlewareDefinition>;

/** Which names there are, and could be meant by a misspelt one. */
export interface Names {
  has(kind: "services" | "middlewares" | "plugins", name: string): boolean;
  all(kind: "services" | "middlewares" | "plugins"): Iterable<string>;
}

/**
 * Step 2 of a change: what only the whole and the middlewares can tell. Every name that is used exists (services,
 * middlewares, named configurations, plugins), and the settings of every step are what its middleware takes; those of
 * a plugin are judged where it is loaded. Paths are those of the document. Answers problems, never throws.
 *
 * @param elsewhere what is there beside the document: in a store
 */
export function resolve(
  resources: Resources,
  table: MiddlewareTable,
  plugins: ReadonlySet<string>,
  elsewhere: Names["has"] = () => false,
): Problem[] {
  const names: Names = {
    // hasOwn: "constructor" is a valid name and no service unless the document says so.
    has: (kind, name) =>
      (kind === "plugins" ? plugins.has(name) : Object.hasOwn(resources[kind], name)) ||
      // What the document defines itself is no plugin of the store; where both say it, the catalog finds out.
      (elsewhere(kind, name) && !(kind === "plugins" && Object.hasOwn(resources.middlewares, name))),
    all: (kind) => (kind === "plugins" ? plugins : Object.keys(resources[kind])),
  };
  const resolver = new Resolver(names, table);
  for (const name of plugins) resolver.plugin(name);
  for (const [name, middleware] of Object.entries(resources.middlewares)) resolver.middleware(name, middleware);
  resolver.global(resources.global);
  for (const [name, route] of Object.entries(resources.routes)) resolver.route(name, route);
  for (const [name, service] of Object.entries(resources.services)) resolver.service(name, service);
  return resolver.problems;
}

/** Resolves resources one by one; what is wrong with them adds up in `problems`. */
export class Resolver {
  readonly problems: Problem[] = [];
  readonly #names: Names;
  readonly #table: MiddlewareTable;

  constructor(names: Names, table: MiddlewareTable) {
    this.#names = names;
    this.#table = table;
  }

  plugin(name: string): void {
    this.#checkOwnName(["plugins", name], name, "a plugin");
  }

  middleware(name: string, { entry }: MiddlewareResource): void {
    this.#checkOwnName(["middlewares", name], name, "a named configuration");
    this.#checkNamed(name, entry);
  }

  global(chain: readonly ChainEntry[]): void {
    this.#checkChain(chain, ["global"]);
  }

  service(name: string, { use }: ServiceResource): void {
    this.#checkChain(use, ["services", name, "use"]);
  }

  route(name: string, { use, to = [], fallback }: RouteResource): void {
    this.#checkChain(use, ["routes", name, "use"]);
    this.#checkDestinations(["routes", name, "to"], to);
    if (fallback !== undefined && "service" in fallback) {
      this.#checkService(fallback.service, ["routes", name, "fallback", "service"]);
    }
  }

  #checkDestinations(path: Path, to: readonly Destination[]): void {
    for (const [index, { service }] of to.entries()) {
      if (this.#names.has("services", service)) continue;
      // `to: name` stands for a list of one; its place is then that of the nearest written part around, `to` itself.
      this.#checkService(service, [...path, index, "service"]);
    }
    const total = to.reduce((sum, { weight }) => sum + weight, 0);
    if (to.length > 0 && total <= 0) {
      this.#add(path, "the weights add up to 0: no service would take a request", "give one a weight above 0");
    }
  }

  #checkService(service: string, path: Path): void {
    if (this.#names.has("services", service)) return;
    const hint = hintFor(this.#names, service, ["services"], []);
    this.#add(path, `there is no service ${quote(service)}`, hint);
  }

  /** One name must mean one thing wherever it stands in a chain. */
  #checkOwnName(path: Path, name: string, what: string): void {
    if (this.#table.has(name)) {
      this.#add(path, `${what} cannot have the name of the middleware ${quote(name)}`, "choose another name");
    } else if (path[0] === "middlewares" && this.#names.has("plugins", name)) {
      this.#add(path, `${what} cannot have the name of the plugin ${quote(name)}`, "choose another name");
    }
  }

  #checkNamed(name: string, entry: ChainEntry): void {
    const path = ["middlewares", name];
    if (!this.#isMiddleware(entry.name) && this.#names.has("middlewares", entry.name)) {
      const hint = "repeat the middleware and its settings";
      this.#add(path, `a named configuration cannot refer to another one, ${quote(entry.name)}`, hint);
      return;
    }
    this.#checkEntry(entry, path);
  }

  #checkChain(chain: readonly ChainEntry[], path: Path): void {
    for (const [index, entry] of chain.entries()) {
      if (!this.#takes(entry)) this.#checkEntry(entry, [...path, index]);
    }
  }

  /** Whether there is nothing to tell of a step: found out without the path that only a problem needs. */
  #takes(entry: ChainEntry): boolean {
    const { name, settings } = entry;
    const definition = this.#table.get(name);
    if (definition !== undefined) return settingsProblems(entry, definition).length === 0;
    if (this.#names.has("middlewares", name)) return settings === undefined;
    return this.#names.has("plugins", name);
  }

  #checkEntry(entry: ChainEntry, path: Path): void {
    const { name, settings } = entry;
    const inside = settings === undefined ? path : [...path, name];
    const definition = this.#table.get(name);
    if (definition !== undefined) {
      for (const problem of settingsProblems(entry, definition)) {
        this.problems.push({ ...problem, path: [...inside, ...problem.path] });
      }
    } else if (this.#names.has("middlewares", name)) {
      if (settings === undefined) return;
      const hint = `change middlewares.${name}, or use its middleware here`;
      this.#add(inside, `${quote(name)} is a named configuration and takes no settings where it is used`, hint);
    } else if (!this.#names.has("plugins", name)) {
      const hint = hintFor(this.#names, name, ["middlewares", "plugins"], this.#table.keys());
      this.#add(inside, `there is no middleware ${quote(name)}`, hint);
    }
  }

  #isMiddleware(name: string): boolean {
    return this.#table.has(name) || this.#names.has("plugins", name);
  }

  #add(path: Path, message: string, hint: string): void {
    this.problems.push({ path, message, hint, severity: "error" });
  }
}

interface Judged {
  readonly definition: MiddlewareDefinition;
  /** Paths start at the settings. */
  readonly problems: readonly Problem[];
}

// An entry never changes, and of ten thousand routes all but one are the same objects as before the change.
const judged = new WeakMap<ChainEntry, Judged>();

function settingsProblems(entry: ChainEntry, definition: MiddlewareDefinition): readonly Problem[] {
  const known = judged.get(entry);
  if (known?.definition === definition) return known.problems;
  // A bare name asks for every default.
  const { problems } = parseWith(definition.config, entry.settings ?? {}, []);
  judged.set(entry, { definition, problems });
  return problems;
}

type NamedKind = Parameters<Names["all"]>[0];

/** Comparisons with misspelt names in one change: each takes up to 45 µs, and they hold up the control thread. */
const comparedMax = 4_000;
/** Of them, with one name. */
const comparedWithOneMax = 2_000;

/**
 * What is said of names that are not there, while one change is resolved. A service that goes is missed by each of the
 * ten thousand routes that name it: one answer for all. Of many different names the last ones are not compared.
 */
const hintsOf = new WeakMap<Names, { comparisonsLeft: number; readonly told: Map<string, string> }>();

function hintFor(names: Names, name: string, sections: readonly NamedKind[], builtIn: Iterable<string>): string {
  let hints = hintsOf.get(names);
  if (hints === undefined) hintsOf.set(names, (hints = { comparisonsLeft: comparedMax, told: new Map() }));
  const asked = `${sections.join()}/${name}`;
  let hint = hints.told.get(asked);
  if (hint !== undefined) return hint;
  const compared = firstNames(Math.min(comparedWithOneMax, hints.comparisonsLeft), builtIn, names, sections);
  hints.comparisonsLeft -= compared.length;
  const meant = didYouMean(name, compared);
  hint = meant === undefined ? `define it under ${sections.join(" or ")}` : `did you mean ${quote(meant)}?`;
  hints.told.set(asked, hint);
  return hint;
}

function firstNames(most: number, builtIn: Iterable<string>, names: Names, sections: readonly NamedKind[]): string[] {
  const found: string[] = [];
  if (most === 0) return found;
  for (const some of [builtIn, ...sections.map((kind) => names.all(kind))]) {
    for (const name of some) {
      if (found.length >= most) return found;
      found.push(name);
    }
  }
  return found;
}
