import { close, fstatSync, openSync, write } from "node:fs";
import type { Timers } from "../core/timers.ts";

/** Waiting lines are written once they are this many, */
const batchBytes = 64 * 1024;
/** or this old. */
const batchDelayMs = 100;
/** Until the next try where a pipe is full. */
const retryDelayMs = 10;
/** Tries on a full pipe once the sink is closing: two seconds, then the lines are given up. */
const closingRetriesMax = 200;
/** POSIX: a write to a pipe up to this size is not mixed with those of other threads and processes. */
const pipeBytesMax = 4096;

/** The file operations of a sink; passed in so that tests own them. */
export interface SinkIo {
  /** Throws where the file cannot be opened for appending. */
  open(path: string): number;
  write(
    fd: number,
    data: Uint8Array,
    offset: number,
    done: (error: NodeJS.ErrnoException | null, bytes: number) => void,
  ): void;
  close(fd: number): void;
  /** Most bytes one write may hold; Infinity where writes of any size stay in one piece. */
  writeBytesMax(fd: number): number;
}

const files: SinkIo = {
  // O_APPEND: workers that write to one file do not overwrite each other.
  open: (path) => openSync(path, "a", 0o640),
  write: (fd, data, offset, done) => write(fd, data, offset, data.length - offset, null, done),
  close: (fd) => close(fd, () => {}),
  writeBytesMax: (fd) => (fstatSync(fd).isFIFO() ? pipeBytesMax : Infinity),
};

export interface AccessLogSinkOptions {
  /** A file, or `-` for standard output. */
  readonly path: string;
  readonly timers: Timers;
  /** Most characters waiting; lines beyond it are dropped, the newest first. Default 16 Mi. */
  readonly bytesMax?: number;
  /** Lines that were not written: the queue was full, or writing failed. */
  readonly onDropped?: (lines: number) => void;
  /** A write or a reopen failed. */
  readonly onError?: (error: Error) => void;
  readonly io?: SinkIo;
}

export interface AccessLogSink {
  /** Queues one line, without its line break. Never throws, never waits. */
  write(line: string): void;
  /** Opens the file anew, after a rotation moved it. Lines not yet written go to the new one. */
  reopen(): void;
  /** Resolves when every line queued so far is written or dropped. */
  flush(): Promise<void>;
  /** Flushes and closes; lines written afterwards are dropped. */
  close(): Promise<void>;
}

/**
 * Opens the access log: lines are gathered for 64 KiB or 100 ms and written in one piece, one write at a time, so that
 * a slow disk or reader costs lines and never delays an exchange. One per worker: each writes whole lines.
 * Throws where the file cannot be opened.
 */
export function openAccessLogSink(options: AccessLogSinkOptions): AccessLogSink {
  return new BatchingSink(options);
}

/** Whole lines encoded for writing. */
interface Piece {
  readonly data: Uint8Array;
  readonly lines: number;
}

class BatchingSink implements AccessLogSink {
  readonly #options: AccessLogSinkOptions;
  readonly #io: SinkIo;
  readonly #bytesMax: number;
  #fd: number;
  #writeBytesMax: number;
  #waiting: string[] = [];
  #waitingChars = 0;
  /** Encoded and in order; the first is being written. */
  #pieces: Piece[] = [];
  #inFlightBytes = 0;
  #writing = false;
  #disarm: (() => void) | undefined;
  #reopenWanted = false;
  #closing = false;
  #closingRetries = 0;
  #idle: (() => void)[] = [];

  constructor(options: AccessLogSinkOptions) {
    this.#options = options;
    this.#io = options.io ?? files;
    this.#bytesMax = options.bytesMax ?? 16 * 1024 * 1024;
    this.#fd = options.path === "-" ? 1 : this.#io.open(options.path);
    this.#writeBytesMax = this.#io.writeBytesMax(this.#fd);
  }

