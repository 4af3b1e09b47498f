import { hash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import type { Claims } from "./token.ts";

/** What is kept of a token that was found good. */
export interface Verified {
  /** Frozen through and through: every exchange with this token gets the same object. */
  readonly claims: Claims;
  /** Header name and value for `claimsToHeaders`, worked out once. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const entriesMax = 20_000;
/** A key that was withdrawn, or a subject's consumer, is looked at again after this. */
const ageMaxMs = 60_000;

/**
 * Tokens found good, the least recently used dropped first. Kept by SHA-256 (1 µs): the token itself would keep the
 * request's head alive that it was cut from, and lie in heap dumps.
 */
export class VerifiedTokens {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly verified: Verified; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(token: string): Verified | undefined {
    const key = digest(token);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (this.#clock.now() >= entry.untilMs) return undefined;
    this.#entries.set(key, entry); // a Map is in order of insertion: this makes it the most recent
    return entry.verified;
  }

  /** `validForMs`: until the token expires. */
  set(token: string, verified: Verified, validForMs: number): void {
    if (this.#entries.size >= entriesMax) {
      const oldest = this.#entries.keys().next();
      if (oldest.done === false) this.#entries.delete(oldest.value);
    }
    freeze(verified.claims);
    this.#entries.set(digest(token), { verified, untilMs: this.#clock.now() + Math.min(validForMs, ageMaxMs) });
  }
}

function digest(token: string): string {
  return hash("sha256", token, "base64");
}

/** Depth is bounded by what 8 KiB of JSON can nest. */
function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
}
