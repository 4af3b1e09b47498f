import { validateGlobalChain, validateResource } from "@headgate/schema";
import { z } from "zod";
import { defineMiddleware } from "../../proxy/middleware.ts";
import { resourceKey } from "../layout.ts";
import type { KeyValue } from "../store/store.ts";
import { Catalog } from "./catalog.ts";
import { idOf, kindsInOrder, type CatalogKind, type Version } from "./entry.ts";
import type { Plan } from "./plan.ts";
import { readVersion } from "./read-version.ts";

const probe = defineMiddleware({
  name: "probe",
  config: z.strictObject({ depth: z.int().default(1) }),
  build: () => (_exchange, next) => next(),
});

/** The middlewares there are: `probe`, which takes `depth`. */
export const table = new Map([["probe", probe]]);

export const prefix = "/headgate/";

/** What a store would hold of a resource; a text is stored as it is. */
export function kvOf(kind: CatalogKind, name: string, value: unknown, revision = 1): KeyValue {
  const bytes = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
  const key = resourceKey(prefix, kind, name);
  return { key, value: bytes, createRevision: revision, modRevision: revision, version: 1, lease: "0" };
}

/** Resources by id (`routes/users`), as they are written; `undefined` is no longer there. */
export type Written = Readonly<Record<string, unknown>>;

/** Sets versions without deciding anything. */
export function set(catalog: Catalog, written: Written, source: "store" | "file" = "store", revision = 1): void {
  for (const [id, value] of Object.entries(written)) {
    const [kind, name] = partsOf(id);
    catalog.set(source, kind, name, versionOf(source, kind, name, value, revision));
  }
}

/** One change that goes live, as workers that can build everything would have it. */
export function change(catalog: Catalog, written: Written, source: "store" | "file" = "store", revision = 1): Plan {
  set(catalog, written, source, revision);
  const plan = catalog.plan();
  catalog.commit(plan);
  return plan;
}

/** A catalog in which these resources were written at once. */
export function catalogOf(written: Written = {}): Catalog {
  const catalog = new Catalog(table);
  change(catalog, written);
  return catalog;
}

export function partsOf(id: string): [CatalogKind, string] {
  const [kind, name = ""] = id.split(/\/(.*)/s);
  const known = kindsInOrder.find((one) => one === kind);
  if (known === undefined) throw new Error(`${id} is no id`);
  return [known, name];
}

/** What runs: its ids, sorted. A global chain that is empty is none. */
export function running({ live }: Pick<Catalog, "live">): string[] {
  const ids = kindsInOrder.flatMap((kind) => {
    if (kind === "settings") return live.global.length > 0 ? ["settings/global"] : [];
    return Object.keys(live[kind]).map((name) => idOf(kind, name));
  });
  return ids.sort();
}

/** Errors, by id. */
export function errors(catalog: Catalog): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const { id, problems } of catalog.troubled()) {
    const messages = problems.filter(({ severity }) => severity === "error").map(({ message }) => message);
    if (messages.length > 0) found[id] = messages;
  }
  return found;
}

/** Everything a catalog knows, to be compared. */
export function stateOf(catalog: Catalog): unknown {
  return kindsInOrder.map((kind) =>
    [...catalog.entries(kind)].map(({ id, file, store, live, problems, withdrawn, refused }) => ({
      ...{ id, file, store, live, problems, withdrawn, refused },
      shown: kind === "settings" ? catalog.live.global : catalog.live[kind][id.slice(kind.length + 1)],
    })),
  );
}

export const service = { instances: [{ address: "127.0.0.1:1" }] };

/** A route to a service, with a chain; `path` tells versions apart. */
export function route(to: string, use: readonly unknown[] = [], path = "/a"): object {
  return { match: { path }, to, use };
}

export function answer(body: string, use: readonly unknown[] = []): object {
  return { match: { path: "/a" }, respond: { body }, use };
}

function versionOf(
  source: "store" | "file",
  kind: CatalogKind,
  name: string,
  written: unknown,
  revision: number,
): Version | undefined {
  if (written === undefined) return undefined;
  if (source === "store") return readVersion(kind, name, kvOf(kind, name, written, revision));
  const { value, problems } =
    kind === "settings" ? validateGlobalChain(written) : validateResource(kind, name, written);
  return { ...(value === undefined ? {} : { value }), problems, source, revision: 0 };
}
