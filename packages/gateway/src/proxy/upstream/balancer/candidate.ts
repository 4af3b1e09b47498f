import type { InstanceLoad } from "./instance-load.ts";

/** What balancing needs to know of an instance. All methods are called at picks and must cost next to nothing. */
export interface Candidate {
  readonly address: string;
  readonly zone: string | undefined;
  /** Share of the traffic, relative to the others; 0: none. */
  readonly weight: number;
  readonly load: InstanceLoad;
  /** Whether it may be picked: health, ejection, breaker. */
  available(nowMs: number): boolean;
  /** How far it is in its slow start, 0..1; 1: it has its full share. */
  ramp(nowMs: number): number;
  /** By how much it counts as slower than measured, because of the load that it reports; 1 or more. */
  bias(): number;
  /** Whether it may not be picked in panic either: its circuit breaker is open. Absent: false. */
  barred?(nowMs: number): boolean;
}

/** What one pick depends on. */
export interface PickContext {
  readonly nowMs: number;
  /** Instances that this exchange has tried. */
  readonly excluded: ReadonlySet<unknown> | undefined;
  /** Text that decides: what is hashed, or the value of the sticky cookie. Undefined: the request has none. */
  readonly key: string | undefined;
}

/** Picks instances. One for each service and snapshot in each worker. */
export interface Balancer<T extends Candidate> {
  /**
   * The instance for an attempt. Undefined where every one is unavailable or excluded. Who picks calls
   * `load.begin` before the next pick.
   */
  pick(context: PickContext): T | undefined;
  /** Whether the last pick was one in panic: too few were available, so it looked at all of them. */
  readonly panicked: boolean;
  /**
   * The value of the `Set-Cookie` with which an answer from `picked` pins the client to it; undefined where the request
   * had that cookie (`key`) already. Absent: the policy sets no cookie.
   */
  cookieFor?(picked: T, key: string | undefined): string | undefined;
}

/** A policy: which of those that may be picked. Called only with at least one. */
export interface Policy {
  /** An index into the candidates, of one that is allowed; -1 for none. */
  choose(context: PickContext): number;
}
