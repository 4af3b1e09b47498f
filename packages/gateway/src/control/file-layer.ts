import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import type { Converger } from "./converge.ts";
import type { DocumentReader } from "./read-document.ts";
import { FileReplicator, type ReadDocument } from "./replicate-file.ts";
import type { Report } from "./report.ts";
import { watchFiles, type FileWatcher } from "./store/file/watch.ts";

export interface FileLayerOptions {
  readonly reader: DocumentReader;
  /** What was read first; it is valid. */
  readonly first: ReadDocument & { readonly value: NonNullable<ReadDocument["value"]> };
  /** When it was read, monotonic milliseconds. */
  readonly seenMs: number;
  readonly converger: Converger;
  /** The revision of what a document makes live next. */
  readonly revision: () => number;
  readonly report: Report;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

/** What a document says of the configuration: watched, read again when it changes, live as a whole or not at all. */
export class FileLayer {
  readonly #options: FileLayerOptions;
  readonly #replicator: FileReplicator;
  readonly #watcher: FileWatcher;
  readonly #watched = new Set<string>();
  #started = false;

  constructor(options: FileLayerOptions) {
    const { reader, first, converger, report, clock, timers, log, revision } = options;
    this.#options = options;
    this.#watcher = watchFiles([], { timers, onChange: () => this.reload() });
    this.#replicator = new FileReplicator({
      settings: first.value.gateway,
      read: () => reader.read(),
      publish: (resources, seenMs) => converger.file(resources, seenMs, revision()),
      report,
      clock,
      log,
      watch: (paths) => this.#watch(paths),
    });
  }

  /** Makes live what was read first. */
  async start(): Promise<void> {
    const { first, seenMs } = this.#options;
    // Watched before it goes live: what changes while workers start is seen.
    await this.#watch(first.paths);
    await this.#replicator.apply(first, seenMs);
    this.#started = true;
  }

  /** Reads the document again, whether it seems changed or not. */
  reload(): void {
    if (this.#started) void this.#replicator.reload();
  }

  close(): void {
    this.#started = false;
    this.#watcher.close();
  }

  async #watch(paths: readonly string[]): Promise<boolean> {
    const fresh = paths.some((path) => !this.#watched.has(path));
    for (const path of paths) this.#watched.add(path);
    this.#watcher.setPaths([...new Set(paths)]);
    await this.#watcher.ready();
    return fresh;
  }
}
