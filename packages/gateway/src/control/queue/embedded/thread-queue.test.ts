import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../../../tests/kit/fake-timers.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { silentLog } from "../../../core/log.ts";
import { systemTimers } from "../../../core/timers.ts";
import { temporaryDirectory } from "../../store/embedded/embedded.fixtures.ts";
import { newMessage, plenty } from "../queue.fixtures.ts";
import { queueSuite } from "../queue.suite.ts";
import type { QueueFile } from "./queue-file.ts";
import { openFile } from "./queue-file.fixtures.ts";
import { QueueServer, type FromQueueThread, type QueueReply, type QueueRequest } from "./serve-queue.ts";
import { queueThreadOf, ThreadQueue, type QueueThreadEvents } from "./thread-queue.ts";

queueSuite("thread", (t, limits) => {
  const directory = temporaryDirectory(t);
  const open = (): ThreadQueue =>
    new ThreadQueue({ start: queueThreadOf(directory, limits), timers: systemTimers, log: silentLog });
  let queue = open();
  t.after(() => queue.close());
  return Promise.resolve({
    queue,
    reopen: async () => {
      await queue.close();
      return (queue = open());
    },
  });
});

/** A server whose turns the test makes, on a file that fails as it says. */
function serve(t: TestContext) {
  const opened = openFile(t, plenty);
  const real = opened.file();
  const disk = { commits: 0, fails: (): Error | undefined => undefined, opens: 0 };
  const posted: FromQueueThread[] = [];
  const turns: (() => void)[] = [];
  const failing = (): QueueFile =>
    new Proxy(real, {
      get: (file, name) => {
        if (name === "close") return () => {};
        if (name === "transaction")
          return (action: () => void) =>
            real.transaction(() => {
              disk.commits++;
              action();
              const failure = disk.fails();
              if (failure !== undefined) throw failure;
            });
        const member: unknown = Reflect.get(file, name, file);
        return typeof member === "function" ? (member.bind(file) as unknown) : member;
      },
    });
  const server = new QueueServer({
    dataDir: opened.directory,
    limits: plenty,
    clock: { wall: () => Date.now() },
    post: (message) => posted.push(message),
    soon: (action) => turns.push(action),
    exit: () => {},
    open: () => {
      disk.opens++;
      return failing();
    },
  });
  const replies = (): QueueReply[] => posted.flatMap((message) => (message.kind === "replies" ? message.replies : []));
  let calls = 0;
  const ask = (name: "enqueue" | "stats" | "ack" | "due", ...args: unknown[]): number => {
    server.receive({ call: ++calls, name, args });
    return calls;
  };
  const turn = (): void => {
    for (const action of turns.splice(0)) action();
  };
  return { server, disk, posted, replies, ask, turn, real };
}

function sqliteError(errcode: number, message: string): Error {
  return Object.assign(new Error(message), { errcode });
}

test("calls that came before the file was written are one commit, and are answered together after it", (t) => {
  const { ask, turn, disk, posted, replies } = serve(t);
  for (let count = 0; count < 50; count++) ask("enqueue", newMessage());
  ask("stats");
  assert.equal(replies().length, 0);
  turn();
  assert.deepEqual([disk.commits, replies().length], [1, 51]);
  assert.deepEqual(
    posted.map(({ kind }) => kind),
    ["open", "replies"],
  );
});

test("more calls than one commit takes are several commits, in their order", (t) => {
  const { ask, turn, disk, replies } = serve(t);
  for (let count = 0; count < 2_500; count++) ask("due");
  turn();
  assert.deepEqual([disk.commits, replies().length], [1, 2_000]);
  turn();
  assert.deepEqual([disk.commits, replies().at(-1)?.call], [2, 2_500]);
});

test("a commit that fails is answered as such to all of it, and nothing of it is there", (t) => {
  const { ask, turn, disk, replies, real } = serve(t);
  disk.fails = () => sqliteError(10, "disk I/O error");
  ask("enqueue", newMessage());
  ask("enqueue", newMessage());
  turn();
  assert.deepEqual(
    replies().map((reply) => "code" in reply && reply.code),
    ["away", "away"],
  );
  assert.equal(real.stats().waiting, 0);
  assert.equal(disk.opens, 1);
  disk.fails = () => undefined;
  ask("enqueue", newMessage());
  turn();
  assert.equal(disk.opens, 2);
  assert.ok("value" in (replies().at(-1) ?? {}));
  assert.equal(real.stats().waiting, 1);
});

