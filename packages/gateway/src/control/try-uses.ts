import type { ChainEntry, MiddlewareResource, Resources, RouteResource, ServiceResource } from "@headgate/schema";
import type { BuildFailure } from "../proxy/build-failure.ts";
import type { Catalog } from "./catalog/catalog.ts";
import { wantedOf, type CatalogKind, type Value } from "./catalog/entry.ts";
import type { CompiledChange } from "./compile.ts";
import { pluginResourceProblem } from "./plugin-problem.ts";
import type { PluginBuilder } from "./plugins.ts";
import type { Refused } from "./publish.ts";

/** Settings a version is tried with; what builds with so many builds with the others. */
const settingsTriedMax = 100;

/** The settings that what is wanted and what runs use a plugin with. Costs as much as there are uses. */
export function settingsInUse(catalog: Catalog, name: string): unknown[] {
  const found = new Map<string, unknown>();
  for (const entry of catalog.referrers("plugins", name)) {
    for (const version of [wantedOf(entry), entry.live]) {
      for (const { settings } of stepsOf(entry.kind, version?.value, name))
        found.set(JSON.stringify(settings ?? {}), settings);
      if (found.size >= settingsTriedMax) return [...found.values()];
    }
  }
  return [...found.values()];
}

/**
 * Tries, in a thread of its own, the plugins that a change brings and the settings it brings to plugins: a step that never
 * finishes building would stop every worker at once, until each is replaced. Whether settings are well is for the
 * workers to say. What was tried before is not tried again.
 */
export async function tryUses(
  change: CompiledChange,
  catalog: Catalog,
  plugins: Pick<PluginBuilder, "tryWith">,
): Promise<Refused | undefined> {
  const changed = change.plugins?.set ?? {};
  const failures: BuildFailure[] = [];
  for (const [name, uses] of freshUses(change, catalog.live)) {
    const isNew = Object.hasOwn(changed, name);
    const resource = isNew ? changed[name] : catalog.live.plugins[name];
    if (resource === undefined) continue;
    const settings = uses.map((use) => use.settings);
    if (isNew) settings.push(...settingsInUse(catalog, name));
    const [problem] = await plugins.tryWith(name, resource, settings.slice(0, settingsTriedMax));
    if (problem === undefined) continue;
    const { message } = pluginResourceProblem(name, problem);
    // Code that ran before with other settings: these are to blame.
    const users = new Map(uses.map((use) => [`${use.kind}/${use.name}`, use]));
    const blamed = isNew ? [{ kind: "plugins", name } as const] : [...users.values()];
    failures.push(...blamed.map((one) => ({ kind: one.kind, name: one.name, message })));
  }
  return failures.length === 0 ? undefined : { message: failures.map(({ message }) => message).join("; "), failures };
}

interface Use extends Pick<BuildFailure, "kind" | "name"> {
  readonly settings: unknown;
}

/** Where a change itself uses plugins, by the plugin's name; also those that change and that it does not use. */
function freshUses(change: CompiledChange, live: Resources): Map<string, Use[]> {
  const changed = change.plugins?.set ?? {};
  const uses = new Map<string, Use[]>(Object.keys(changed).map((name) => [name, []]));
  // Of a gateway without plugins no chain needs to be looked at.
  if (uses.size === 0 && Object.keys(live.plugins).length === 0) return uses;
  const look = (kind: Use["kind"], name: string, chain: readonly ChainEntry[]): void => {
    for (const step of chain) {
      if (!Object.hasOwn(changed, step.name) && !Object.hasOwn(live.plugins, step.name)) continue;
      const found = uses.get(step.name) ?? [];
      uses.set(step.name, found);
      found.push({ kind, name, settings: step.settings });
    }
  };
  for (const [name, { use }] of Object.entries(change.routes?.set ?? {})) look("routes", name, use);
  for (const [name, { use }] of Object.entries(change.services?.set ?? {})) look("services", name, use);
  for (const [name, { entry }] of Object.entries(change.middlewares?.set ?? {})) look("middlewares", name, [entry]);
  look("global", "", change.global ?? []);
  return uses;
}

function stepsOf(kind: CatalogKind, value: Value | undefined, plugin: string): readonly ChainEntry[] {
  return value === undefined ? [] : chainOf(kind, value).filter(({ name }) => name === plugin);
}

function chainOf(kind: CatalogKind, value: Value): readonly ChainEntry[] {
  switch (kind) {
    // Kind and value belong together, see ValueOf in catalog/entry.ts.
    case "routes":
      return (value as RouteResource).use;
    case "services":
      return (value as ServiceResource).use;
    case "middlewares":
      return [(value as MiddlewareResource).entry];
    case "settings":
      return value as readonly ChainEntry[];
    case "consumers":
    case "plugins":
      return [];
  }
}
