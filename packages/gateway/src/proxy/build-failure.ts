import type { ChainEntry } from "@headgate/schema";

/** A resource that cannot be built. */
export interface BuildFailure {
  readonly kind: "routes" | "services" | "middlewares" | "consumers" | "plugins" | "global";
  /** Empty for the global chain. */
  readonly name: string;
  /** Begins with the place. */
  readonly message: string;
}

/** Why a change cannot be built: every resource that stands in its way. */
export class SnapshotError extends Error {
  readonly failures: readonly BuildFailure[];

  constructor(failures: readonly BuildFailure[]) {
    super(failures.map(({ message }) => message).join("; "));
    this.name = "SnapshotError";
    this.failures = failures;
  }
}

type Blame = Pick<BuildFailure, "kind" | "name">;

/** What one resource adds to the change; where it cannot be built that is noted, and the others are tried all the same. */
export function attempt<T>(failures: BuildFailure[], blame: Blame, prepare: () => T): T[] {
  try {
    return [prepare()];
  } catch (error) {
    failures.push({ ...blame, message: error instanceof Error ? error.message : String(error) });
    return [];
  }
}

/** A resource that did not change itself fails because of the plugin that did. */
export function blamed(
  kind: BuildFailure["kind"],
  name: string,
  changed: object | undefined,
  plugins: ReadonlySet<string>,
  use: readonly ChainEntry[],
): Blame {
  return Object.hasOwn(changed ?? {}, name) ? { kind, name } : pluginOf(plugins, use);
}

export function pluginOf(plugins: ReadonlySet<string>, use: readonly ChainEntry[]): Blame {
  return { kind: "plugins", name: use.find(({ name }) => plugins.has(name))?.name ?? "" };
}
