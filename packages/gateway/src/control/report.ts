import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** Why something of the newest configuration is not used. */
export interface ReportedProblem {
  readonly severity: "error" | "warning";
  /** `routes.users.match.path`; empty for what concerns the whole. */
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** Of the store, and the revision that wrote what is wrong. */
  readonly key?: string;
  readonly revision?: number;
}

/** Who judged: each replaces its own list of problems. */
export type ProblemSource = "file" | "store" | "discovery";

/** New problems that are logged one by one; of more only the number is. All are in the status. */
const loggedMax = 20;

/** What runs, and what does not and why: for `/v1/status`, the metrics and `/readyz`. */
export class Report {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly startedWallMs: number;
  readonly #startedMs: number;
  #phase: "starting" | "serving" | "draining" = "starting";
  #revision = 0;
  #liveSinceMs = 0;
  #liveSinceWallMs = 0;
  #savedWallMs: number | undefined;
  readonly #problems = new Map<ProblemSource, readonly ReportedProblem[]>();
  readonly #told = new Map<ProblemSource, ReadonlySet<string>>();
  #rejected = new Map<string, { kind: string; name: string }>();

  constructor(clock: Clock, metrics: Metrics, log: Log) {
    this.#clock = clock;
    this.#metrics = metrics;
    this.#log = log;
    this.startedWallMs = clock.wall();
    this.#startedMs = clock.now();
    // There from the start, with nothing counted: a rate over a series that appears with its first value misses it.
    metrics.histogram("config_apply_seconds");
  }

  get phase(): "starting" | "serving" | "draining" {
    return this.#phase;
  }

  /** The revision that is live on all workers; 0 before the first. */
  get revision(): number {
    return this.#revision;
  }

  get liveSinceWallMs(): number {
    return this.#liveSinceWallMs;
  }

  get uptimeSeconds(): number {
    return (this.#clock.now() - this.#startedMs) / 1_000;
  }

  /** `cache`: what was known when the last process ended, until the store answers. */
  get source(): "live" | "cache" {
    return this.#savedWallMs === undefined ? "live" : "cache";
  }

  /** Seconds since the live configuration took effect; of one from the disk, since it was saved there. */
  get ageSeconds(): number {
    if (this.#savedWallMs !== undefined) return Math.max(0, this.#clock.wall() - this.#savedWallMs) / 1_000;
    return this.#revision === 0 ? 0 : (this.#clock.now() - this.#liveSinceMs) / 1_000;
  }

  /** Of the newest configuration that was read, live or not; warnings too. */
  get problems(): readonly ReportedProblem[] {
    return [...this.#problems.values()].flat();
  }

  serving(): void {
    this.#phase = "serving";
  }

  draining(): void {
    this.#phase = "draining";
  }

  /** `seenMs`: when the change was seen, on the monotonic clock. */
  live(revision: number, seenMs: number): void {
    const first = this.#revision === 0;
    this.#revision = revision;
    this.#liveSinceMs = this.#clock.now();
    this.#liveSinceWallMs = this.#clock.wall();
    this.#metrics.gauge("config_revision").set(revision);
    this.#showSource();
    // The first one waits for the workers to start, which says nothing about applying changes.
    if (!first) this.#metrics.histogram("config_apply_seconds").observe((this.#liveSinceMs - seenMs) / 1_000);
  }

  /** A revision in which nothing that runs changed. */
  advance(revision: number): void {
    this.#revision = revision;
    this.#metrics.gauge("config_revision").set(revision);
  }

  /** What runs was saved at this time by an earlier process; `undefined`: it is the store's. */
  savedAt(wallMs: number | undefined): void {
    this.#savedWallMs = wallMs;
    this.#showSource();
  }

  #showSource(): void {
    for (const source of ["live", "cache"]) {
      this.#metrics.gauge("config_source", { source }).set(source === this.source ? 1 : 0);
    }
  }

  /**
   * Replaces the problems of one source, and logs those that are new; an empty list says that all is well. Answers
   * whether the list is another one than before.
   */
  judge(source: ProblemSource, problems: readonly ReportedProblem[]): boolean {
    this.#problems.set(source, problems);
    const differs = this.#tell(source, problems);
    if (differs) this.#count(this.problems);
    return differs;
  }

  /** Each problem is logged once, however often it is found. Whether the list is another one. */
  #tell(source: ProblemSource, problems: readonly ReportedProblem[]): boolean {
    const before = this.#told.get(source) ?? new Set();
    const texts = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    this.#told.set(source, new Set(texts.keys()));
    let fresh = 0;
    for (const [text, problem] of texts) {
      if (before.has(text) || ++fresh > loggedMax) continue;
      const { severity, ...fields } = problem;
      if (severity === "error") this.#log.error(fields, `rejected: ${describeProblem(problem)}`);
      else this.#log.warn(fields, describeProblem(problem));
    }
    if (fresh > loggedMax) this.#log.error({ problems: fresh - loggedMax }, "more problems: see headgate status");
    return fresh > 0 || texts.size !== before.size;
  }

  #count(problems: readonly ReportedProblem[]): void {
    const counts = new Map<string, { kind: string; name: string; count: number }>();
    for (const problem of problems) {
      if (problem.severity !== "error") continue;
      const { kind, name } = resourceOf(problem);
      const key = `${kind}\u0000${name}`;
      const entry = counts.get(key) ?? { kind, name, count: 0 };
      entry.count++;
      counts.set(key, entry);
    }
    for (const [key, labels] of this.#rejected) {
      if (!counts.has(key)) this.#metrics.gauge("config_rejected", labels).set(0);
    }
    for (const { kind, name, count } of counts.values())
      this.#metrics.gauge("config_rejected", { kind, name }).set(count);
    this.#rejected = new Map([...counts].map(([key, { kind, name }]) => [key, { kind, name }]));
  }
}

/** A name that is no plain word is written in brackets: see formatPath of the schema. */
const resourcePath =
  /^(routes|services|middlewares|consumers|certificates|plugins)(?:\.([^.[]+)|\[("(?:[^"\\]|\\.)*")\])/;

/** Which resource has a problem; what is in none concerns the `document`, or is an `unknown` key of the store. */
function resourceOf({ path, key }: ReportedProblem): { kind: string; name: string } {
  const [, kind, plain, quoted] = resourcePath.exec(path) ?? [];
  if (kind !== undefined) return { kind, name: quoted === undefined ? (plain ?? "") : (JSON.parse(quoted) as string) }; // a JSON text
  if (/^global\b/.test(path)) return { kind: "settings", name: "global" };
  const elsewhere = key === undefined ? "document" : "unknown";
  return { kind: /^gateway\b/.test(path) ? "gateway" : elsewhere, name: "" };
}

/** `file:line:column: path: message (hint)`, or with the key of the store in the place of the file. */
export function describeProblem({ file, line, column, key, path, message, hint }: ReportedProblem): string {
  const place = file === undefined ? key : [file, line, column].filter((part) => part !== undefined).join(":");
  return `${place === undefined ? "" : `${place}: `}${path === "" ? "" : `${path}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
}
