import type { RetryPolicy } from "@headgate/schema";
import type { GatewayError } from "../core/errors.ts";

/** RFC 9110 §9.2.2. */
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Retries that are always allowed at a time, so that a budget of a share does not forbid the only one (as Envoy). */
const retriesAlwaysAllowed = 3;
/** A connection that was closed while idle is replaced this often before the failure counts as one. */
const staleConnectionsMax = 3;

export function mayRepeat(method: string): boolean {
  return idempotent.has(method);
}

/** All that the decision depends on. */
export interface AttemptState {
  readonly method: string;
  /** It has a key that tells the instance when it comes twice: any method may be repeated. Absent: false. */
  readonly carriesKey?: boolean;
  /** The body can be sent again: there is none, or its beginning is kept and nothing was lost. */
  readonly replayable: boolean;
  /** Attempts after the first so far. */
  readonly retries: number;
  /** Attempts that ended on a connection the instance had closed while it was idle. */
  readonly staleConnections: number;
  /** Of the service, in this thread. */
  readonly active: number;
  readonly activeRetries: number;
}

export type Failure =
  /** `stale`: the connection had served before and not one byte of an answer came. */
  { readonly error: GatewayError; readonly stale: boolean } | { readonly status: number };

export type Decision =
  | { readonly do: "fail" }
  | { readonly do: "retry"; readonly waitMs: number; readonly reason: string; readonly counts: boolean };

const fail: Decision = { do: "fail" };

/**
 * Whether a failed attempt is tried again, and after how long. Pure.
 * Back-off: full jitter, `random × (2^n − 1) × base`, at most ten times the base (Envoy's default; AWS "full jitter").
 * Budget: retries under way stay below `max(3, budget × active)` (Envoy's concurrent retry budget).
 */
export function decideRetry(
  failure: Failure,
  policy: RetryPolicy,
  state: AttemptState,
  random: () => number,
): Decision {
  if (!state.replayable) return fail;
  const repeatable = state.carriesKey === true || mayRepeat(state.method);
  if ("error" in failure && failure.stale && repeatable && state.staleConnections < staleConnectionsMax) {
    // RFC 9112 §9.3.1: the instance may close an idle connection at any time; that says nothing about its health.
    return { do: "retry", waitMs: 0, reason: "stale_connection", counts: false };
  }
  if (state.retries >= policy.attempts) return fail;
  const reason = reasonOf(failure);
  if (reason === undefined || !policy.on.some((on) => on === reason)) return fail;
  const nothingSent = "error" in failure && failure.error.retry === "any-method";
  if (!nothingSent && !repeatable) return fail;
  if (state.activeRetries >= Math.max(retriesAlwaysAllowed, policy.budgetRatio * state.active)) return fail;
  // Where nothing was sent the next instance is tried at once: there is no load to spare it from.
  const factor = nothingSent ? 0 : Math.min(2 ** (state.retries + 1) - 1, 10);
  return { do: "retry", waitMs: random() * factor * policy.backoffMs, reason, counts: true };
}

/** The failure in the words of `retry.on`; undefined where none names it. */
function reasonOf(failure: Failure): string | undefined {
  if ("status" in failure) return String(failure.status);
  switch (failure.error.code) {
    case "HG_UPSTREAM_CONNECT":
      return "connect";
    case "HG_UPSTREAM_RESET":
      return "reset";
    case "HG_UPSTREAM_TIMEOUT":
      return failure.error.details.nothingSent === true ? "connect" : "timeout";
    default:
      return undefined;
  }
}