  write(line: string): void {
    const chars = line.length + 1;
    if (this.#closing || this.#waitingChars + this.#inFlightBytes + chars > this.#bytesMax) {
      this.#options.onDropped?.(1);
      return;
    }
    this.#waiting.push(line);
    this.#waitingChars += chars;
    if (this.#writing) return;
    if (this.#waitingChars >= batchBytes) this.#start();
    else this.#disarm ??= this.#options.timers.after(batchDelayMs, () => this.#start());
  }

  reopen(): void {
    if (this.#options.path === "-") return;
    this.#reopenWanted = true;
    if (!this.#writing) this.#swapFile();
  }

  flush(): Promise<void> {
    if (!this.#writing && this.#waiting.length === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    if (!this.#writing) this.#start();
    return promise;
  }

  async close(): Promise<void> {
    if (this.#closing) return this.flush();
    this.#closing = true;
    await this.flush();
    if (this.#options.path !== "-") this.#io.close(this.#fd);
  }

  /** Takes everything waiting and writes it. Called only while nothing is being written. */
  #start(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    if (this.#reopenWanted) this.#swapFile();
    if (this.#waiting.length > 0) {
      this.#pieces = encodeLines(this.#waiting, this.#writeBytesMax);
      this.#waiting = [];
      this.#waitingChars = 0;
      this.#inFlightBytes = this.#pieces.reduce((sum, { data }) => sum + data.length, 0);
    }
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#writing = true;
      this.#writeFrom(piece, 0);
    }
  }

  #writeFrom(piece: Piece, offset: number): void {
    this.#io.write(this.#fd, piece.data, offset, (error, bytes) => {
      if (error !== null) this.#failed(piece, offset, error);
      else if (offset + bytes < piece.data.length) this.#writeFrom(piece, offset + bytes);
      else this.#done(piece);
    });
  }

  #failed(piece: Piece, offset: number, error: NodeJS.ErrnoException): void {
    // Standard output may be a pipe in non-blocking mode, whose reader is slow.
    if (error.code === "EAGAIN" && !(this.#closing && ++this.#closingRetries > closingRetriesMax)) {
      this.#options.timers.after(retryDelayMs, () => this.#writeFrom(piece, offset));
      return;
    }
    this.#options.onError?.(error);
    this.#options.onDropped?.(piece.lines);
    this.#done(piece);
  }

  #done(piece: Piece): void {
    this.#inFlightBytes -= piece.data.length;
    const next = this.#pieces.shift();
    if (next !== undefined) return this.#writeFrom(next, 0);
    this.#writing = false;
    if (this.#reopenWanted) this.#swapFile();
    if (this.#waiting.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    } else if (this.#idle.length > 0 || this.#waitingChars >= batchBytes) {
      this.#start();
    } else {
      this.#disarm ??= this.#options.timers.after(batchDelayMs, () => this.#start());
    }
  }

  #swapFile(): void {
    this.#reopenWanted = false;
    try {
      const fd = this.#io.open(this.#options.path);
      this.#io.close(this.#fd);
      this.#fd = fd;
      this.#writeBytesMax = this.#io.writeBytesMax(fd);
    } catch (error) {
      // The old file goes on: a log in the wrong place is better than none.
      this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** Joins lines into as few pieces as `bytesMax` allows; a line that is longer is a piece of its own. */
function encodeLines(lines: readonly string[], bytesMax: number): Piece[] {
  const whole = Buffer.from(lines.join("\n") + "\n");
  if (whole.length <= bytesMax) return [{ data: whole, lines: lines.length }];
  const pieces: Piece[] = [];
  let start = 0;
  let end = 0;
  let count = 0;
  while (end < whole.length) {
    const lineEnd = whole.indexOf(10, end) + 1;
    if (count > 0 && lineEnd - start > bytesMax) {
      pieces.push({ data: whole.subarray(start, end), lines: count });
      start = end;
      count = 0;
    }
    end = lineEnd;
    count++;
  }
  pieces.push({ data: whole.subarray(start), lines: count });
  return pieces;
}
