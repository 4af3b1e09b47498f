import type { Clock, Random } from "../../../core/clock.ts";
import type { Timers } from "../../../core/timers.ts";
import { Timed, Wheel } from "../../../core/wheel.ts";
import type { Key } from "../store.ts";
import { StoreError } from "../store.ts";
import { refuse } from "./refusals.ts";

/** etcd's smallest with its default settings; what is asked below it is granted it. */
const leaseSecondsMin = 2;
/** etcd's largest: 285 years. */
const leaseSecondsMax = 9_000_000_000;
/** Leases at a time; one more is refused with `no-space`. */
const leasesMax = 100_000;
/** How late a lease can end, at most. */
const tickMs = 100;
/** A tick that comes later than this says that the process stood still. */
const stallMs = 1_000;

export class LeaseEntry extends Timed {
  readonly id: string;
  readonly ttlSeconds: number;
  /** Keys whose newest version holds this lease. */
  readonly keys = new Set<Key>();
  readonly #over: LeaseEntry[];

  /** `over`: where it goes when its time is over. */
  constructor(id: string, ttlSeconds: number, over: LeaseEntry[]) {
    super();
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.#over = over;
  }

  fire(): void {
    this.#over.push(this);
  }
}

export interface LeasesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** The time of a lease is over: revoke it. */
  readonly expired: (lease: LeaseEntry) => void;
}

/** The leases, the keys that hang on them, and their time. Nothing ends a lease but its owner and `remove`. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #leases = new Map<string, LeaseEntry>();
  readonly #wheel: Wheel;
  /** Leases whose time was over in this tick. */
  readonly #over: LeaseEntry[] = [];
  #stopTicks: (() => void) | undefined;
  #lastTickMs = 0;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#wheel = new Wheel(options.clock.now(), tickMs);
  }

  get(id: string): LeaseEntry | undefined {
    return this.#leases.get(id);
  }

  all(): IterableIterator<LeaseEntry> {
    return this.#leases.values();
  }

  /** `id` "0": one of the store's choice. */
  grant(ttlSeconds: number, id: string): LeaseEntry {
    if (!(ttlSeconds <= leaseSecondsMax)) throw refuse("leaseTtlTooLarge");
    if (this.#leases.size >= leasesMax) throw refuse("noSpace");
    let chosen = leaseId(id);
    while (chosen === "0") {
      const drawn = randomId(this.#options.random, 63);
      if (!this.#leases.has(drawn)) chosen = drawn;
    }
    if (this.#leases.has(chosen)) throw refuse("leaseExists");
    return this.restore(chosen, Math.max(leaseSecondsMin, Math.ceil(ttlSeconds)));
  }

  /** Puts back a lease that the file kept: it has all its time again, for its owner could not reach the store. */
  restore(id: string, ttlSeconds: number): LeaseEntry {
    const lease = new LeaseEntry(id, ttlSeconds, this.#over);
    this.#leases.set(id, lease);
    this.#startTicks();
    this.refresh(lease);
    return lease;
  }

  refresh(lease: LeaseEntry): void {
    this.#wheel.arm(lease, this.#options.clock.now() + lease.ttlSeconds * 1000);
  }

  /** Seconds left, without the broken part of the last one, as etcd counts. */
  secondsLeft(lease: LeaseEntry): number {
    return Math.max(0, Math.floor((lease.deadlineMs - this.#options.clock.now()) / 1000));
  }

  isOver(lease: LeaseEntry): boolean {
    return lease.deadlineMs <= this.#options.clock.now();
  }

  remove(lease: LeaseEntry): void {
    this.#wheel.disarm(lease);
    this.#leases.delete(lease.id);
    if (this.#leases.size === 0) this.#stop();
  }

  attach(id: string, key: Key): void {
    this.#leases.get(id)?.keys.add(key);
  }

  detach(id: string, key: Key): void {
    this.#leases.get(id)?.keys.delete(key);
  }

  /** Forgets all of them without ending them. */
  clear(): void {
    for (const lease of [...this.#leases.values()]) this.remove(lease);
  }

  #startTicks(): void {
    if (this.#stopTicks !== undefined) return;
    this.#lastTickMs = this.#options.clock.now();
    this.#stopTicks = this.#options.timers.every(tickMs, () => this.#tick());
  }

  #stop(): void {
    this.#stopTicks?.();
    this.#stopTicks = undefined;
  }

  #tick(): void {
    const nowMs = this.#options.clock.now();
    const lateMs = nowMs - this.#lastTickMs - tickMs;
    this.#lastTickMs = nowMs;
    // While this process stood still (suspended, swapped out) the signs of life of the owners piled up unread. Without
    // this, every lease would end before the first of them is read, and with them every instance that is registered.
    if (lateMs > stallMs) {
      for (const lease of this.#leases.values()) this.#wheel.arm(lease, lease.deadlineMs + lateMs);
    }
    this.#wheel.advance(nowMs);
    // In the order of their time, which the slots of the wheel do not keep.
    const over = this.#over.splice(0).sort((a, b) => a.deadlineMs - b.deadlineMs || (a.id < b.id ? -1 : 1));
    for (const lease of over) this.#options.expired(lease);
  }
}

/** Decimal digits of a signed 64-bit number, without leading zeros. */
export function leaseId(text: string): string {
  if (!/^-?\d{1,20}$/.test(text)) throw new StoreError("invalid", `"${text}" is not the number of a lease.`);
  const number = BigInt(text);
  if (BigInt.asIntN(64, number) !== number) {
    throw new StoreError("invalid", `The number of a lease has 64 bits; ${text} does not fit.`);
  }
  return number.toString();
}

/** A number of so many random bits (64 at most), in decimal digits; never 0. */
export function randomId(random: Random, bits: number): string {
  const part = (): bigint => BigInt(Math.floor(random() * 0x1_0000_0000));
  const id = BigInt.asUintN(bits, (part() << 32n) | part());
  return id === 0n ? "1" : id.toString();
}
