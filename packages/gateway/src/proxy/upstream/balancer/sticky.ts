import type { BalanceSettings } from "@headgate/schema";
import { createHmac } from "node:crypto";
import type { PickContext, Policy } from "./candidate.ts";
import type { Selection } from "./selection.ts";

/** Of the policy that keeps a client at an instance. */
export type StickySettings = Extract<BalanceSettings, { policy: "sticky" }>;

/** Bytes of an instance's id: enough that two of a service never share one. */
const idBytes = 12;

/**
 * What a sticky cookie says: names an instance without telling its address, 16 characters. The same in all workers and
 * gateways that have the same key.
 */
export function instanceId(address: string, key: string): string {
  return createHmac("sha256", key).update(address).digest().subarray(0, idBytes).toString("base64url");
}

/** The value of a `Set-Cookie` for an instance's id (RFC 6265). Not for scripts, and not sent along from other sites' forms. */
export function stickyCookie({ cookie, path, ttlMs, secure }: StickySettings, id: string): string {
  const age = ttlMs === undefined ? "" : `; Max-Age=${Math.ceil(ttlMs / 1000)}`;
  return `${cookie}=${id}; Path=${path}${age}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
}

/**
 * The instance that the client's cookie names, wherever it is, as long as it may be used; for clients without one, and
 * where it may not, `fresh` picks.
 */
export class Sticky implements Policy {
  readonly #selection: Selection;
  readonly #fresh: Policy;
  readonly #indexes = new Map<string, number>();
  /** By candidate. */
  readonly #ids: readonly string[];
  readonly #cookies: readonly string[];

  /** `key`: of the ids. */
  constructor(selection: Selection, fresh: Policy, settings: StickySettings, key: string) {
    this.#selection = selection;
    this.#fresh = fresh;
    this.#ids = selection.candidates.map(({ address }) => instanceId(address, key));
    this.#cookies = this.#ids.map((id) => stickyCookie(settings, id));
    for (const [index, id] of this.#ids.entries()) this.#indexes.set(id, index);
  }

  choose(context: PickContext): number {
    const named = context.key === undefined ? undefined : this.#indexes.get(context.key);
    if (named !== undefined && this.#mayUse(named, context)) return named;
    return this.#fresh.choose(context);
  }

  /** The `Set-Cookie` of an answer from this candidate; undefined where the request's cookie names it. */
  cookieFor(index: number, key: string | undefined): string | undefined {
    return this.#ids[index] === key ? undefined : this.#cookies[index];
  }

  /** Also in another zone than the one that is preferred: what the client has there counts for more. */
  #mayUse(index: number, { nowMs, excluded }: PickContext): boolean {
    const { allowed, candidates } = this.#selection;
    if (allowed[index] === 1) return true;
    const candidate = candidates[index];
    if (candidate === undefined || candidate.weight <= 0 || excluded?.has(candidate) === true) return false;
    return candidate.available(nowMs);
  }
}
