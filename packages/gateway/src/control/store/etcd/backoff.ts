import type { Random } from "../../../core/clock.ts";

/**
 * The pause before try number `tries` (from 0): 50 ms, doubled each time up to a second, of that a random half to whole,
 * so that the gateways of a fleet do not return to a restarted etcd all at once. A second is short for a backoff; what
 * is served must follow etcd within three of its return, and a hundred gateways' tries are no load to it.
 */
export function backoffMs(tries: number, random: Random): number {
  return Math.min(backoffMsMax, 50 * 2 ** Math.min(tries, 10)) * (0.5 + random() / 2);
}

const backoffMsMax = 1_000;

/** The pause after a refusal that only a person can mend (wrong password, missing permission). */
export const refusedPauseMs = 5_000;
