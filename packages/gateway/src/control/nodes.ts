import type { EventBus } from "./events.ts";
import { parseKey } from "./layout.ts";
import { parseNode, type Node } from "./node-report.ts";
import type { Key, KeyValue } from "./store/store.ts";

/** The gateways that run on one store, as their leased keys tell. */
export class Nodes {
  readonly #prefix: Key;
  readonly #self: () => string;
  readonly #events: EventBus;
  readonly #nodes = new Map<Key, Node>();
  readonly #listeners = new Set<() => void>();

  /** `self`: the id of this gateway. */
  constructor(prefix: Key, self: () => string, events: EventBus) {
    this.#prefix = prefix;
    this.#self = self;
    this.#events = events;
  }

  all(): (Node & { readonly self: boolean })[] {
    const self = this.#self();
    return [...this.#nodes.values()].map((node) => ({ ...node, self: node.id === self }));
  }

  set(kv: KeyValue): void {
    const node = parseNode(kv);
    if (node === undefined) return this.delete(kv.key);
    const state = this.#nodes.has(kv.key) ? "updated" : "joined";
    this.#nodes.set(kv.key, node);
    this.#tell(node.id, state, node.revision);
  }

  /** Its lease ran out, or it ended. */
  delete(key: Key): void {
    const node = this.#nodes.get(key);
    if (!this.#nodes.delete(key)) return;
    const parsed = parseKey(this.#prefix, key);
    this.#tell(parsed.area === "node" ? parsed.id : "", "left", node?.revision ?? 0);
  }

  /** Calls the listener after each change; returns how to stop. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(id: string, state: "joined" | "left" | "updated", revision: number): void {
    this.#events.publish({ type: "node", id, state, revision });
    for (const listener of [...this.#listeners]) listener();
  }
}
