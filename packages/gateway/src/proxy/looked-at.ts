import type { ChainEntry, Match } from "@headgate/schema";

/** Most header fields and cookies that are told; the later names of a configuration with more are left out. */
const namesMax = 16;

/** A part of the configuration that may look at a request: a route, a service, the global chain, a named step. */
export interface Looking {
  readonly match?: readonly Match[];
  readonly use: readonly ChainEntry[];
}

/** What of a request, besides method, host, path and query, the configuration looks at. */
export interface LookedAtNames {
  /** In lower case. */
  readonly headers: readonly string[];
  readonly cookies: readonly string[];
  /** Whether some condition asks for the client's address. */
  readonly clients: boolean;
}

/**
 * Counts which header fields, cookies and addresses the conditions of a configuration look at, route by route, so that
 * a change costs its own conditions and not all routes.
 */
export class LookedAt implements LookedAtNames {
  headers: readonly string[] = [];
  cookies: readonly string[] = [];
  clients = false;
  /** False where nothing of the above is looked at: then a request costs one look at this. */
  anything = false;
  readonly #headers = new Map<string, number>();
  readonly #cookies = new Map<string, number>();
  #clients = 0;

  /** Counts what takes the place of `before`; either may be undefined. */
  replace(before: Looking | undefined, after: Looking | undefined): void {
    if (before !== undefined) this.#count(before, -1);
    if (after !== undefined) this.#count(after, 1);
  }

  #count({ match, use }: Looking, by: 1 | -1): void {
    let looks = false;
    for (const one of match ?? []) looks = this.#countMatch(one, by) || looks;
    for (const { when } of use) if (when !== undefined) looks = this.#countMatch(when, by) || looks;
    if (looks) this.#tell();
  }

  /** Whether it looks at anything that is counted here; most routes do not. */
  #countMatch({ headers, cookies, clients }: Match, by: 1 | -1): boolean {
    if (headers === undefined && cookies === undefined && clients === undefined) return false;
    for (const name of Object.keys(headers ?? {})) add(this.#headers, name.toLowerCase(), by);
    for (const name of Object.keys(cookies ?? {})) add(this.#cookies, name, by);
    if (clients !== undefined) this.#clients += by;
    return true;
  }

  #tell(): void {
    this.headers = [...this.#headers.keys()].slice(0, namesMax);
    this.cookies = [...this.#cookies.keys()].slice(0, namesMax - this.headers.length);
    this.clients = this.#clients > 0;
    this.anything = this.clients || this.headers.length + this.cookies.length > 0;
  }
}

function add(counts: Map<string, number>, name: string, by: 1 | -1): void {
  const count = (counts.get(name) ?? 0) + by;
  if (count === 0) counts.delete(name);
  else counts.set(name, count);
}
