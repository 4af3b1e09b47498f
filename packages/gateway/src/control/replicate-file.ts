import type { GatewaySettings, Resources } from "@headgate/schema";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { sameValue } from "./compile.ts";
import type { FileResult } from "./converge.ts";
import type { Report, ReportedProblem } from "./report.ts";

/** A document that was read, validated and resolved. */
export interface ReadDocument {
  /** Absent when a problem is an error. */
  readonly value?: { readonly gateway: GatewaySettings; readonly resources: Resources };
  readonly problems: readonly ReportedProblem[];
  /** Files whose change may change the document: itself, secrets, plugins and what they import. */
  readonly paths: readonly string[];
}

export interface FileReplicatorOptions {
  /** The settings this process was started with. */
  readonly settings: GatewaySettings;
  /** Reads the document as it is now. Must not throw. */
  readonly read: () => Promise<ReadDocument>;
  /** Makes it live as a whole, or not at all. */
  readonly publish: (resources: Resources, seenMs: number) => Promise<FileResult>;
  readonly report: Report;
  readonly clock: Clock;
  readonly log: Log;
  /** Files to watch from now on. Resolves when later changes of them will be told: whether one of them is new. */
  readonly watch: (paths: readonly string[]) => Promise<boolean>;
}

/** Keeps what is live the same as the file: whole or not at all. */
export class FileReplicator {
  readonly #options: FileReplicatorOptions;
  #running: Promise<void> | undefined;
  #again = false;
  #told = "";

  constructor(options: FileReplicatorOptions) {
    this.#options = options;
  }

  /** Reads the file and makes it live. Calls while one is under way lead to one more. */
  reload(): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#loop().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #loop(): Promise<void> {
    do {
      this.#again = false;
      const seenMs = this.#options.clock.now();
      const document = await this.#options.read();
      await this.apply(document, seenMs);
      // A file that was not watched while it was read may have changed in between.
      if (await this.#options.watch(document.paths)) this.#again = true;
    } while (this.#again);
  }

  /** Publishes a document that was read; also the first one. `seenMs`: when its change was seen. */
  async apply(document: ReadDocument, seenMs: number): Promise<void> {
    const { publish, settings } = this.#options;
    if (document.value === undefined) {
      this.#judge(document.problems);
      return;
    }
    const problems = [...document.problems, ...restartsNeeded(settings, document.value.gateway)];
    const result = await publish(document.value.resources, seenMs);
    if (typeof result === "string") this.#judge(problems);
    else this.#judge([...problems, { severity: "error", path: "", message: result.refused }]);
  }

  #judge(problems: readonly ReportedProblem[]): void {
    const { report, log } = this.#options;
    report.judge("file", problems);
    const told = JSON.stringify(problems);
    if (told === this.#told) return;
    this.#told = told;
    const errors = problems.filter((problem) => problem.severity === "error").length;
    if (errors > 0 && report.revision > 0) {
      log.error({ problems: errors, revision: report.revision }, `revision ${report.revision} stays live`);
    }
  }
}

function restartsNeeded(running: GatewaySettings, written: GatewaySettings): ReportedProblem[] {
  const before = new Map<string, unknown>(Object.entries(running));
  return Object.entries(written)
    .filter(([key, value]) => !sameValue(before.get(key), value))
    .map(([key]) => ({
      severity: "warning",
      path: `gateway.${key}`,
      message: `restart needed: gateway.${key} changed`,
    }));
}
