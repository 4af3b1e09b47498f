import { createHash } from "node:crypto";
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { systemTimers } from "../../../core/timers.ts";
import type { Timers } from "../../../core/timers.ts";

/** The part of the file system that the watcher uses; tests bring their own. */
export interface WatchedFiles {
  /** Contents, or undefined where there is no readable file. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Changes when the file may have: identity, size and times behind all links. Undefined where there is none. */
  signature(path: string): Promise<string | undefined>;
  /** The file behind all links; the path itself where there is none. */
  target(path: string): Promise<string>;
  /** Calls back with the name of what changed in a directory, if known; undefined where that cannot be watched. */
  watchDirectory(path: string, onEvent: (name: string | null) => void): (() => void) | undefined;
}

export interface WatchOptions {
  /** Contents differ from those told last, or found first. Must not throw; not called after `close`. */
  readonly onChange: (changed: readonly string[]) => void;
  /** Default: the system's. */
  readonly timers?: Timers;
  /** Default: the file system. */
  readonly files?: WatchedFiles;
}

export interface FileWatcher {
  /**
   * Replaces what is watched (absolute paths). New paths count as known once they have been read here: watch before you
   * load, or a change between the two is not told.
   */
  setPaths(paths: readonly string[]): void;
  /** Resolves when the paths given last have been read and later changes will be told. */
  readonly ready: () => Promise<void>;
  close(): void;
}

/** Writers that truncate first, rename or write in pieces cause several events; the last one counts. */
const debounceMs = 50;
/** How often events of one file may put a look off; something that never stops writing is read all the same. */
const putOffMax = 200;
/** Network and overlay file systems send no events; a look at each file costs microseconds. */
const pollMs = 1000;
/** An empty or missing file is most often one that is about to be written: believed only if it stays so. */
const vanishedMs = 500;

/**
 * Tells when the contents of files change, however they were changed: in place, in pieces, by rename, by swapping a
 * link on the way (Kubernetes swaps `..data`), by deleting and creating again. Directories are watched, not files: a
 * watched file is lost when another one takes its name. Events and a poll only give the occasion; a hash of the
 * contents decides. A missing file is a change as well.
 */
export function watchFiles(paths: readonly string[], options: WatchOptions): FileWatcher {
  const watcher = new Watcher(options);
  watcher.setPaths(paths);
  return watcher;
}

class Watcher implements FileWatcher {
  readonly #onChange: WatchOptions["onChange"];
  readonly #timers: Timers;
  readonly #files: WatchedFiles;
  readonly #stopPolling: () => void;
  /** Hash by path; undefined while the file has not been read yet. */
  #known = new Map<string, string | undefined>();
  #signatures = new Map<string, string | undefined>();
  readonly #directories = new Map<string, () => void>();
  /** Files that look empty or missing: `due` where they have done so for `vanishedMs`, before that how to stop waiting. */
  readonly #doubted = new Map<string, "due" | (() => void)>();
  #cancelLook: (() => void) | undefined;
  #cancelPoll: (() => void) | undefined;
  #putOff = 0;
  #closed = false;
  #work: Promise<void> = Promise.resolve();

  constructor({ onChange, timers = systemTimers, files = fileSystem }: WatchOptions) {
    this.#onChange = onChange;
    this.#timers = timers;
    this.#files = files;
    this.#stopPolling = timers.every(pollMs, () => this.#enqueue(() => this.#poll()));
  }

  setPaths(paths: readonly string[]): void {
    this.#known = new Map(paths.map((path) => [path, this.#known.get(path)]));
    for (const path of [...this.#doubted.keys()]) if (!this.#known.has(path)) this.#trust(path);
    this.#enqueue(async () => {
      await this.#watchDirectories();
      await this.#learn();
    });
  }

  ready = async (): Promise<void> => {
    await this.#work;
  };

  close(): void {
    this.#closed = true;
    this.#cancelLook?.();
    this.#cancelPoll?.();
    for (const path of [...this.#doubted.keys()]) this.#trust(path);
    this.#stopPolling();
    for (const stop of this.#directories.values()) stop();
    this.#directories.clear();
  }

  /** One step after the other: a look that overtakes another would report an older content as the newer one. */
  #enqueue(step: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (!this.#closed) await step();
    });
  }

