import type { ConsumerResource, Problem } from "@headgate/schema";
import { quote } from "@headgate/schema";
import type { Entry } from "./entry.ts";

/**
 * Which consumer has which key or subject: one that two claim would make one of them act as the other. The first to
 * have it keeps it.
 */
export class ClaimIndex {
  readonly #owners = new Map<string, Entry>();
  readonly #waiting = new Set<Entry>();

  /** Consumers whose wanted version does not run, perhaps for what another one has; who waits longest is first. */
  waiting(): Entry[] {
    return [...this.#waiting];
  }

  /**
   * Who of these consumers cannot have what they want, with why; the others can, all at once: keys may be swapped. Who
   * has a key and goes on wanting it keeps it; of those who want a free one the earlier gets it. Who cannot keeps what
   * it has, so that nobody else gets that either. Pure.
   *
   * @param wanted `undefined`: it goes
   */
  conflicts(wanted: ReadonlyMap<Entry, ConsumerResource | undefined>): Map<Entry, Problem[]> {
    const claims = new Map([...wanted].map(([entry, consumer]) => [entry, claimsOf(consumer)]));
    const moving = new Set(wanted.keys());
    let heirs = new Map<string, Entry>();
    const othersAmong = (entry: Entry): [Claim, Entry][] =>
      (claims.get(entry) ?? []).flatMap((claim): [Claim, Entry][] => {
        const owner = this.#owners.get(claim.claim);
        const holder = owner === undefined || moving.has(owner) ? heirs.get(claim.claim) : owner;
        return holder === undefined || holder === entry ? [] : [[claim, holder]];
      });
    // Whoever is held back keeps what it has, which may hold back others: each round holds back one at least.
    for (let losers: Entry[] = [...moving]; losers.length > 0;) {
      heirs = this.#heirsOf(moving, claims);
      losers = [...moving].filter((entry) => othersAmong(entry).length > 0);
      for (const entry of losers) moving.delete(entry);
    }
    // Who was held back by somebody that was held back later: each round but the last lets one go on at least.
    for (let found = true; found;) {
      found = false;
      for (const [entry, own] of claims) {
        if (moving.has(entry) || othersAmong(entry).length > 0) continue;
        moving.add(entry);
        for (const { claim } of own) heirs.set(claim, entry);
        found = true;
      }
    }
    const heldBack = [...wanted.keys()].filter((entry) => !moving.has(entry));
    return new Map(heldBack.map((entry) => [entry, othersAmong(entry).map((one) => problemOf(entry, ...one))]));
  }

  /** Which of those that change gets a key, as far as they go: its owner, or the first. */
  #heirsOf(moving: ReadonlySet<Entry>, claims: ReadonlyMap<Entry, readonly Claim[]>): Map<string, Entry> {
    const heirs = new Map<string, Entry>();
    for (const entry of moving) {
      for (const { claim } of claims.get(entry) ?? []) {
        if (!heirs.has(claim) || this.#owners.get(claim) === entry) heirs.set(claim, entry);
      }
    }
    return heirs;
  }

  /** The live version of a consumer changed. */
  replace(entry: Entry, before: ConsumerResource | undefined, after: ConsumerResource | undefined): void {
    for (const { claim } of claimsOf(before)) if (this.#owners.get(claim) === entry) this.#owners.delete(claim);
    for (const { claim } of claimsOf(after)) this.#owners.set(claim, entry);
  }

  /** Whether a consumer waits for another one to let go. */
  waits(entry: Entry, waiting: boolean): void {
    if (waiting) this.#waiting.add(entry);
    else this.#waiting.delete(entry);
  }
}

function problemOf({ name }: Entry, { at, what }: Claim, holder: Entry): Problem {
  return {
    path: ["consumers", name, ...at],
    message: `the ${what} is also that of consumer ${quote(holder.name)}`,
    hint: `give each ${what} to one consumer`,
    severity: "error",
  };
}

interface Claim {
  readonly claim: string;
  readonly at: readonly (string | number)[];
  readonly what: "key" | "subject";
}

function claimsOf(consumer: ConsumerResource | undefined): Claim[] {
  if (consumer === undefined) return [];
  const { keys, jwt } = consumer;
  const claims: Claim[] = keys.map((key, index) => ({ claim: `key ${key}`, at: ["keys", index], what: "key" }));
  if (jwt !== undefined) claims.push({ claim: `subject ${jwt.subject}`, at: ["jwt", "subject"], what: "subject" });
  return claims;
}
