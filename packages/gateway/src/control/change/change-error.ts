import type { ReportedProblem } from "../report.ts";

/**
 * Why nothing, or not all, was changed.
 *
 * - `bad-request`: what was asked for makes no sense (a deadline out of range, a revision that does not exist)
 * - `invalid`: the configuration would have problems; `problems` holds them
 * - `precondition-failed`: If-Match or If-None-Match does not hold; `modRevision` is that of what is there, 0 for nothing
 * - `conflict`: others kept changing the same resources; or several changes wait and none was named
 * - `not-found`: there is no such resource
 * - `not-waiting`: no such change waits for confirmation
 * - `too-late`: the change was taken back already, or is about to be
 * - `history-gone`: neither the store nor the recorded changes reach back that far
 * - `interrupted`: some transactions of several were made; repeating the command completes it
 * - `unanswered`: the store did not answer; whether the change was made, history will tell
 */
export type ChangeErrorCode =
  | "bad-request"
  | "invalid"
  | "precondition-failed"
  | "conflict"
  | "not-found"
  | "not-waiting"
  | "too-late"
  | "history-gone"
  | "interrupted"
  | "unanswered";

export interface ChangeErrorFacts extends ErrorOptions {
  readonly problems?: readonly ReportedProblem[];
  readonly modRevision?: number;
}

/** A change that was refused or failed. The message is for people: what is wrong and what to do. */
export class ChangeError extends Error {
  readonly code: ChangeErrorCode;
  readonly problems: readonly ReportedProblem[];
  readonly modRevision: number | undefined;

  constructor(code: ChangeErrorCode, message: string, facts: ChangeErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "ChangeError";
    this.code = code;
    this.problems = facts.problems ?? [];
    this.modRevision = facts.modRevision;
  }
}
