import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import { DamagedFileError, OwnedByAnotherError, RecordFile, type SavedState } from "./last-good/record-file.ts";
import type { RecordText } from "./last-good-record.ts";
import { setAside } from "./last-good/set-aside.ts";

export interface LastGoodOptions {
  /** `<dataDir>/last-good.db`; made, with its directory, where it is not there. */
  readonly file: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** What it is of, for the log. Default: "configuration". */
  readonly what?: string;
  /** The file was damaged or deleted while in use: nothing is saved until `replaceAll`. */
  readonly onDamaged?: () => void;
}

/** A step from the state saved before to the next one. */
export interface LastGoodChange {
  readonly revision: number;
  readonly clusterId: string;
  readonly set: Iterable<readonly [id: string, json: RecordText]>;
  readonly delete: Iterable<string>;
}

export interface LastGoodState {
  readonly revision: number;
  readonly clusterId: string;
  readonly records: Iterable<readonly [id: string, json: RecordText]>;
}

/**
 * The last good state on disk, so that a gateway starts with it where the store does not answer. What is loaded is
 * always a state that was saved as a whole. Disk trouble is told once and never keeps the gateway from serving.
 */
export interface LastGood {
  /** What the file held when it was opened; undefined: nothing, or nothing whole. Given out once, to free the memory. */
  load(): SavedState | undefined;
  /**
   * Writes at once, or within 100 ms of the last write, together with what else is saved until then; more than 1,000
   * records a second later.
   */
  save(change: LastGoodChange): void;
  /** The same for a whole state; what it does not name is forgotten. */
  replaceAll(state: LastGoodState): void;
  /** Writes now all that waits. Does not throw: what cannot be written is tried again. */
  flush(): void;
  /** Writes what waits and closes the file. */
  close(): void;
}

interface Pending {
  revision: number;
  clusterId: string;
  all: boolean;
  /** Merged by id: however long the disk is full, it holds no more than the configuration. */
  readonly changes: Map<string, RecordText | undefined>;
}

interface Writing {
  readonly pending: Pending;
  readonly steps: Generator<void, void, void>;
}

const coalesceMs = 100;
const manyRecords = 1_000;
const manyWaitMs = 1_000;
/** After a write that failed; doubled up to the limit. */
const retryFirstMs = 1_000;
const retryMaxMs = 30_000;

/** Opens the file and reads it. Does not throw: without a usable file the gateway starts without, and says so. */
export function openLastGood(options: LastGoodOptions): LastGood {
  return new FileLastGood(options);
}

