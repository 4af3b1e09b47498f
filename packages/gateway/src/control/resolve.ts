import { didYouMean, parseWith, quote } from "@headgate/schema";
import type { ChainEntry, Path, Problem, Resources } from "@headgate/schema";
import type { MiddlewareDefinition } from "../proxy/middleware.ts";

/** Middlewares by name. */
export type MiddlewareTable = ReadonlyMap<string, MiddlewareDefinition>;

/**
 * Step 2 of a change: what only the whole and the middlewares can tell. Every name that is used exists (services,
 * middlewares, named configurations, plugins), and the settings of every step are what its middleware takes; those of
 * a plugin are judged where it is loaded. Paths are those of the document. Answers problems, never throws.
 */
export function resolve(resources: Resources, table: MiddlewareTable, plugins: ReadonlySet<string>): Problem[] {
  return new Resolver(resources, table, plugins).run();
}

class Resolver {
  readonly #resources: Resources;
  readonly #table: MiddlewareTable;
  readonly #plugins: ReadonlySet<string>;
  readonly #problems: Problem[] = [];

  constructor(resources: Resources, table: MiddlewareTable, plugins: ReadonlySet<string>) {
    this.#resources = resources;
    this.#table = table;
    this.#plugins = plugins;
  }

  run(): Problem[] {
    const { global, middlewares, routes, services } = this.#resources;
    for (const name of this.#plugins) this.#checkOwnName(["plugins", name], name, "a plugin");
    for (const [name, { entry }] of Object.entries(middlewares)) {
      this.#checkOwnName(["middlewares", name], name, "a named configuration");
      this.#checkNamed(name, entry);
    }
    this.#checkChain(global, ["global"]);
    for (const [name, route] of Object.entries(routes)) {
      this.#checkChain(route.use, ["routes", name, "use"]);
      this.#checkDestinations(name);
      const { fallback } = route;
      if (fallback !== undefined && "service" in fallback) {
        this.#checkService(fallback.service, ["routes", name, "fallback", "service"]);
      }
    }
    for (const [name, service] of Object.entries(services)) this.#checkChain(service.use, ["services", name, "use"]);
    return this.#problems;
  }

  #checkDestinations(name: string): void {
    const to = this.#resources.routes[name]?.to ?? [];
    const path = ["routes", name, "to"];
    for (const [index, { service }] of to.entries()) {
      if (Object.hasOwn(this.#resources.services, service)) continue;
      // `to: name` stands for a list of one; its place is then that of the nearest written part around, `to` itself.
      this.#checkService(service, [...path, index, "service"]);
    }
    const total = to.reduce((sum, { weight }) => sum + weight, 0);
    if (to.length > 0 && total <= 0) {
      this.#add(path, "the weights add up to 0: no service would take a request", "give one a weight above 0");
    }
  }

  #checkService(service: string, path: Path): void {
    const { services } = this.#resources;
    // hasOwn: "constructor" is a valid name and no service unless the document says so.
    if (Object.hasOwn(services, service)) return;
    this.#add(path, `there is no service ${quote(service)}`, hintFor(service, Object.keys(services), "services"));
  }

  /** One name must mean one thing wherever it stands in a chain. */
  #checkOwnName(path: Path, name: string, what: string): void {
    if (this.#table.has(name)) {
      this.#add(path, `${what} cannot have the name of the middleware ${quote(name)}`, "choose another name");
    } else if (path[0] === "middlewares" && this.#plugins.has(name)) {
      this.#add(path, `${what} cannot have the name of the plugin ${quote(name)}`, "choose another name");
    }
  }

  #checkNamed(name: string, entry: ChainEntry): void {
    const path = ["middlewares", name];
    if (!this.#isMiddleware(entry.name) && Object.hasOwn(this.#resources.middlewares, entry.name)) {
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
    if (Object.hasOwn(this.#resources.middlewares, name)) return settings === undefined;
    return this.#plugins.has(name);
  }

  #checkEntry(entry: ChainEntry, path: Path): void {
    const { name, settings } = entry;
    const inside = settings === undefined ? path : [...path, name];
    const definition = this.#table.get(name);
    if (definition !== undefined) {
      for (const problem of settingsProblems(entry, definition)) {
        this.#problems.push({ ...problem, path: [...inside, ...problem.path] });
      }
    } else if (Object.hasOwn(this.#resources.middlewares, name)) {
      if (settings === undefined) return;
      const hint = `change middlewares.${name}, or use its middleware here`;
      this.#add(inside, `${quote(name)} is a named configuration and takes no settings where it is used`, hint);
    } else if (!this.#plugins.has(name)) {
      const known = [...this.#table.keys(), ...Object.keys(this.#resources.middlewares), ...this.#plugins];
      this.#add(inside, `there is no middleware ${quote(name)}`, hintFor(name, known, "middlewares or plugins"));
    }
  }

  #isMiddleware(name: string): boolean {
    return this.#table.has(name) || this.#plugins.has(name);
  }

  #add(path: Path, message: string, hint: string): void {
    this.#problems.push({ path, message, hint, severity: "error" });
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

function hintFor(name: string, known: readonly string[], sections: string): string {
  const meant = didYouMean(name, known);
  return meant === undefined ? `define it under ${sections}` : `did you mean ${quote(meant)}?`;
}
