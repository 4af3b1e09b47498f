import type { Clock } from "../core/clock.ts";
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
}

/** What runs, and what does not and why: for `/v1/status`, the metrics and `/readyz`. */
export class Report {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly startedWallMs: number;
  readonly #startedMs: number;
  #phase: "starting" | "serving" | "draining" = "starting";
  #revision = 0;
  #liveSinceMs = 0;
  #liveSinceWallMs = 0;
  #problems: readonly ReportedProblem[] = [];
  #rejected = new Map<string, { kind: string; name: string }>();

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock;
    this.#metrics = metrics;
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

  /** Seconds since the live configuration took effect. */
  get ageSeconds(): number {
    return this.#revision === 0 ? 0 : (this.#clock.now() - this.#liveSinceMs) / 1_000;
  }

  /** Of the newest configuration that was read, live or not; warnings too. */
  get problems(): readonly ReportedProblem[] {
    return this.#problems;
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
    this.#metrics.gauge("config_source", { source: "live" }).set(1);
    // The first one waits for the workers to start, which says nothing about applying changes.
    if (!first) this.#metrics.histogram("config_apply_seconds").observe((this.#liveSinceMs - seenMs) / 1_000);
  }

  /** Replaces the list of problems; an empty list says that all is well. */
  judge(problems: readonly ReportedProblem[]): void {
    this.#problems = problems;
    const counts = new Map<string, { kind: string; name: string; count: number }>();
    for (const problem of problems) {
      if (problem.severity !== "error") continue;
      const { kind, name } = resourceOf(problem.path);
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

const kinds = new Set(["routes", "services", "middlewares", "consumers", "certificates", "plugins"]);

/** Which resource a path leads into; what is in none concerns the `document`. */
function resourceOf(path: string): { kind: string; name: string } {
  const [kind = "", name = ""] = path.split(".");
  if (kinds.has(kind)) return { kind, name };
  return { kind: kind === "gateway" || kind === "global" ? kind : "document", name: "" };
}