class FileLastGood implements LastGood {
  readonly #options: LastGoodOptions;
  // A random name rather than the process id: two containers may have the same one.
  readonly #token = randomBytes(8).toString("hex");
  #file: RecordFile | undefined;
  #loaded: SavedState | undefined;
  #pending: Pending | undefined;
  /** What is being written, step by step; `#pending` is what came since. */
  #writing: Writing | undefined;
  #cancelTimer: (() => void) | undefined;
  /** What is in the file is not what the caller starts from: the first write must be a whole state. */
  #foreign = false;
  /** Only a whole state helps. */
  #waitsForAll = false;
  #writtenMs = -Infinity;
  #failures = 0;
  #closed = false;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    const { file, log, what = "configuration" } = options;
    try {
      this.#loaded = this.#open();
    } catch (error) {
      this.#foreign = true;
      log.warn({ file, err: error }, `The last good ${what} cannot be read from ${file}; starting without it.`);
    }
  }

  load(): SavedState | undefined {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    return loaded;
  }

  save({ revision, clusterId, set, delete: deleted }: LastGoodChange): void {
    if (this.#closed || this.#waitsForAll) return;
    const pending = (this.#pending ??= { revision, clusterId, all: this.#foreign, changes: new Map() });
    pending.revision = revision;
    pending.clusterId = clusterId;
    for (const id of deleted) pending.changes.set(id, undefined);
    for (const [id, json] of set) pending.changes.set(id, json);
    // At once where nothing was written lately: what is killed a moment later starts with it. Much of it can wait until
    // it is served: 100,000 resources keep this thread busy for most of a second, in parts.
    const waitMs = Math.max(0, this.#writtenMs + coalesceMs - this.#options.clock.now());
    this.#arm(pending.changes.size > manyRecords ? manyWaitMs : waitMs);
  }

  replaceAll({ revision, clusterId, records }: LastGoodState): void {
    if (this.#closed) return;
    this.#waitsForAll = false;
    this.#pending = { revision, clusterId, all: true, changes: new Map(records) };
    this.#arm(coalesceMs);
  }

  flush(): void {
    // What is under way, then what came since; what fails waits for its next try.
    while ((this.#writing ?? this.#pending) !== undefined) if (!this.#step()) return;
  }

  close(): void {
    this.flush();
    this.#disarm();
    this.#closed = true;
    this.#shut();
  }

  /**
   * Writes a part of what waits: 100,000 records at once would hold up this thread for most of a second. False where it
   * could not.
   */
  #step(): boolean {
    const { clock, log, file: path, what = "configuration" } = this.#options;
    if (this.#closed) return false;
    this.#disarm();
    try {
      if (this.#file === undefined) this.#open();
      this.#writing ??= this.#begin();
      if (this.#writing?.steps.next().done === false) {
        this.#arm(0);
        return true;
      }
    } catch (error) {
      this.#takeBack();
      this.#failed(error);
      return false;
    }
    this.#writing = undefined;
    this.#writtenMs = clock.now();
    if (this.#failures > 0) log.info({ file: path }, `The ${what} is saved to ${path} again.`);
    this.#failures = 0;
    if (this.#pending !== undefined) this.#arm(coalesceMs);
    return true;
  }

  #begin(): Writing | undefined {
    const pending = this.#pending;
    if (pending === undefined || this.#file === undefined) return undefined;
    this.#pending = undefined;
    // What comes from now on is a difference to this; should it fail, `pending` still says that it is a whole state.
    this.#foreign = false;
    return { pending, steps: this.#file.write({ ...pending, wallMs: this.#options.clock.wall() }) };
  }

  /** What could not be written waits again, under what came since. */
  #takeBack(): void {
    const { pending } = this.#writing ?? {};
    const newer = this.#pending;
    this.#writing = undefined;
    if (pending === undefined || newer?.all === true) return;
    for (const [id, json] of newer?.changes ?? []) pending.changes.set(id, json);
    this.#pending = newer === undefined ? pending : { ...newer, all: pending.all, changes: pending.changes };
  }

  /** Opens the file and returns what it holds; a damaged one is set aside and a new one made. */
  #open(): SavedState | undefined {
    const { file: path, log } = this.#options;
    for (let attempts = 1; ; attempts++) {
      let file: RecordFile | undefined;
      try {
        file = new RecordFile(path, this.#token);
        const state = file.read();
        this.#file = file;
        return state;
      } catch (error) {
        file?.close();
        if (!(error instanceof DamagedFileError) || attempts > 1) throw error;
        const aside = setAside(path);
        log.warn({ file: path, aside, err: error }, `${path} is damaged; it was renamed to ${aside}.`);
      } finally {
        this.#claim();
      }
    }
  }

  /** From now on an older process with the same file writes no more; where that fails, the first write does it. */
  #claim(): void {
    try {
      this.#file?.claim();
    } catch (error) {
      this.#options.log.debug({ err: error }, "The file of the last good state cannot be written to yet.");
    }
  }

  #failed(error: unknown): void {
    const { log, file: path, what = "configuration" } = this.#options;
    if (error instanceof OwnedByAnotherError) {
      log.warn({ file: path }, `${path} is written by a newer process now; this one saves no more.`);
      this.#closed = true;
      this.#pending = undefined;
      this.#shut();
      return;
    }
    if (error instanceof DamagedFileError) {
      this.#recover(error);
      return;
    }
    if (this.#failures === 0) {
      log.warn(
        { file: path, err: error },
        `The ${what} cannot be saved to ${path}; serving goes on, and saving is tried again.`,
      );
    }
    this.#arm(Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(this.#failures, 5)));
    this.#failures++;
  }

  #recover(error: DamagedFileError): void {
    const { log, file: path, onDamaged } = this.#options;
    log.warn({ file: path, err: error }, `${path} was damaged while in use; it is written anew.`);
    this.#shut();
    if (this.#pending?.all === true) {
      this.#failures++;
      this.#foreign = true;
      this.#arm(retryFirstMs);
      return;
    }
    this.#pending = undefined;
    this.#waitsForAll = true;
    onDamaged?.();
  }

  #shut(): void {
    try {
      this.#writing?.steps.return();
      this.#writing = undefined;
      this.#file?.close();
    } catch {
      // Nothing of it is needed any more.
    }
    this.#file = undefined;
  }

  #arm(delayMs: number): void {
    this.#cancelTimer ??= this.#options.timers.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.#step();
    });
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
