import type { Lease } from "../queue.ts";

interface Taken {
  readonly token: string;
  readonly service: string;
  untilMs: number;
}

/** Who has taken which message. In memory: with the process goes everybody who could deliver one. Times are wall times. */
export class Leases {
  readonly #taken = new Map<string, Taken>();
  #lastToken = 0;

  take(id: string, service: string, untilMs: number): Lease {
    const token = String(++this.#lastToken);
    this.#taken.set(id, { token, service, untilMs });
    return { id, token };
  }

  /** Whether a message is taken now. */
  isTaken(id: string, nowMs: number): boolean {
    const taken = this.#taken.get(id);
    if (taken === undefined) return false;
    if (taken.untilMs > nowMs) return true;
    this.#taken.delete(id);
    return false;
  }

  /** Whether this lease still holds its message: also after its time, as long as nobody else has taken it. */
  holds({ id, token }: Lease): boolean {
    return this.#taken.get(id)?.token === token;
  }

  renew(lease: Lease, untilMs: number): void {
    const taken = this.#taken.get(lease.id);
    if (taken?.token === lease.token) taken.untilMs = untilMs;
  }

  end(lease: Lease): void {
    if (this.holds(lease)) this.#taken.delete(lease.id);
  }

  /** Whoever has it: the message is gone. */
  forget(id: string): void {
    this.#taken.delete(id);
  }

  /** How many messages of a service are taken. There are never more than are delivered at a time. */
  countOf(service: string, nowMs: number): number {
    let count = 0;
    for (const taken of this.#taken.values()) if (taken.service === service && taken.untilMs > nowMs) count++;
    return count;
  }

  count(nowMs: number): number {
    let count = 0;
    for (const taken of this.#taken.values()) if (taken.untilMs > nowMs) count++;
    return count;
  }
}
