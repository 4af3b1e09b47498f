import type { ChainEntry, Path, Resources } from "@headgate/schema";

/** A place where a plugin is used. */
export interface PluginUse {
  /** Of its settings, or of its name where it has none. */
  readonly path: Path;
  readonly settings: unknown;
}

/** Where each of these plugins is used, in the order of chains. Looks at every chain; nothing to look for costs nothing. */
export function pluginUses(
  { global, middlewares, routes, services }: Pick<Resources, "global" | "middlewares" | "routes" | "services">,
  names: ReadonlySet<string>,
): ReadonlyMap<string, readonly PluginUse[]> {
  const uses = new Map<string, PluginUse[]>([...names].map((name) => [name, []]));
  if (names.size === 0) return uses;
  const look = ({ name, settings }: ChainEntry, path: Path): void => {
    uses.get(name)?.push({ settings, path: settings === undefined ? path : [...path, name] });
  };
  const lookAtChain = (chain: readonly ChainEntry[], path: Path): void => {
    for (const [index, entry] of chain.entries()) if (names.has(entry.name)) look(entry, [...path, index]);
  };
  lookAtChain(global, ["global"]);
  for (const [name, { entry }] of Object.entries(middlewares)) look(entry, ["middlewares", name]);
  for (const [name, { use }] of Object.entries(routes)) lookAtChain(use, ["routes", name, "use"]);
  for (const [name, { use }] of Object.entries(services)) lookAtChain(use, ["services", name, "use"]);
  return uses;
}
