/** What a registration knows about itself. */
export interface View {
  /** When the request was sent that last confirmed the lease; undefined while there is none. */
  readonly confirmedAtMs: number | undefined;
  readonly ttlMs: number;
  /** Whether the registry holds the announcement that is wanted. */
  readonly isAnnounced: boolean;
  /** Whether a health report waits to be sent. */
  readonly hasReport: boolean;
  /** Nothing is sent before: the back-off after a failure. */
  readonly notBeforeMs: number;
}

/** What to do next. */
export type Step =
  | { readonly do: "register" | "announce" | "keep-alive" | "report" }
  | { readonly do: "wait"; readonly delayMs: number };

/**
 * A lease whose last answer is older than its time to live counts as lost even if nobody said so: the registry counts
 * from when it answered, which is later, so it may still be there, and registering anew does no harm then.
 */
export function hasLease(view: View, nowMs: number): boolean {
  return view.confirmedAtMs !== undefined && nowMs - view.confirmedAtMs < view.ttlMs;
}

/** Source: etcd's clientv3 renews after a third of the time to live, which leaves two tries before the lease is lost. */
export function nextStep(view: View, nowMs: number): Step {
  if (nowMs < view.notBeforeMs) return { do: "wait", delayMs: view.notBeforeMs - nowMs };
  if (view.confirmedAtMs === undefined || !hasLease(view, nowMs)) return { do: "register" };
  if (!view.isAnnounced) return { do: "announce" };
  const dueMs = view.confirmedAtMs + view.ttlMs / 3;
  if (nowMs >= dueMs) return { do: "keep-alive" };
  if (view.hasReport) return { do: "report" };
  return { do: "wait", delayMs: dueMs - nowMs };
}

const backoffBaseMs = 100;

/** However long the lease: a registry that comes back is asked within a second. */
const backoffCapMs = 1_000;

/**
 * How long to wait after the n-th failure in a row, n from 1. Full jitter: after an outage all services come back at
 * once. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoffMs(failures: number, ttlMs: number, random: () => number): number {
  const capMs = Math.min(backoffCapMs, ttlMs / 3);
  return random() * Math.min(capMs, backoffBaseMs * 2 ** Math.min(failures - 1, 30));
}
