import { keyedHash } from "../../keyed-hash.ts";

/** What a table is made of. */
export interface MaglevEntry {
  readonly address: string;
  readonly weight: number;
}

/** Primes for the sizes of tables. */
const sizes = [8_191, 16_381, 32_749, 65_537] as const;
const slotsPerInstance = 100;
/** Tables kept for services whose instances and weights are the same as they were: 128 KiB each at most. */
export const tablesMax = 64;

/*
 * Fixed, not secret: all workers, all gateways and every later start must place a text at the same instance. Who chooses
 * the text can choose the instance, as with every consistent hash.
 */
const keyLow = 0x6d61676c;
const keyHigh = 0x65762d31;

const hashed = new Int32Array(2);

/** The hash of a text, 32 bits without sign. The same on all machines. */
export function hashOf(text: string): number {
  keyedHash(text, keyLow, keyHigh, hashed);
  return (hashed[0] as number) >>> 0;
}

/** Another hash made of a hash: where to look when what it names cannot be used. Source: MurmurHash3's finalizer. */
export function rehash(hash: number, attempt: number): number {
  let mixed = (hash + Math.imul(attempt, 0x9e3779b9)) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * A Maglev table: for each slot the index of an entry. Each entry has its share of the slots, to one; when an entry goes,
 * hardly a slot changes but its own. Entries of weight 0 have none; without any other the table is empty.
 *
 * Source: D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4, with weights as
 * in Envoy's maglev_lb.cc: a lighter entry skips turns. The order of the entries does not matter.
 */
export function maglevTable(entries: readonly MaglevEntry[]): Uint16Array {
  const members = entries
    .map(({ address, weight }, index) => ({ address, weight, index }))
    .filter(({ weight }) => weight > 0);
  if (members.length === 0) return new Uint16Array(0);
  members.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const size = sizeFor(members.length);
  const next = new Int32Array(members.length);
  const skip = new Int32Array(members.length);
  for (const [m, { address }] of members.entries()) {
    keyedHash(address, keyLow, keyHigh, hashed);
    next[m] = ((hashed[0] as number) >>> 0) % size;
    skip[m] = (((hashed[1] as number) >>> 0) % (size - 1)) + 1;
  }
  const heaviest = Math.max(...members.map(({ weight }) => weight));
  const table = new Uint16Array(size).fill(unset);
  const turns = new Turns(members.length, size);
  const taken = new Int32Array(members.length);
  for (let filled = 0; filled < size; filled++) {
    const m = turns.next();
    const { weight, index } = members[m] as (typeof members)[number]; // a member, as below
    let slot = next[m] as number;
    const step = skip[m] as number;
    while (table[slot] !== unset) {
      slot += step;
      if (slot >= size) slot -= size;
    }
    table[slot] = index;
    next[m] = slot;
    const count = (taken[m] as number) + 1;
    taken[m] = count;
    turns.add(m, Math.floor((count * heaviest) / weight));
  }
  return table;
}

/** Who takes a slot in which turn, first come first served: the heaviest are in every turn, lighter ones skip some. */
class Turns {
  /** By turn, the first and the last member; by member, who comes behind it. -1: none. */
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  readonly #behind: Int32Array;
  #turn = 0;

  /** All members are in the first turn; there are at most `turns`, for at least one takes a slot in each. */
  constructor(members: number, turns: number) {
    this.#first = new Int32Array(turns).fill(-1);
    this.#last = new Int32Array(turns).fill(-1);
    this.#behind = new Int32Array(members);
    for (let m = 0; m < members; m++) this.add(m, 0);
  }

  add(member: number, turn: number): void {
    if (turn >= this.#first.length) return; // the table is full by then
    const last = this.#last[turn] as number; // inside, as are all below
    if (last < 0) this.#first[turn] = member;
    else this.#behind[last] = member;
    this.#last[turn] = member;
    this.#behind[member] = -1;
  }

  next(): number {
    while ((this.#first[this.#turn] as number) < 0) this.#turn++;
    const member = this.#first[this.#turn] as number;
    const behind = this.#behind[member] as number;
    this.#first[this.#turn] = behind;
    if (behind < 0) this.#last[this.#turn] = -1;
    return member;
  }
}

/** No entry has this index: there are fewer instances. */
const unset = 0xffff;

function sizeFor(members: number): number {
  return sizes.find((size) => size >= members * slotsPerInstance) ?? sizes[sizes.length - 1] ?? 0;
}

/** The newest tables by what they were made of, so that a change of other settings makes none anew. */
const tables = new Map<string, Uint16Array>();

/** The table of these entries, from those kept if they are the same in the same order. */
export function sharedTable(entries: readonly MaglevEntry[]): Uint16Array {
  const identity = entries.map(({ address, weight }) => `${address} ${weight}`).join("\n");
  const known = tables.get(identity);
  tables.delete(identity); // and back at the end: the first is the one unused for longest
  const table = known ?? maglevTable(entries);
  tables.set(identity, table);
  for (const oldest of tables.keys()) {
    if (tables.size <= tablesMax) break;
    tables.delete(oldest);
  }
  return table;
}
