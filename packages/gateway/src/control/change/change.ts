import type { Kind } from "../layout.ts";
import type { ReportedProblem } from "../report.ts";
import type { Waited } from "./wait.ts";

/** One resource as it is wanted. */
export interface ResourceWrite {
  readonly kind: Kind;
  readonly name: string;
  /** JSON; `undefined` deletes. */
  readonly value: unknown;
}

/** An alternative of a route that no request can reach any more. */
export interface UnreachableAlternative {
  readonly route: string;
  readonly alternative: number;
  /** The route that takes all of its requests. */
  readonly by: string;
}

/** What would be wrong if some writes were made. Errors refuse them; the rest is told. */
export interface Judgement {
  readonly problems: readonly ReportedProblem[];
  readonly unreachable: readonly UnreachableAlternative[];
  /** What recent traffic would notice; as the one who judges words it. */
  readonly traffic?: unknown;
}

/** Given by who knows the live configuration. `traffic`: asked for by dry runs. */
export type Judge = (writes: readonly ResourceWrite[], options: { readonly traffic: boolean }) => Promise<Judgement>;

export type ChangeAction = "apply" | "put" | "delete" | "rollback" | "unconfirmed";

export type WriteAction = "create" | "update" | "delete";

/** One resource of a change. `before` is absent for what was created, `after` for what was deleted. */
export interface RecordedWrite {
  readonly kind: Kind;
  readonly name: string;
  readonly action: WriteAction;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** An applied change, as history tells it. */
export interface Change {
  readonly id: string;
  /** That of its last transaction. */
  readonly revision: number;
  /** ISO 8601, by the clock of the gateway that made it. */
  readonly time: string;
  readonly author: string;
  readonly message: string;
  readonly action: ChangeAction;
  readonly writes: readonly RecordedWrite[];
  /** Values (and of a very large change some names) were left out because the record would have been too large. */
  readonly truncated?: true;
  /** Not all of its transactions were made (yet). */
  readonly partial?: true;
  /** Of an `unconfirmed` one: the change that was taken back. */
  readonly of?: string;
}

/** One field that differs. `path` is empty for the whole resource. Absent values were or are not there. */
export interface FieldDifference {
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface ResourceDifference {
  readonly kind: Kind;
  readonly name: string;
  readonly action: WriteAction;
  readonly changes: readonly FieldDifference[];
}

export interface ChangeOptions {
  /** Who asks; recorded. */
  readonly author: string;
  /** Why; recorded. Default: empty. */
  readonly message?: string;
  /** Says what would change and changes nothing. */
  readonly dryRun?: boolean;
  /** Waits so long for every live gateway to run it. Absent: does not wait. */
  readonly waitMs?: number;
  /** Takes itself back after this time unless confirmed. Absent: stays. */
  readonly confirmMs?: number;
}

export interface ApplyOptions extends ChangeOptions {
  /** Deletes what no document holds. */
  readonly prune?: boolean;
}

/** What must hold of the one resource that is written. Revisions are those of its last change. */
export interface Preconditions {
  /** One of these, or `*`: it must exist. */
  readonly ifMatch?: "*" | readonly number[];
  /** None of these, or `*`: it must not exist. */
  readonly ifNoneMatch?: "*" | readonly number[];
}

export interface ApplyResult {
  readonly dryRun: boolean;
  /** Of the (last) transaction; where nothing was written, the store's newest. */
  readonly revision: number;
  /** Null where nothing differs, and for a dry run. */
  readonly change: string | null;
  readonly transactions: number;
  /** Without secrets. */
  readonly diff: readonly ResourceDifference[];
  readonly warnings: readonly ReportedProblem[];
  readonly unreachable: readonly UnreachableAlternative[];
  readonly traffic?: unknown;
  /** Confirm `change` before that time (ISO 8601), or it takes itself back. */
  readonly confirm?: { readonly change: string; readonly before: string };
  readonly waited?: Waited;
}

/** The answer to a write of one resource. */
export interface ResourceResult extends ApplyResult {
  readonly created: boolean;
  /** The revision of the resource's last change, for the next If-Match; 0 where it is gone or was not created. */
  readonly modRevision: number;
}
