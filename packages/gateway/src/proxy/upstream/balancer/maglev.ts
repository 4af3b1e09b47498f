import { keyedHash } from "../../keyed-hash.ts";

/** What a table is made of. */
export interface MaglevEntry {
  readonly address: string;
  /** Relative to the others; 0: takes no slot. */
  readonly weight: number;
}

/**
 * Slots of a table: prime, and at least 100 for each of 655 instances. With more, shares get uneven by 5 % at 3,000.
 * One size for all numbers of instances: with a size that follows the number, nearly every text would move whenever
 * an instance more or less changes it.
 */
const slots = 65_537;
/** Tables kept for services whose instances and weights are the same as they were; 128 KiB each. */
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

/** No entry has this index: a table has fewer. */
const unset = 0xffff;

/**
 * A Maglev table: for each slot the index of an entry. Each entry has its share of the slots, to one; when an entry goes,
 * hardly a slot changes but its own. Entries of weight 0 have none; without any other the table is empty. The order of
 * the entries does not matter. Takes 2 to 4 ms (the first of a thread 10), so it is made when it is first needed and kept (`sharedTable`).
 *
 * Source: D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4, with weights as
 * in Envoy's maglev_lb.cc: a lighter entry skips turns. At most 65,535 entries; the others get no slot.
 */
export function maglevTable(entries: readonly MaglevEntry[]): Uint16Array {
  const members = entries
    .slice(0, unset)
    .map(({ address, weight }, index) => ({ address, weight, index }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  if (members.length === 0) return new Uint16Array(0);
  // Arrays of numbers and no division below: with an object for each member it takes five times as long.
  const slot = new Int32Array(members.length);
  const step = new Int32Array(members.length);
  const taken = new Int32Array(members.length);
  for (const [m, { address }] of members.entries()) {
    keyedHash(address, keyLow, keyHigh, hashed);
    slot[m] = ((hashed[0] as number) >>> 0) % slots;
    step[m] = (((hashed[1] as number) >>> 0) % (slots - 1)) + 1;
  }
  const heaviest = members.reduce((most, { weight }) => Math.max(most, weight), 0);
  const turnsEach = Float64Array.from(members, ({ weight }) => heaviest / weight);
  const turns = new Turns(members.length);
  const table = new Uint16Array(slots).fill(unset);
  for (let filled = 0; filled < slots; filled++) {
    const m = turns.next();
    let at = slot[m] as number; // a member is inside
    const by = step[m] as number;
    while (table[at] !== unset) {
      at += by;
      if (at >= slots) at -= slots;
    }
    table[at] = m;
    slot[m] = at;
    const count = (taken[m] as number) + 1;
    taken[m] = count;
    turns.add(m, Math.floor(count * (turnsEach[m] as number)));
  }
  return table.map((m) => members[m]?.index ?? unset);
}

/** Who takes a slot in which turn, first come first served: the heaviest are in every turn, lighter ones skip some. */
class Turns {
  /** By turn, the first and the last member; by member, who comes behind it. -1: none. */
  readonly #first = new Int32Array(slots).fill(-1);
  readonly #last = new Int32Array(slots).fill(-1);
  readonly #behind: Int32Array;
  #turn = 0;

  /** All members are in the first turn. There are no more turns than slots, for one at least is taken in each. */
  constructor(members: number) {
    this.#behind = new Int32Array(members);
    for (let member = 0; member < members; member++) this.add(member, 0);
  }

  add(member: number, turn: number): void {
    if (turn >= slots) return; // the table is full by then
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
