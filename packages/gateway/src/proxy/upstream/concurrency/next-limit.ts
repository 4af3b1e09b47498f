/** What an adaptive limit remembers from one window to the next. */
export interface LimitState {
  /** Not rounded. */
  readonly limit: number;
  /** How long answers take when the instances have less to do than they can; 0: not known yet. */
  readonly baselineMs: number;
  readonly phase: number;
}

/** What was seen in a window. */
export interface LimitWindow {
  /** Trimmed mean of the times to the heads of the answers. */
  readonly rttMs: number;
  readonly samples: number;
  /** Of them, those that ended without an answer. */
  readonly dropped: number;
  /** Whether somebody was refused: the limit is what bounds the load. */
  readonly full: boolean;
  /** Most that were under way. */
  readonly inFlight: number;
}

/** Bounds of an adaptive limit, as configured. */
export interface LimitBounds {
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

/** The limit may not have had its effect on the answers of the window that follows a change of phase: it is not used. */
export const settling = 0;
/** The first and the last measuring window before a drain. */
const firstMeasuring = 1;
const lastMeasuring = 8;
/** For two windows the limit is lowered: the first lets queues at the instances drain, the second measures. */
const drainSettling = -2;
const drainMeasuring = -1;

/** What is left of the limit in a drain. */
const drainShare = 0.75;
/** How much of a new measurement goes into the baseline: of one while drained, of one while the limit bounds nothing. */
const drainedSmoothing = 0.25;
const idleSmoothing = 0.18;
/** By so much answers may take longer than the baseline before the limit goes down. Less than 1 / drainShare. */
const tolerance = 1.15;
const gradientMin = 0.5;
const gradientMax = 1.2;
/** How much of the gradient's limit goes into the next. */
const limitSmoothing = 0.3;
/** The limit aims at so many, times its root, more than the gradient says: what finds out whether more would be well. */
const headroom = 0.5;
/** With more than this share unanswered in time, times say nothing any more. */
const droppedShareMax = 0.1;
const droppedFactor = 0.8;

/**
 * The limit after a window. Pure. A gradient limit as Netflix' Gradient2 and Envoy's gradient controller have it: the
 * next limit is `limit × baseline × tolerance / recent`, smoothed, plus room of the root of the limit. While answers
 * take as long as the baseline it grows, while they queue it shrinks.
 *
 * All hangs on the baseline. One that follows the recent times, however slowly, follows them into the overload, and the
 * limit with it (Uber's Cinnamon; correlation of limit and throughput, as failsafe-go has it against that, is too noisy
 * to keep 90 % of the goodput in simulations). So every tenth window or so, and only while the limit refuses somebody
 * anyway, it is lowered by a quarter, and the baseline is measured then: with a queue at the instances answers get
 * faster by up to a quarter, which the gradient sees; without one they do not, and the limit is right. It is the drain of
 * BBR's ProbeRTT, but a mild one: as far as there is a queue the instances stay busy.
 */
export function nextLimit(state: LimitState, window: LimitWindow, bounds: LimitBounds): LimitState {
  const { limit, phase } = state;
  const { rttMs, full } = window;
  if (limit === 0) return { limit: within(bounds, bounds.initial), baselineMs: 0, phase: settling };
  const baselineMs = state.baselineMs === 0 ? rttMs : state.baselineMs;
  if (window.dropped > window.samples * droppedShareMax) {
    return { limit: within(bounds, limit * droppedFactor), baselineMs, phase: settling };
  }
  if (phase === drainSettling) return { limit, baselineMs, phase: drainMeasuring };
  if (phase === drainMeasuring) {
    return { limit, baselineMs: smooth(baselineMs, rttMs, drainedSmoothing), phase: settling };
  }
  if (!full) return unbound(state, window, baselineMs, bounds);
  if (phase === settling) return { limit, baselineMs, phase: firstMeasuring };
  const next = phase === lastMeasuring ? drainSettling : phase + 1;
  return { limit: along(limit, baselineMs, rttMs, bounds), baselineMs, phase: next };
}

/** What may be under way in the window that follows: less than the limit in a drain. */
export function effectiveLimit({ limit, phase }: LimitState, bounds: LimitBounds): number {
  return Math.max(bounds.min, Math.floor(phase < 0 ? limit * drainShare : limit));
}

/** Nobody was refused: there is no queue that the limit could have let grow, and so this is the baseline. */
function unbound(state: LimitState, { rttMs, inFlight }: LimitWindow, before: number, bounds: LimitBounds): LimitState {
  const baselineMs = smooth(before, rttMs, idleSmoothing);
  const { limit } = state;
  // What was not used was not tried: a limit that grew on would be no limit when the load comes.
  const unused = inFlight < limit / 2;
  return { limit: unused ? limit : along(limit, baselineMs, rttMs, bounds), baselineMs, phase: firstMeasuring };
}

function along(limit: number, baselineMs: number, rttMs: number, bounds: LimitBounds): number {
  const gradient = Math.min(gradientMax, Math.max(gradientMin, (tolerance * baselineMs) / rttMs));
  return within(bounds, smooth(limit, limit * gradient + headroom * Math.sqrt(limit), limitSmoothing));
}

function smooth(before: number, now: number, share: number): number {
  return before + (now - before) * share;
}

function within({ min, max }: LimitBounds, limit: number): number {
  return Math.min(max, Math.max(min, limit));
}