test("what makes room goes through on a full disk, beside what takes room", (t) => {
  const { ask, turn, disk, replies, real } = serve(t);
  const message = newMessage();
  real.transaction(() => real.enqueue(message));
  const [taken] = real.reserve("s", 1, Infinity, 60_000);
  let commits = 0;
  // The batch of both, and the first alone, do not fit; the second alone does.
  disk.fails = () => (++commits <= 2 ? sqliteError(13, "database or disk is full") : undefined);
  const enqueue = ask("enqueue", newMessage());
  const ack = ask("ack", taken?.lease);
  turn();
  const byCall = new Map(replies().map((reply) => [reply.call, reply]));
  assert.match(JSON.stringify(byCall.get(enqueue)), /The disk is full/);
  assert.ok("value" in (byCall.get(ack) ?? {}));
  assert.deepEqual([real.stats().waiting, real.stats().delivering], [0, 0]);
});

test("a call that makes no sense is refused alone", (t) => {
  const { ask, turn, replies } = serve(t);
  const message = newMessage();
  const first = ask("enqueue", message);
  const same = ask("enqueue", message);
  const other = ask("enqueue", newMessage());
  turn();
  const failed = replies().flatMap((reply) => ("code" in reply ? [reply.call] : []));
  assert.deepEqual(failed, [same]);
  assert.equal(replies().length, 3, `${first} ${other}`);
});

test("leases stay when the file has to be opened anew", (t) => {
  const { ask, turn, disk, real } = serve(t);
  real.transaction(() => real.enqueue(newMessage()));
  assert.equal(real.reserve("s", 1, Infinity, 60_000).length, 1);
  disk.fails = () => sqliteError(10, "disk I/O error");
  ask("due");
  turn();
  assert.equal(real.reserve("s", 1, Infinity, 60_000).length, 0);
});

/** A thread that the test plays. */
function played() {
  const clock = new FakeClock();
  const threads: { readonly events: QueueThreadEvents; readonly asked: QueueRequest[] }[] = [];
  const logged: string[] = [];
  const queue = new ThreadQueue({
    start: (events) => {
      const asked: QueueRequest[] = [];
      threads.push({ events, asked });
      return { post: (request) => asked.push(request) };
    },
    timers: fakeTimers(clock),
    log: { ...silentLog, error: (_, message) => logged.push(message) },
  });
  const thread = () => {
    const last = threads.at(-1);
    assert.ok(last !== undefined);
    return last;
  };
  return { clock, queue, threads, thread, logged };
}

test("a thread that ends is started again, later and later; calls are refused with why meanwhile", async () => {
  const { clock, queue, threads, thread, logged } = played();
  const waiting = assert.rejects(queue.stats(), { code: "away", message: "It is damaged." });
  thread().events.onExit("It is damaged.");
  await waiting;
  await assert.rejects(queue.stats(), { code: "away", message: "It is damaged." });
  for (const [delayMs, count] of [
    [250, 2],
    [500, 3],
    [1_000, 4],
  ] as const) {
    clock.advance(delayMs - 1);
    assert.equal(threads.length, count - 1);
    clock.advance(1);
    assert.equal(threads.length, count);
    thread().events.onExit("It is damaged.");
  }
  clock.advance(30_000);
  thread().events.onMessage({ kind: "open" });
  const stats = queue.stats();
  const [asked] = thread().asked;
  thread().events.onMessage({ kind: "replies", replies: [{ call: asked?.call ?? 0, value: "stats" }] });
  assert.equal(await stats, "stats");
  // From then on it is a new failure.
  thread().events.onExit("It ended.");
  clock.advance(250);
  assert.equal(threads.length, 6);
  assert.match(logged.at(-1) ?? "", /It ended/);
});

test("closing lets what was asked be answered, and refuses what comes after", async () => {
  const { queue, thread, threads, clock } = played();
  const stats = queue.stats();
  const closed = queue.close();
  await assert.rejects(queue.stats(), { code: "away" });
  const [first, last] = thread().asked;
  assert.deepEqual([first?.name, last?.name], ["stats", "close"]);
  thread().events.onMessage({ kind: "replies", replies: [{ call: first?.call ?? 0, value: 1 }] });
  thread().events.onExit("It ended with code 0.");
  await closed;
  assert.equal(await stats, 1);
  clock.advance(60_000);
  assert.equal(threads.length, 1);
});

test("a thread that hangs holds up the end for five seconds at most", async () => {
  const { queue, clock } = played();
  let closed = false;
  const closing = queue.close().then(() => (closed = true));
  clock.advance(4_999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(closed, false);
  clock.advance(1);
  await closing;
});

test("a file that another process has is named, and taken as soon as it is free", async (t) => {
  const directory = temporaryDirectory(t);
  const open = () => new ThreadQueue({ start: queueThreadOf(directory, plenty), timers: systemTimers, log: silentLog });
  const first = open();
  await first.stats();
  const second = open();
  t.after(() => second.close());
  await waitFor(() =>
    second.stats().then(
      () => false,
      (error: Error) => error.message.includes("is in use by process"),
    ),
  );
  await first.close();
  await waitFor(() => second.stats().catch(() => undefined), { what: "the file to be free" });
});
