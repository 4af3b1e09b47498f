import type { RegistrationStatus } from "../registry/registration.ts";
import { describeChecks, type CheckState } from "./check-state.ts";

/** All of them, from the best to the worst. */
export const stateNames = [
  "up",
  "starting",
  "held",
  "probation",
  "half-open",
  "open",
  "ejected",
  "reported-down",
  "unhealthy",
  "draining",
  "down",
] as const;

/**
 * What an instance is in, one word at a time:
 *
 * - `up`: it takes its share of requests;
 * - `starting`: it is new, or back, and its share still grows (slow start);
 * - `held`: it vanished from the registry with most of its service, and is used all the same;
 * - `probation`: its ejection is over, and one request at a time tries it;
 * - `half-open`: its circuit breaker lets trials through;
 * - `open`: its circuit breaker lets nothing through;
 * - `ejected`: it failed where others did not, and is left out for a while;
 * - `reported-down`: its own health report says so;
 * - `unhealthy`: its health checks fail;
 * - `draining`, `down`: it announced that at the registry.
 */
export type StateName = (typeof stateNames)[number];

export type CircuitName = "closed" | "half-open" | "open";

/** All that is known of an instance. */
export interface InstanceFacts {
  /** What the registry says of it; absent: it is written down only. */
  readonly registered?: {
    readonly status: RegistrationStatus;
    /** It is named no more, and kept all the same. */
    readonly held?: { readonly untilMs?: number };
  };
  /** Absent: it is not checked. */
  readonly check?: CheckState;
  /** What its report says, in capitals. Absent: nothing that counts. */
  readonly reported?: string;
  /** `isOver`: it is tried with one request at a time. */
  readonly ejection?: { readonly isOver: boolean; readonly untilMs?: number; readonly reason?: string };
  readonly circuit?: CircuitFacts;
  /** Until when its share of requests grows; absent: it has it. */
  readonly startingUntilMs?: number;
}

/** A circuit breaker, as the control thread sees it. */
export interface CircuitFacts {
  readonly state: CircuitName;
  /** An operator decides, not the answers. */
  readonly forced?: "open" | "closed";
  /** Of an open one that is not forced: when trials begin. */
  readonly untilMs?: number;
  readonly reason?: string;
}

/** The one state that is shown of an instance, and why. */
export interface InstanceState {
  readonly state: StateName;
  /** One sentence without a final stop; absent where the state says it all. */
  readonly reason?: string;
  /** When it ends by itself, milliseconds of the clock. */
  readonly untilMs?: number;
}

/** The same as text, for people and programs. */
export interface StateText {
  readonly state: StateName;
  readonly reason?: string;
  /** ISO 8601. */
  readonly since?: string;
  /** When it ends by itself. */
  readonly until?: string;
}

/** Whether an instance in this state takes requests when others do, too. */
export function takesRequests(state: StateName): boolean {
  return stateNames.indexOf(state) <= stateNames.indexOf("half-open");
}

/**
 * The one reason of many: what somebody said on purpose goes before what was found out, what keeps an instance out before
 * what only lessens its share. The order is that in which they would have to be put right.
 */
export function stateOf(facts: InstanceFacts): InstanceState {
  const { registered, check, reported, ejection, circuit, startingUntilMs } = facts;
  if (registered?.status === "DRAINING") return { state: "draining", reason: "it announced that it ends" };
  if (registered?.status === "DOWN") return { state: "down", reason: "it announced that it is down" };
  if (circuit?.forced === "open") return circuitState("open", circuit);
  if (check?.healthy === false) return { state: "unhealthy", reason: describeChecks(check) };
  if (reported !== undefined && reported !== "UP") {
    return { state: "reported-down", reason: `its health report says ${reported}` };
  }
  if (ejection?.isOver === false) {
    const { untilMs, reason = "it failed where others did not" } = ejection;
    return { state: "ejected", reason, ...(untilMs === undefined ? {} : { untilMs }) };
  }
  if (circuit !== undefined && circuit.state !== "closed") return circuitState(circuit.state, circuit);
  if (ejection !== undefined) return { state: "probation", reason: "one request at a time tries it" };
  if (registered?.held !== undefined) {
    return { state: "held", reason: "it vanished from the registry with most of its service", ...registered.held };
  }
  if (startingUntilMs !== undefined) return { state: "starting", reason: "its share grows", untilMs: startingUntilMs };
  return { state: "up" };
}

function circuitState(state: "open" | "half-open", { untilMs, reason }: CircuitFacts): InstanceState {
  const why = reason ?? (state === "open" ? "its circuit breaker is open" : "its circuit breaker lets trials through");
  return { state, reason: why, ...(untilMs === undefined ? {} : { untilMs }) };
}
