import type { DiscoverSettings } from "@headgate/schema";
import type { Clock, Random } from "../../core/clock.ts";
import type { Timers } from "../../core/timers.ts";
import { isAddress, type RegistrationStatus } from "./registration.ts";

/** Sources beside the store, by their key under `discover`. */
export type SourceKind = "dns" | "consul" | "nacos" | "kubernetes";

/** The settings of one of them. */
export type SourceSettings = Exclude<DiscoverSettings, { readonly etcd: string }>;

/** An instance as a source names it. */
export interface FoundInstance {
  /** `host:port`, lower case; IPv6 in brackets. */
  readonly address: string;
  readonly status: RegistrationStatus;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  /** Since when its source names it no more, though it is kept for now; monotonic milliseconds. */
  readonly heldSinceMs?: number;
}

/** Everything that a source says at one time. There is no part of it: what is not in it is not there. */
export interface Found {
  readonly instances: readonly FoundInstance[];
  /** What its owner should know, in one sentence without a final stop. */
  readonly remark?: string;
}

/** What says which instances a service has. */
export interface Source {
  readonly kind: SourceKind;
  /** For people, without credentials: `users.internal:8080`. */
  readonly place: string;
  /** For how long an answer without any instance is doubted. Absent: until a second look. */
  readonly emptyKeptMs?: number;
  /**
   * Follows the source from nothing: the first value is what it says now, and each further one comes when it may have
   * changed. Rejects when it cannot be read (no answer, half of one, one that makes no sense); whoever reads begins
   * again after a pause. Ends soon after `signal` is aborted, and leaves nothing open behind it.
   */
  follow(signal: AbortSignal): AsyncIterable<Found>;
}

/** What sources are made with. */
export interface SourceParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
}

/** `host:port` of an instance; undefined for what can be none. */
export function addressOf(host: string, port: number): string | undefined {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`.toLowerCase();
  return isAddress(address) ? address : undefined;
}

const weightMax = 1_000_000;

/**
 * Shares as weights, which are whole numbers up to a million: shares that are whole stay as they are, others are counted
 * in hundredths. What has a share keeps one.
 */
export function wholeWeights(shares: readonly number[]): readonly number[] {
  const largest = Math.max(1, ...shares);
  const factor = Math.min(shares.every((share) => Number.isInteger(share)) ? 1 : 100, weightMax / largest);
  return shares.map((share) => (share <= 0 ? 0 : Math.max(1, Math.round(share * factor))));
}
