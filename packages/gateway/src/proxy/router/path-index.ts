import { comparePatterns, segmentEnd, type PathPattern } from "./pattern.ts";

/** The routes of one host pattern that have the same path pattern, in order of precedence. */
export interface Leaf<E> {
  readonly pattern: PathPattern;
  readonly entries: E[];
}

/** What a node or an index holds, for tests and for figures. */
export interface IndexSize {
  nodes: number;
  leaves: number;
  entries: number;
}

interface Node<E> {
  literals: Map<string, Node<E>> | undefined;
  parameter: Node<E> | undefined;
  /** A path with parameters that ends here. */
  exact: Leaf<E> | undefined;
  prefix: Leaf<E> | undefined;
}

/** A strict order: no two different entries are equal. */
export type Order<E> = (a: E, b: E) => number;

/**
 * The paths of one host pattern. Exact paths are found by one look-up, the others by walking a trie of segments, so
 * that a look-up costs the number of the path's segments and not the number of routes. Parts are made when they are
 * needed: with many hosts most indexes hold a single path.
 */
export class PathIndex<E> {
  /** The host pattern this belongs to; undefined for routes without one. */
  readonly host: string | undefined;
  #exact: Map<string, Leaf<E>> | undefined;
  #root: Node<E> | undefined;
  readonly #order: Order<E>;

  constructor(host: string | undefined, order: Order<E>) {
    this.host = host;
    this.#order = order;
  }

  get empty(): boolean {
    return this.#exact === undefined && this.#root === undefined;
  }

  add(pattern: PathPattern, entry: E): void {
    if (pattern.exact !== undefined) {
      const exact = (this.#exact ??= new Map<string, Leaf<E>>());
      const leaf = exact.get(pattern.exact);
      if (leaf === undefined) exact.set(pattern.exact, { pattern, entries: [entry] });
      else insert(leaf.entries, entry, this.#order);
      return;
    }
    let node = (this.#root ??= makeNode<E>());
    for (const segment of pattern.segments) node = childFor(node, segment);
    const leaf = pattern.prefix ? node.prefix : node.exact;
    if (leaf !== undefined) insert(leaf.entries, entry, this.#order);
    // A list that begins empty and grows has room for seventeen; nearly all hold one.
    else if (pattern.prefix) node.prefix = { pattern, entries: [entry] };
    else node.exact = { pattern, entries: [entry] };
  }

  /** Takes an entry out, and every node that only it needed. */
  remove(pattern: PathPattern, entry: E): void {
    if (pattern.exact !== undefined) {
      const leaf = this.#exact?.get(pattern.exact);
      if (leaf === undefined || !take(leaf.entries, entry, this.#order)) return;
      this.#exact?.delete(pattern.exact);
      if (this.#exact?.size === 0) this.#exact = undefined;
    } else if (this.#root !== undefined && this.#removeBelow(this.#root, pattern, 0, entry)) {
      this.#root = undefined;
    }
  }

  /** The routes of exactly this path. */
  exact(path: string): Leaf<E> | undefined {
    return this.#exact?.get(path);
  }

  /** The entries of a pattern of that shape, whatever its parameters are called. */
  at(pattern: PathPattern): readonly E[] {
    if (pattern.exact !== undefined) return this.#exact?.get(pattern.exact)?.entries ?? [];
    let node = this.#root;
    for (const segment of pattern.segments)
      node = segment === undefined ? node?.parameter : node?.literals?.get(segment);
    return (pattern.prefix ? node?.prefix : node?.exact)?.entries ?? [];
  }

  /** Appends the leaves of parameters and prefixes that take the path, most specific first. */
  collect(path: string, into: Leaf<E>[]): void {
    if (this.#root === undefined) return;
    const start = into.length;
    walk(this.#root, path, 1, into);
    // The walk leaves deeper nodes first: with literals alone that is the order already, and this one comparison each.
    for (let i = start + 1; i < into.length; i++) {
      const leaf = into[i];
      if (leaf === undefined) continue;
      let at = i;
      for (let before = into[at - 1]; at > start && before !== undefined; before = into[at - 1]) {
        if (comparePatterns(before.pattern, leaf.pattern) <= 0) break;
        into[at--] = before;
      }
      into[at] = leaf;
    }
  }

  /** Adds up what this index holds. */
  measure(size: IndexSize): void {
    for (const leaf of this.#exact?.values() ?? []) measureLeaf(leaf, size);
    if (this.#root !== undefined) measureNode(this.#root, size);
  }

  /** True where nothing is left of the node. */
  #removeBelow(node: Node<E>, pattern: PathPattern, depth: number, entry: E): boolean {
    if (depth === pattern.segments.length) {
      const leaf = pattern.prefix ? node.prefix : node.exact;
      if (leaf === undefined || !take(leaf.entries, entry, this.#order)) return false;
      if (pattern.prefix) node.prefix = undefined;
      else node.exact = undefined;
    } else {
      const segment = pattern.segments[depth];
      const child = segment === undefined ? node.parameter : node.literals?.get(segment);
      if (child === undefined || !this.#removeBelow(child, pattern, depth + 1, entry)) return false;
      if (segment === undefined) node.parameter = undefined;
      else {
        node.literals?.delete(segment);
        if (node.literals?.size === 0) node.literals = undefined;
      }
    }
    return (
      node.literals === undefined &&
      node.parameter === undefined &&
      node.exact === undefined &&
      node.prefix === undefined
    );
  }
}

function makeNode<E>(): Node<E> {
  return { literals: undefined, parameter: undefined, exact: undefined, prefix: undefined };
}

function childFor<E>(node: Node<E>, segment: string | undefined): Node<E> {
  if (segment === undefined) return (node.parameter ??= makeNode());
  const literals = (node.literals ??= new Map<string, Node<E>>());
  let child = literals.get(segment);
  if (child === undefined) literals.set(segment, (child = makeNode()));
  return child;
}

/** `at` is where the next segment starts; beyond the end of the path there is none left. */
function walk<E>(node: Node<E>, path: string, at: number, into: Leaf<E>[]): void {
  if (at <= path.length) {
    if (node.literals !== undefined || node.parameter !== undefined) {
      const end = segmentEnd(path, at);
      const child = node.literals?.get(path.slice(at, end));
      if (child !== undefined) walk(child, path, end + 1, into);
      if (node.parameter !== undefined && end > at) walk(node.parameter, path, end + 1, into);
    }
  } else if (node.exact !== undefined) into.push(node.exact);
  if (node.prefix !== undefined) into.push(node.prefix);
}

/** Index of the first entry that does not come before `entry`. */
function position<E>(entries: readonly E[], entry: E, order: Order<E>): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = entries[middle];
    if (other !== undefined && order(other, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert<E>(entries: E[], entry: E, order: Order<E>): void {
  entries.splice(position(entries, entry, order), 0, entry);
}

/** Removes the entry; true where the list is empty afterwards. */
function take<E>(entries: E[], entry: E, order: Order<E>): boolean {
  const at = position(entries, entry, order);
  if (entries[at] === entry) entries.splice(at, 1);
  return entries.length === 0;
}

function measureLeaf<E>(leaf: Leaf<E>, size: IndexSize): void {
  size.leaves++;
  size.entries += leaf.entries.length;
}

function measureNode<E>(node: Node<E>, size: IndexSize): void {
  size.nodes++;
  if (node.exact !== undefined) measureLeaf(node.exact, size);
  if (node.prefix !== undefined) measureLeaf(node.prefix, size);
  if (node.parameter !== undefined) measureNode(node.parameter, size);
  for (const child of node.literals?.values() ?? []) measureNode(child, size);
}
