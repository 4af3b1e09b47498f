import type { HealthCheckSettings } from "@headgate/schema";

/** What one check of an instance found. */
export type CheckResult =
  | { readonly passed: true }
  /** `reason` completes "the check failed: ": `GET /healthz answered 500`. */
  | { readonly passed: false; readonly reason: string };

/** What the checks of an instance say so far. */
export interface CheckState {
  readonly healthy: boolean;
  /** Whether there was a check at all; the first one decides alone. */
  readonly checked: boolean;
  /** Checks in a row that ended as the last one did. */
  readonly streak: number;
  /** Why the last one failed; absent where it passed. */
  readonly failure?: string;
}

/** A new instance is used until it is proven sick. */
export const unchecked: CheckState = { healthy: true, checked: false, streak: 0 };

/**
 * Counts a check. It takes `unhealthy` failures in a row to leave an instance out and `healthy` passes in a row to use
 * it again, so that one lost packet moves no traffic; but the first check decides alone, as in HAProxy and Envoy: of an
 * instance that never passed one nothing speaks for its being well.
 */
export function afterCheck(
  state: CheckState,
  result: CheckResult,
  { healthy, unhealthy }: Pick<HealthCheckSettings, "healthy" | "unhealthy">,
): CheckState {
  const isSame = state.checked && result.passed === (state.failure === undefined);
  const streak = isSame ? state.streak + 1 : 1;
  const decides = !state.checked || streak >= (result.passed ? healthy : unhealthy);
  return {
    healthy: decides ? result.passed : state.healthy,
    checked: true,
    streak,
    ...(result.passed ? {} : { failure: result.reason }),
  };
}

/** Why an instance is left out, as people are told: `3 checks failed: GET /healthz answered 500`. */
export function describeChecks({ streak, failure }: CheckState): string {
  if (failure === undefined) return `only ${streak} ${streak === 1 ? "check" : "checks"} passed since the last failed`;
  return streak === 1 ? `a check failed: ${failure}` : `${streak} checks failed: ${failure}`;
}
