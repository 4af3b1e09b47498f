import type { ChainEntry } from "@headgate/schema";

/**
 * Which resources name a step in their chains: a plugin's new version is built into those and nobody looks at the rest.
 * Steps that come with the gateway never change, and are not noted.
 */
export class StepUsers {
  readonly #users = new Map<string, Set<string>>();
  readonly #builtIn: { has(name: string): boolean };

  constructor(builtIn: { has(name: string): boolean }) {
    this.#builtIn = builtIn;
  }

  /** A resource has another chain now; an empty one where it is not there, before or after. */
  replace(resource: string, before: readonly ChainEntry[], after: readonly ChainEntry[]): void {
    for (const { name } of before) {
      const users = this.#users.get(name);
      if (users === undefined || after.some((entry) => entry.name === name)) continue;
      users.delete(resource);
      if (users.size === 0) this.#users.delete(name);
    }
    for (const { name } of after) {
      if (this.#builtIn.has(name)) continue;
      const users = this.#users.get(name);
      if (users === undefined) this.#users.set(name, new Set([resource]));
      else users.add(resource);
    }
  }

  /** The resources that name one of these steps. */
  of(steps: Iterable<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const step of steps) for (const resource of this.#users.get(step) ?? []) found.add(resource);
    return found;
  }
}
