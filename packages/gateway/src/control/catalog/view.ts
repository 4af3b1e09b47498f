import { resourceKey, type Kind } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import { textOf } from "../store/keys.ts";
import type { Key } from "../store/store.ts";
import type { Catalog } from "./catalog.ts";
import { wantedOf, type CatalogKind, type Entry, type Value } from "./entry.ts";
import { storedValue } from "./read-version.ts";
import { reportEntries } from "./report-entry.ts";

/** A resource as the admin API shows it. */
export interface Item {
  readonly kind: Kind;
  readonly name: string;
  readonly source: "store" | "file";
  /** Of the store; null for what a file says. */
  readonly key: string | null;
  readonly revision: number | null;
  /** As it is written in a document; null where what a store holds cannot be read at all. */
  readonly value: unknown;
  /** Whether the newest version is what runs. */
  readonly live: boolean;
  readonly problems: readonly ReportedProblem[];
}

/** The resources of a gateway, whether a file or a store says them. */
export class ResourceView {
  readonly #catalog: Catalog;
  readonly #prefix: Key;
  readonly #write: (kind: CatalogKind, value: Value) => unknown;

  /** `write`: a resource as a document writes it; what a file says is kept in no other form. */
  constructor(catalog: Catalog, prefix: Key, write: (kind: CatalogKind, value: Value) => unknown) {
    this.#catalog = catalog;
    this.#prefix = prefix;
    this.#write = write;
  }

  items(kind: Kind): readonly Item[] {
    if (kind === "certificates") return [];
    return [...this.#catalog.entries(kind)].flatMap((entry) => this.#item(entry) ?? []);
  }

  item(kind: Kind, name: string): Item | undefined {
    const entry = kind === "certificates" ? undefined : this.#catalog.entry(kind, name);
    return entry === undefined ? undefined : this.#item(entry);
  }

  #written(kind: CatalogKind, value: Value | undefined): unknown {
    return value === undefined ? null : this.#write(kind, value);
  }

  /** What is only kept running for those that refer to it is not there any more. */
  #item(entry: Entry): Item | undefined {
    const version = wantedOf(entry);
    if (version === undefined) return undefined;
    const { kind, name } = entry;
    const stored = version.kv;
    return {
      kind,
      name,
      source: version.source,
      key: stored === undefined ? null : textOf(resourceKey(this.#prefix, kind, name)),
      revision: stored === undefined ? null : version.revision,
      value: stored === undefined ? this.#written(kind, version.value) : (storedValue(kind, stored.value) ?? null),
      live: entry.live === version,
      problems: reportEntries(this.#prefix, [entry]),
    };
  }
}
