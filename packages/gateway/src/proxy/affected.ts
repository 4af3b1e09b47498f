import type { KindChange } from "./snapshot.ts";

/** The resources to build: those that changed, and the unchanged ones that use a plugin that did. */
export function* affected<T>(
  change: KindChange<T> | undefined,
  users: ReadonlySet<string>,
  known: (name: string) => T | undefined,
): Generator<readonly [string, T]> {
  const { set = {}, delete: gone = [] } = change ?? {};
  // One pair at a time: those of 100,000 routes would outlive several collections.
  for (const name of Object.keys(set)) {
    const resource = set[name];
    if (resource !== undefined) yield [name, resource];
  }
  const told = new Set(gone);
  for (const name of users) {
    const resource = told.has(name) || Object.hasOwn(set, name) ? undefined : known(name);
    if (resource !== undefined) yield [name, resource];
  }
}
