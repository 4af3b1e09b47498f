import type { RetryPolicy } from "@headgate/schema";
import type { GatewayError } from "../core/errors.ts";

/** RFC 9110 §9.2.2. */
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** A connection that was closed while idle is replaced this often before the failure counts as one. */
const staleConnectionsMax = 3;
/** An instance that asks for more time than this is not asked again: its answer, and when to come back, go to the client. */
export const retryAfterMaxMs = 5_000;

/**
 * Whether a request may reach an instance twice. A client's `Idempotency-Key` on a POST changes nothing: only the
 * instance knows whether it looks at it.
 */
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
  /** Until the exchange must be over; Infinity where nothing limits it. */
  readonly remainingMs: number;
}

/** How an attempt failed. */
export type Failure =
  /** `stale`: the connection had served before and not one byte of an answer came. */
  | { readonly error: GatewayError; readonly stale: boolean }
  /** `retryAfterMs`: when the instance wants to be asked again, if it says. */
  | { readonly status: number; readonly retryAfterMs: number | undefined };

export type Decision =
  | { readonly do: "fail" }
  /** `counts`: against the policy's attempts and the budget. */
  | { readonly do: "retry"; readonly waitMs: number; readonly reason: string; readonly counts: boolean };

const fail: Decision = { do: "fail" };

/**
 * Whether a failed attempt is tried again, and after how long. Pure; the budget is asked when the time has come.
 * Back-off: full jitter, `random × (2^n − 1) × base`, at most ten times the base (Envoy's default; AWS "full jitter"),
 * on top of what the instance's Retry-After asks for.
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
  // Where nothing was sent the next instance is tried at once: there is no load to spare it from.
  const factor = nothingSent ? 0 : Math.min(2 ** (state.retries + 1) - 1, 10);
  const askedMs = "status" in failure ? (failure.retryAfterMs ?? 0) : 0;
  const waitMs = askedMs + random() * factor * policy.backoffMs;
  if (askedMs > retryAfterMaxMs || waitMs >= state.remainingMs) return fail;
  return { do: "retry", waitMs, reason, counts: true };
}

/** The failure in the words of `retry.on`; undefined where none names it. */
function reasonOf(failure: Failure): string | undefined {
  if ("status" in failure) return String(failure.status);
  switch (failure.error.code) {
    case "HG_UPSTREAM_CONNECT":
      return "connect";
    case "HG_UPSTREAM_RESET":
    case "HG_UPSTREAM_PROTOCOL":
      return "reset";
    case "HG_OVERLOADED":
      // No connection of the instance became free; another one may have some.
      return "connect";
    case "HG_UPSTREAM_TIMEOUT":
      return failure.error.details.nothingSent === true ? "connect" : "timeout";
    default:
      return undefined;
  }
}

/**
 * Milliseconds that a Retry-After field asks for (RFC 9110 §10.2.3): seconds, or a date. Undefined where there is none,
 * or none that can be read. `wallMs`: milliseconds since 1970.
 */
export function retryAfterOf(value: string | undefined, wallMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  // Whatever is no HTTP date, `Date` may still take for one.
  const atMs = value.endsWith("GMT") ? Date.parse(value) : NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - wallMs);
}
