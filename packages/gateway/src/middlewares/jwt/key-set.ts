import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { keysOfSet, type Algorithm, type VerificationKey } from "./keys.ts";

/** Keys of this age are fetched again in the background, */
const refreshAgeMs = 8 * 60_000;
/** of this age before the next use; where that fails the old ones are used on, */
const freshAgeMs = 10 * 60_000;
/** up to this age: an identity provider may be down for a day, a withdrawn key must not be good for ever. */
const staleAgeMaxMs = 24 * 3_600_000;
/** Between two fetches caused by an unknown key id or repeated after a failure: anyone can send tokens with odd ids. */
const cooldownMs = 30_000;
/** The same while there are no keys at all and nobody gets in. */
const emptyCooldownMs = 1_000;
const keysMax = 100;

/** The keys could not be fetched and no earlier ones are left. */
export class KeysUnavailable extends Error {}

/** The keys at a URL: fetched once for all who wait, kept, refreshed, and served stale while the fetch fails. */
export class RemoteKeySet {
  readonly #url: string;
  readonly #fetchJson: (url: string) => Promise<unknown>;
  readonly #clock: Clock;
  readonly #log: Log;
  #keys: readonly VerificationKey[] = [];
  #fetchedMs = -Infinity;
  #triedMs = -Infinity;
  #fetching: Promise<void> | undefined;

  constructor(url: string, fetchJson: (url: string) => Promise<unknown>, clock: Clock, log: Log) {
    this.#url = url;
    this.#fetchJson = fetchJson;
    this.#clock = clock;
    this.#log = log;
  }

  /** Starts the first fetch, so that a wrong URL shows when it is configured and the first request need not wait. */
  warmUp(): void {
    if (this.#triedMs === -Infinity) void this.#refresh();
  }

  /**
   * The key a token's header names, or undefined. Without a key id the set must have exactly one key. Answers without
   * a promise where nothing is to be waited for; rejects with KeysUnavailable.
   */
  find(
    kid: string | undefined,
    algorithm: Algorithm,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined> {
    const ageMs = this.#clock.now() - this.#fetchedMs;
    if (ageMs >= staleAgeMaxMs) return this.#findAfterRefresh(kid, algorithm, emptyCooldownMs);
    if (ageMs >= freshAgeMs) return this.#findAfterRefresh(kid, algorithm, cooldownMs);
    if (ageMs >= refreshAgeMs && this.#mayTry(cooldownMs)) void this.#refresh();
    const key = this.#select(kid, algorithm);
    if (key !== undefined || kid === undefined) return key;
    return this.#findAfterRefresh(kid, algorithm, cooldownMs);
  }

  async #findAfterRefresh(kid: string | undefined, algorithm: Algorithm, cooldown: number) {
    if (this.#fetching !== undefined || this.#mayTry(cooldown)) await this.#refresh();
    if (this.#clock.now() - this.#fetchedMs >= staleAgeMaxMs) throw new KeysUnavailable();
    return this.#select(kid, algorithm);
  }

  #select(kid: string | undefined, algorithm: Algorithm): VerificationKey | undefined {
    const keys = this.#keys;
    if (kid === undefined) return keys.length === 1 && keys[0]?.algorithms.includes(algorithm) ? keys[0] : undefined;
    return keys.find((key) => key.kid === kid && key.algorithms.includes(algorithm));
  }

  #mayTry(cooldown: number): boolean {
    return this.#clock.now() - this.#triedMs >= cooldown;
  }

  /** Never rejects; a failure leaves the keys as they are. */
  #refresh(): Promise<void> {
    return (this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined;
    }));
  }

  async #fetch(): Promise<void> {
    this.#triedMs = this.#clock.now();
    try {
      const keys = keysOfSet(await this.#fetchJson(this.#url), keysMax);
      if (keys.length === 0) throw new Error("the key set holds no key that can be used");
      this.#keys = keys;
      this.#fetchedMs = this.#clock.now();
    } catch (error) {
      this.#log.warn({ url: this.#url, err: error, keys: this.#keys.length }, "the key set could not be fetched");
    }
  }
}