  #onEvent(name: string | null): void {
    if (this.#closed) return;
    if (name === null || [...this.#known.keys()].some((path) => basename(path) === name)) {
      this.#lookSoon();
      return;
    }
    // Another file: a log in the same directory, or a link on the way to a watched one. A stat tells them apart, at
    // most one round of them each time, and files that are large are not read for every line of a log.
    this.#cancelPoll ??= this.#timers.after(debounceMs, () => {
      this.#cancelPoll = undefined;
      this.#enqueue(() => this.#poll());
    });
  }

  #lookSoon(): void {
    if (this.#closed || (this.#cancelLook !== undefined && this.#putOff >= putOffMax)) return;
    this.#putOff = this.#cancelLook === undefined ? 0 : this.#putOff + 1;
    this.#cancelLook?.();
    this.#cancelLook = this.#timers.after(debounceMs, () => {
      this.#cancelLook = undefined;
      this.#enqueue(() => this.#look());
    });
  }

  /** Answers whether an empty or missing file has been so for long enough. */
  #doubt(path: string): boolean {
    const since = this.#doubted.get(path);
    if (since === "due") return true;
    if (since !== undefined) return false;
    const cancel = this.#timers.after(vanishedMs, () => {
      this.#doubted.set(path, "due");
      this.#enqueue(() => this.#look());
    });
    this.#doubted.set(path, cancel);
    return false;
  }

  #trust(path: string): void {
    const waiting = this.#doubted.get(path);
    if (typeof waiting === "function") waiting();
    this.#doubted.delete(path);
  }

  async #learn(): Promise<void> {
    for (const [path, hash] of this.#known) {
      if (hash !== undefined) continue;
      this.#signatures.set(path, await this.#files.signature(path));
      const found = hashOf(await this.#files.read(path));
      if (this.#known.has(path)) this.#known.set(path, found);
    }
  }

  async #poll(): Promise<void> {
    let moved = false;
    const signatures = new Map<string, string | undefined>();
    for (const path of this.#known.keys()) {
      const signature = await this.#files.signature(path);
      signatures.set(path, signature);
      if (signature !== this.#signatures.get(path)) moved = true;
    }
    this.#signatures = signatures;
    await this.#watchDirectories();
    // Already about to look: a poll must not put that off.
    if (moved && this.#cancelLook === undefined) this.#lookSoon();
  }

  async #look(): Promise<void> {
    const changed: string[] = [];
    for (const [path, before] of [...this.#known]) {
      const content = await this.#files.read(path);
      const hash = hashOf(content);
      if (!this.#known.has(path) || this.#closed) continue;
      const same = hash === before || before === undefined;
      if (!same && (content === undefined || content.length === 0) && !this.#doubt(path)) continue;
      this.#trust(path);
      if (same) continue;
      this.#known.set(path, hash);
      changed.push(path);
    }
    // A link on the way may lead to another directory now.
    await this.#watchDirectories();
    if (changed.length > 0 && !this.#closed) this.#onChange(changed);
  }

  async #watchDirectories(): Promise<void> {
    const wanted = new Set<string>();
    for (const path of this.#known.keys()) {
      wanted.add(dirname(path));
      wanted.add(dirname(await this.#files.target(path)));
    }
    if (this.#closed) return;
    for (const [directory, stop] of this.#directories) {
      if (wanted.delete(directory)) continue;
      stop();
      this.#directories.delete(directory);
    }
    for (const directory of wanted) {
      const stop = this.#files.watchDirectory(directory, (name) => this.#onEvent(name));
      // Not there yet, or no watches left: the poll sees to it, and tries again.
      if (stop !== undefined) this.#directories.set(directory, stop);
    }
  }
}

function hashOf(content: Uint8Array | undefined): string {
  return content === undefined ? "missing" : createHash("sha256").update(content).digest("base64");
}

const fileSystem: WatchedFiles = {
  read: (path) => readFile(path).catch(() => undefined),
  signature: (path) =>
    stat(path, { bigint: true }).then(
      ({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(" "),
      () => undefined,
    ),
  target: (path) => realpath(path).catch(() => path),
  watchDirectory(path, onEvent) {
    let watcher: FSWatcher;
    try {
      watcher = watch(path, { persistent: false }, (_, name) => onEvent(name));
    } catch {
      return undefined;
    }
    // A directory that is removed ends its watch; the poll finds out what became of the files.
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  },
};
