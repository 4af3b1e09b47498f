import type { Clock } from "../../../core/clock.ts";
import { isFileFailure } from "../../exclusive-file.ts";
import { QueueError, type QueueErrorCode, type QueueLimits } from "../queue.ts";
import { Leases } from "./leases.ts";
import { QueueFile, type QueueCalls } from "./queue-file.ts";

/** What the queue's thread is asked. `args`: those of the method of that name. */
export type QueueRequest =
  | { readonly call: number; readonly name: keyof QueueCalls; readonly args: readonly unknown[] }
  | { readonly call: number; readonly name: "close" };

/** What one call came to. */
export type QueueReply =
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly code: QueueErrorCode; readonly message: string };

/** What the queue's thread says: all that one commit came to at once. */
export type FromQueueThread =
  { readonly kind: "open" } | { readonly kind: "replies"; readonly replies: readonly QueueReply[] };

/** Calls that are one commit at most: those that come later wait for the next. */
const callsPerCommit = 2_000;

export interface ServeQueueOptions {
  readonly dataDir: string;
  readonly limits: QueueLimits;
  readonly clock: Pick<Clock, "wall">;
  readonly post: (message: FromQueueThread) => void;
  /** Runs when what has arrived by now has been heard. */
  readonly soon: (action: () => void) => void;
  /** The file is closed; nothing more comes. */
  readonly exit: () => void;
  /** Opens the file; for tests that let the disk fail. */
  readonly open?: (leases: Leases) => QueueFile;
}

/**
 * The queue's side of the line to the control thread. Calls that arrive while the disk is busy are one commit together:
 * the slower the disk, the more of them, so that throughput does not end where a disk's confirmations do.
 */
export class QueueServer {
  readonly #options: ServeQueueOptions;
  readonly #leases = new Leases();
  #file: QueueFile | undefined;
  #pending: QueueRequest[] = [];
  #due = false;

  /** Throws a FileError. */
  constructor(options: ServeQueueOptions) {
    this.#options = options;
    this.#file = this.#open();
    options.post({ kind: "open" });
  }

  receive(request: QueueRequest): void {
    this.#pending.push(request);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#due) return;
    this.#due = true;
    this.#options.soon(() => {
      this.#due = false;
      this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#pending.splice(0, callsPerCommit);
    const closing = batch.find(({ name }) => name === "close");
    this.#options.post({ kind: "replies", replies: this.#commit(batch) });
    if (closing !== undefined) {
      this.#file?.close();
      this.#options.exit();
    } else if (this.#pending.length > 0) this.#flushSoon();
    else if (batch.length > 0) this.#shrink();
  }

  #commit(batch: readonly QueueRequest[]): QueueReply[] {
    let file: QueueFile;
    try {
      file = this.#file ??= this.#open();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return batch.map(({ call }) => ({ call, code: "away", message }));
    }
    let replies: QueueReply[] = [];
    try {
      file.transaction(() => (replies = batch.map((request) => carryOut(file, request))));
      return replies;
    } catch (error) {
      // What makes room must get through where what takes room does not, and one bad call must not stop the others.
      if (batch.length > 1 && !isFileFailure(error)) return batch.flatMap((request) => this.#commit([request]));
      const { code, message } = file.failureOf(error);
      if (isFileFailure(error)) this.#leave(file);
      return batch.map(({ call }) => ({ call, code, message }));
    }
  }

  /** After an error of the disk nobody knows whether what SQLite has in memory is in the file: it is opened anew. */
  #leave(file: QueueFile): void {
    this.#file = undefined;
    try {
      file.close();
    } catch {
      // It is left as it is.
    }
  }

  #shrink(): void {
    try {
      if (this.#file?.shrink() === true) this.#options.soon(() => this.#pending.length === 0 && this.#shrink());
    } catch {
      // Space that is not given back is not lost: it is written to again.
    }
  }

  #open(): QueueFile {
    const { open, dataDir, limits, clock } = this.#options;
    return open?.(this.#leases) ?? new QueueFile(dataDir, limits, clock, this.#leases);
  }
}

/** Throws SQLite's errors; what the queue refuses is an answer. */
function carryOut(file: QueueFile, request: QueueRequest): QueueReply {
  const { call } = request;
  if (request.name === "close") return { call, value: undefined };
  try {
    // The control thread's side makes the arguments those of this name.
    const method = file[request.name] as (...args: readonly unknown[]) => unknown;
    return { call, value: method.apply(file, [...request.args]) };
  } catch (error) {
    if (!(error instanceof QueueError)) throw error;
    return { call, code: error.code, message: error.message };
  }
}
