import { partsOf, set, table, type Written } from "./catalog.fixtures.ts";
import { Catalog } from "./catalog.ts";
import { kindsInOrder, refersTo, type CatalogKind, type Value, type Version } from "./entry.ts";

/**
 * A catalog that knows no shortcut: each change is decided by looking at everything, kind by kind, until nothing changes
 * any more. Consumers and refusals are left out.
 */
export class Model {
  readonly #stored = new Map<string, Version>();
  readonly #written = new Map<string, Version>();
  #live = new Map<string, Value>();
  #wrong = new Set<string>();

  change(written: Written, source: "store" | "file"): void {
    const layer = source === "file" ? this.#written : this.#stored;
    const reader = new Catalog(table);
    set(reader, written, source);
    for (const id of Object.keys(written)) {
      const version = reader.entry(...partsOf(id))?.[source];
      if (version === undefined) layer.delete(id);
      else layer.set(id, version);
    }
    this.#decide();
  }

  /** Ids, sorted; an empty global chain is none. */
  running(): string[] {
    return [...this.#live]
      .filter(([, value]) => !Array.isArray(value) || value.length > 0)
      .map(([id]) => id)
      .sort();
  }

  wrong(): string[] {
    return [...this.#wrong].sort();
  }

  live(id: string): Value | undefined {
    return this.#live.get(id);
  }

  #decide(): void {
    const wanted = new Map([...this.#stored, ...this.#written]);
    const next = new Map<string, Value>();
    this.#wrong = new Set();
    const isThere = (id: string): boolean => next.has(id) && wanted.has(id);
    for (const kind of kindsInOrder) {
      for (const [id, { value }] of wanted) {
        if (!id.startsWith(`${kind}/`)) continue;
        const right = value !== undefined && resolves(id, kind, value, isThere);
        if (!right) this.#wrong.add(id);
        const decided = right ? value : this.#live.get(id);
        if (decided !== undefined) next.set(id, decided);
      }
    }
    // What is gone runs on as long as something that runs refers to it, which may itself only run on.
    for (let kept = true; kept;) {
      kept = false;
      const needed = new Set([...next].flatMap(([id, value]) => needs(partsOf(id)[0], value, isThere)));
      for (const [id, value] of this.#live) {
        if (next.has(id) || !needed.has(id)) continue;
        next.set(id, value);
        kept = true;
      }
    }
    this.#live = next;
  }
}

/** A plugin is not needed where a named configuration of its name is meant. */
function needs(kind: CatalogKind, value: Value, isThere: (id: string) => boolean): string[] {
  const ids = refersTo(kind, value, table);
  return ids.filter(
    (id) => kind === "middlewares" || !isThere(id.replace(/^plugins\//, "middlewares/")) || !id.startsWith("plugins/"),
  );
}

function resolves(id: string, kind: CatalogKind, value: Value, isThere: (id: string) => boolean): boolean {
  const [, name] = partsOf(id);
  if (kind === "middlewares" && isThere(`plugins/${name}`)) return false;
  const references = refersTo(kind, value, table);
  const services = references.filter((one) => one.startsWith("services/"));
  const steps = references.filter((one) => one.startsWith("plugins/")).map((one) => one.slice("plugins/".length));
  // A named configuration cannot refer to another one, only to a plugin.
  const isStep = (step: string): boolean =>
    isThere(`plugins/${step}`) || (kind !== "middlewares" && isThere(`middlewares/${step}`));
  return services.every(isThere) && steps.every(isStep);
}
