/**
 * A map of texts that is changed by making another one from it, which shares all but the parts that differ. Who has the
 * one before keeps it as it was; making the next one costs the change and a little, not the number of entries.
 */
export class Shards<V> {
  readonly #shards: readonly ReadonlyMap<string, V>[];

  /** Without shards: an empty one. */
  constructor(shards: readonly ReadonlyMap<string, V>[] = []) {
    this.#shards = shards;
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  edit(): ShardsEdit<V> {
    return new ShardsEdit(this.#shards);
  }
}

/** What becomes the next one; reads what was written so far. */
export class ShardsEdit<V> {
  readonly #shards: ReadonlyMap<string, V>[];
  readonly #copied = new Map<number, Map<string, V>>();

  constructor(shards: readonly ReadonlyMap<string, V>[]) {
    this.#shards = shards.length === 0 ? Array.from({ length: shardCount }, () => nothing) : [...shards];
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  set(key: string, value: V): void {
    this.#writable(key).set(key, value);
  }

  delete(key: string): void {
    if (this.get(key) !== undefined) this.#writable(key).delete(key);
  }

  done(): Shards<V> {
    return new Shards(this.#shards);
  }

  #writable(key: string): Map<string, V> {
    const at = shardOf(key);
    let copied = this.#copied.get(at);
    if (copied === undefined) {
      copied = new Map(this.#shards[at]);
      this.#copied.set(at, copied);
      this.#shards[at] = copied;
    }
    return copied;
  }
}

/** Of 100,000 entries a change then copies about 100, and a list of this length. */
const shardCount = 1_024;
const nothing: ReadonlyMap<string, never> = new Map<string, never>();

/** FNV-1a. Who chooses keys so that they meet in one shard makes a change cost what all of them would, and no more. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) & (shardCount - 1);
}
