import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Timers } from "../core/timers.ts";
import { openAccessLogSink, type AccessLogSinkOptions, type SinkIo } from "./access-log-sink.ts";

class ManualTimers implements Timers {
  pending: { delayMs: number; action: () => void }[] = [];
  after(delayMs: number, action: () => void): () => void {
    const entry = { delayMs, action };
    this.pending.push(entry);
    return () => {
      this.pending = this.pending.filter((other) => other !== entry);
    };
  }
  every(): () => void {
    throw new Error("not used by the sink");
  }
  fire(): void {
    for (const { action } of this.pending.splice(0)) action();
  }
}

/** Records writes; each waits until the test finishes it. */
class ScriptedIo implements SinkIo {
  written: [fd: number, text: string][] = [];
  opened = 0;
  closed: number[] = [];
  failOpen = false;
  maxBytes = Infinity;
  #held:
    | { data: Uint8Array; offset: number; fd: number; done: (e: NodeJS.ErrnoException | null, n: number) => void }
    | undefined;
  open(): number {
    if (this.failOpen) throw new Error("no such directory");
    return 10 + this.opened++;
  }
  write(
    fd: number,
    data: Uint8Array,
    offset: number,
    done: (e: NodeJS.ErrnoException | null, n: number) => void,
  ): void {
    assert.equal(this.#held, undefined, "one write at a time");
    this.#held = { fd, data, offset, done };
  }
  close(fd: number): void {
    this.closed.push(fd);
  }
  writeBytesMax(): number {
    return this.maxBytes;
  }
  get busy(): boolean {
    return this.#held !== undefined;
  }
  /** Ends the held write: after `bytes` of it, or with an error. */
  finish(bytes = Infinity, code?: string): void {
    const held = this.#held;
    assert.ok(held !== undefined, "a write is under way");
    this.#held = undefined;
    if (code !== undefined) return held.done(Object.assign(new Error(code), { code }), 0);
    const end = Math.min(held.data.length, held.offset + bytes);
    this.written.push([held.fd, Buffer.from(held.data.subarray(held.offset, end)).toString()]);
    held.done(null, end - held.offset);
  }
}

function open(options: Partial<AccessLogSinkOptions> = {}, io = new ScriptedIo()) {
  const timers = new ManualTimers();
  const dropped: number[] = [];
  const failures: Error[] = [];
  const onDropped = (lines: number) => dropped.push(lines);
  const onError = (error: Error) => failures.push(error);
  return {
    sink: openAccessLogSink({ path: "log", timers, io, onDropped, onError, ...options }),
    timers,
    io,
    dropped,
    failures,
  };
}

test("gathers lines for 100 ms and writes them in one piece", () => {
  const { sink, timers, io } = open();
  sink.write("a");
  sink.write("b");
  assert.equal(io.busy, false);
  assert.deepEqual(
    timers.pending.map(({ delayMs }) => delayMs),
    [100],
  );
  timers.fire();
  io.finish();
  assert.deepEqual(io.written, [[10, "a\nb\n"]]);
  assert.equal(timers.pending.length, 0);
});

test("writes at once when 64 KiB are waiting", () => {
  const { sink, timers, io } = open();
  const line = "x".repeat(1023);
  for (let i = 0; i < 64; i++) sink.write(line);
  assert.equal(io.busy, true);
  assert.equal(timers.pending.length, 0);
});

test("lines that come during a write go out with the next one", () => {
  const { sink, timers, io } = open();
  sink.write("a");
  timers.fire();
  sink.write("b");
  sink.write("c");
  io.finish();
  timers.fire();
  io.finish();
  assert.deepEqual(
    io.written.map(([, text]) => text),
    ["a\n", "b\nc\n"],
  );
});

test("goes on after a partial write, and after EAGAIN a little later", () => {
  const { sink, timers, io, failures } = open({ path: "-" });
  sink.write("abcdef");
  timers.fire();
  io.finish(2);
  io.finish(0, "EAGAIN");
  assert.equal(io.busy, false);
  assert.deepEqual(
    timers.pending.map(({ delayMs }) => delayMs),
    [10],
  );
  timers.fire();
  io.finish();
  assert.deepEqual(io.written, [
    [1, "ab"],
    [1, "cdef\n"],
  ]);
  assert.deepEqual(failures, []);
});

test("drops the newest lines when the queue is full, and says how many", () => {
  const { sink, timers, io, dropped } = open({ bytesMax: 8 });
  for (const line of ["aaa", "bbb", "ccc"]) sink.write(line);
  assert.deepEqual(dropped, [1]);
  timers.fire();
  sink.write("ddd"); // what is being written still counts
  assert.deepEqual(dropped, [1, 1]);
  io.finish();
  sink.write("eee");
  timers.fire();
  io.finish();
  assert.deepEqual(
    io.written.map(([, text]) => text),
    ["aaa\nbbb\n", "eee\n"],
  );
});

test("a failed write costs its lines and nothing else", () => {
  const { sink, timers, io, dropped, failures } = open();
  sink.write("a");
  sink.write("b");
  timers.fire();
  io.finish(0, "ENOSPC");
  assert.deepEqual(dropped, [2]);
  assert.equal(failures[0]?.message, "ENOSPC");
  sink.write("c");
  timers.fire();
  io.finish();
  assert.deepEqual(io.written, [[10, "c\n"]]);
});

test("writes whole lines of at most the pipe's atomic size", () => {
  const io = new ScriptedIo();
  io.maxBytes = 10;
  const { sink, timers } = open({ path: "-" }, io);
  for (const line of ["1234", "1234", "1", "a line longer than that", "\u00e9\u00e9\u00e9\u00e9", "z"])
    sink.write(line);
  timers.fire();
  while (io.busy) io.finish();
  assert.deepEqual(
    io.written.map(([, text]) => text),
    ["1234\n1234\n", "1\n", "a line longer than that\n", "\u00e9\u00e9\u00e9\u00e9\n", "z\n"],
  );
});

test("reopens between two writes", () => {
  const { sink, timers, io } = open();
  sink.write("a");
  timers.fire();
  sink.reopen();
  assert.deepEqual(io.closed, []);
  io.finish();
  assert.deepEqual(io.closed, [10]);
  sink.write("b");
  timers.fire();
  io.finish();
  assert.deepEqual(io.written, [
    [10, "a\n"],
    [11, "b\n"],
  ]);
});

test("a reopen that fails keeps the old file", () => {
  const { sink, timers, io, failures } = open();
  io.failOpen = true;
  sink.reopen();
  assert.equal(failures.length, 1);
  sink.write("a");
  timers.fire();
  io.finish();
  assert.deepEqual(io.written, [[10, "a\n"]]);
});

test("close writes what is waiting, closes the file and drops the rest", async () => {
  const { sink, timers, io, dropped } = open();
  sink.write("a");
  const closed = sink.close();
  sink.write("late");
  io.finish();
  await closed;
  assert.deepEqual(io.written, [[10, "a\n"]]);
  assert.deepEqual(io.closed, [10]);
  assert.deepEqual(dropped, [1]);
  assert.equal(timers.pending.length, 0);
});

test("close gives up on a pipe nobody reads", async () => {
  const { sink, timers, io, dropped } = open({ path: "-" });
  sink.write("a");
  const closed = sink.close();
  let tries = 0;
  for (; io.busy && tries < 1000; tries++) {
    io.finish(0, "EAGAIN");
    timers.fire();
  }
  await closed;
  assert.ok(tries < 1000);
  assert.deepEqual(dropped, [1]);
});

test("appends to a real file and follows a rotation", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "access-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "access.log");
  const sink = openAccessLogSink({ path, timers: new ManualTimers() });
  sink.write("one");
  await sink.flush();
  renameSync(path, `${path}.1`);
  sink.reopen();
  sink.write("two");
  await sink.close();
  assert.equal(readFileSync(`${path}.1`, "utf8"), "one\n");
  assert.equal(readFileSync(path, "utf8"), "two\n");
});

test("a file that cannot be opened is an error at the start", () => {
  assert.throws(() => openAccessLogSink({ path: "/nonexistent/access.log", timers: new ManualTimers() }), /ENOENT/);
});
