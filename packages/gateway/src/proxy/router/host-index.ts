import { PathIndex, type Order } from "./path-index.ts";

interface Label<E> {
  children: Map<string, Label<E>> | undefined;
  /** The paths of `*.` in front of the labels down to here. */
  paths: PathIndex<E> | undefined;
}

/**
 * Host patterns: exact hosts by one look-up, wildcards by walking the labels from the right, so that a look-up costs
 * the labels that some wildcard has and not the number of hosts.
 */
export class HostIndex<E> {
  readonly #exact = new Map<string, PathIndex<E>>();
  readonly #wildcards: Label<E> = { children: undefined, paths: undefined };
  #any: PathIndex<E> | undefined;
  readonly #order: Order<E>;

  constructor(order: Order<E>) {
    this.#order = order;
  }

  /** The paths of a host pattern, made if there are none; undefined stands for routes without hosts. */
  open(host: string | undefined): PathIndex<E> {
    if (host === undefined) return (this.#any ??= new PathIndex(host, this.#order));
    if (host.startsWith("*.")) {
      let label = this.#wildcards;
      for (const part of labelsOf(host)) {
        const children = (label.children ??= new Map<string, Label<E>>());
        let child = children.get(part);
        if (child === undefined) children.set(part, (child = { children: undefined, paths: undefined }));
        label = child;
      }
      return (label.paths ??= new PathIndex(host, this.#order));
    }
    let paths = this.#exact.get(host);
    if (paths === undefined) this.#exact.set(host, (paths = new PathIndex(host, this.#order)));
    return paths;
  }

  /** Drops the host pattern where no path is left of it. */
  prune(host: string | undefined): void {
    if (host === undefined) {
      if (this.#any?.empty === true) this.#any = undefined;
    } else if (host.startsWith("*.")) {
      pruneLabels(this.#wildcards, labelsOf(host), 0);
    } else if (this.#exact.get(host)?.empty === true) this.#exact.delete(host);
  }

  /** Appends the paths of every pattern that takes the host: the exact one, longer wildcards, shorter ones, no host. */
  collect(host: string, into: PathIndex<E>[]): void {
    const exact = this.#exact.get(host);
    if (exact !== undefined) into.push(exact);
    if (this.#wildcards.children !== undefined) walk(this.#wildcards, host, host.length, into);
    if (this.#any !== undefined) into.push(this.#any);
  }

  *all(): Generator<PathIndex<E>> {
    yield* this.#exact.values();
    yield* below(this.#wildcards);
    if (this.#any !== undefined) yield this.#any;
  }

  /** Labels held for wildcards; for tests of pruning. */
  get labels(): number {
    return countLabels(this.#wildcards) - 1;
  }
}

/** Labels behind the `*`, the last one first. */
function labelsOf(wildcard: string): string[] {
  return wildcard.slice(2).split(".").reverse();
}

/** `end` is where the label to look at ends. Goes as deep as some wildcard does and appends on the way back. */
function walk<E>(label: Label<E>, host: string, end: number, into: PathIndex<E>[]): void {
  const dot = host.lastIndexOf(".", end - 1);
  // The `*` takes at least one character in front of the dot.
  if (dot <= 0) return;
  const child = label.children?.get(host.slice(dot + 1, end));
  if (child === undefined) return;
  walk(child, host, dot, into);
  if (child.paths !== undefined) into.push(child.paths);
}

/** True where nothing is left of the label. */
function pruneLabels<E>(label: Label<E>, parts: readonly string[], depth: number): boolean {
  const part = parts[depth];
  if (part === undefined) {
    if (label.paths?.empty === true) label.paths = undefined;
  } else {
    const child = label.children?.get(part);
    if (child !== undefined && pruneLabels(child, parts, depth + 1)) label.children?.delete(part);
    if (label.children?.size === 0) label.children = undefined;
  }
  return label.children === undefined && label.paths === undefined;
}

function* below<E>(label: Label<E>): Generator<PathIndex<E>> {
  if (label.paths !== undefined) yield label.paths;
  for (const child of label.children?.values() ?? []) yield* below(child);
}

function countLabels<E>(label: Label<E>): number {
  let count = 1;
  for (const child of label.children?.values() ?? []) count += countLabels(child);
  return count;
}
