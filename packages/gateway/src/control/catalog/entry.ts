import type {
  ChainEntry,
  ConsumerResource,
  MiddlewareResource,
  PluginResource,
  Problem,
  RouteResource,
  ServiceResource,
} from "@headgate/schema";
import type { KeyValue } from "../store/store.ts";
import type { MiddlewareTable } from "../resolve.ts";

/** In the order in which they are resolved: each refers to earlier ones only. `settings` has the one name `global`. */
export const kindsInOrder = ["plugins", "middlewares", "services", "consumers", "routes", "settings"] as const;

export type CatalogKind = (typeof kindsInOrder)[number];

/** What a valid version says, by kind. */
export interface ValueOf {
  readonly plugins: PluginResource;
  readonly middlewares: MiddlewareResource;
  readonly services: ServiceResource;
  readonly consumers: ConsumerResource;
  readonly routes: RouteResource;
  readonly settings: readonly ChainEntry[];
}

export type Value = ValueOf[CatalogKind];

/** One resource as a store or a file says it. */
export interface Version {
  /** Absent where it is not valid by itself. */
  readonly value?: Value;
  /** What is wrong or doubtful in it by itself. Paths begin with kind and name. */
  readonly problems: readonly Problem[];
  readonly source: "store" | "file";
  /** The store's revision that wrote it; 0 of a file. */
  readonly revision: number;
  /** As the store has it. */
  readonly kv?: KeyValue;
}

/** One resource: what is wanted, and what runs. */
export interface Entry {
  /** `routes/users` */
  readonly id: string;
  readonly kind: CatalogKind;
  readonly name: string;
  /** A file's version goes before the store's. */
  file: Version | undefined;
  store: Version | undefined;
  /** The last good version: what the workers have. */
  live: Version | undefined;
  /** Nothing wants it any more, but something that runs refers to it: it runs on, and is there for nobody else. */
  withdrawn: boolean;
  /** A version the workers could not build, and why. */
  refused: { readonly version: Version; readonly reason: string } | undefined;
  /** Of the wanted version, warnings too. */
  problems: readonly Problem[];
  /** What its versions refer to, as ids; kept to find what refers to an entry. */
  refers: readonly string[];
}

export function idOf(kind: CatalogKind, name: string): string {
  return `${kind}/${name}`;
}

/** The version that should run. */
export function wantedOf(entry: Entry): Version | undefined {
  return entry.file ?? entry.store;
}

/** The ids a version refers to. A step may be a named configuration or a plugin: both are named, one exists. */
export function refersTo(kind: CatalogKind, value: Value | undefined, table: MiddlewareTable): string[] {
  if (value === undefined) return [];
  switch (kind) {
    case "routes": {
      const { use, to = [], fallback } = value as RouteResource; // kind and value belong together, see ValueOf
      const ids = steps(use, table);
      for (const { service } of to) ids.push(idOf("services", service));
      if (fallback !== undefined && "service" in fallback) ids.push(idOf("services", fallback.service));
      return ids;
    }
    case "services":
      return steps((value as ServiceResource).use, table); // as above
    case "middlewares":
      return steps([(value as MiddlewareResource).entry], table); // as above
    case "settings":
      return steps(value as readonly ChainEntry[], table); // as above
    case "consumers":
    case "plugins":
      return [];
  }
}

function steps(chain: readonly ChainEntry[], table: MiddlewareTable): string[] {
  const ids: string[] = [];
  for (const { name } of chain) if (!table.has(name)) ids.push(idOf("middlewares", name), idOf("plugins", name));
  return ids;
}
