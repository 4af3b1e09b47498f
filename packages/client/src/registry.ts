/** What an instance says of itself: the value of its key, as every gateway reads it. */
export interface Announcement {
  readonly status: "UP" | "DRAINING";
  readonly weight?: number;
  readonly zone?: string;
  readonly version?: string;
}

/** Where an instance is announced: etcd, or a gateway's admin API. One instance, one object; no call overlaps another. */
export interface Registry {
  /**
   * Begins anew: takes out a lease and writes the announcement under it. Resolves with the lease's time to live, which
   * the registry may have raised.
   */
  register(announcement: Announcement): Promise<number>;
  /** Writes the announcement under the lease that is there. */
  announce(announcement: Announcement): Promise<void>;
  /** Renews the lease. */
  keepAlive(announcement: Announcement): Promise<void>;
  /** Writes a health report, JSON, under the lease. */
  report(report: string): Promise<void>;
  /** Removes everything written. */
  withdraw(): Promise<void>;
}

/**
 * - `unreachable`: no endpoint answered in time, or all said that they cannot now.
 * - `refused`: the registry answered, and will say the same again until somebody changes something.
 * - `lost`: the lease is gone; registering anew is all it takes.
 */
export type RegistryFailure = "unreachable" | "refused" | "lost";

/** Why a call to a registry failed. The message is one sentence for people. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly failure: RegistryFailure;

  constructor(failure: RegistryFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}
