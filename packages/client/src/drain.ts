import type { Time } from "./core/time.ts";

export interface QuietOptions {
  readonly time: Time;
  /** Longest wait. */
  readonly drainMs: number;
  /** How long gateways get to see the announcement before an idle moment counts as the end of the work. */
  readonly noticeMs: number;
  /** Requests under way; undefined if nobody counts, then the wait takes all of `drainMs`. */
  readonly inFlight: (() => number) | undefined;
  /** Resolves when the announcement was made. */
  readonly told: Promise<void>;
}

const stepMs = 25;

/** Resolves when the last requests that gateways sent should be answered. Keeps the process alive until then. */
export async function waitForQuiet({ time, drainMs, noticeMs, inFlight, told }: QuietOptions): Promise<void> {
  const deadlineMs = time.now() + drainMs;
  let seenAtMs = Infinity;
  void told.then(() => (seenAtMs = time.now() + noticeMs));
  for (let now = time.now(); now < deadlineMs; now = time.now()) {
    if (now >= seenAtMs && isIdle(inFlight)) return;
    await time.pause(Math.min(stepMs, deadlineMs - now));
  }
}

/** The count is the service's code: one that fails must not keep it from leaving, only from leaving early. */
function isIdle(inFlight: QuietOptions["inFlight"]): boolean {
  try {
    return inFlight !== undefined && inFlight() <= 0;
  } catch {
    return false;
  }
}
