import assert from "node:assert/strict";
import { test } from "node:test";
import type { GatewaySettings } from "@headgate/schema";
import { silentLog } from "../core/log.ts";
import type { Timers } from "../core/timers.ts";
import { LookedAt } from "../proxy/looked-at.ts";
import { Recent } from "../proxy/recent.ts";
import type { UpstreamEvent } from "../proxy/upstream/events.ts";
import type { SnapshotChange } from "../proxy/snapshot.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { MetricsPage } from "../telemetry/metrics-page.ts";
import { Publisher } from "./publish.ts";
import { Supervisor } from "./supervise.ts";
import type { FromWorker, ToWorker, WorkerEvents, WorkerStart } from "./worker-messages.ts";

class ManualTimers implements Timers {
  #now = 0;
  #due: { at: number; every: number; action: () => void }[] = [];

  now = (): number => this.#now;

  after(delayMs: number, action: () => void): () => void {
    return this.#add(delayMs, 0, action);
  }

  every(intervalMs: number, action: () => void): () => void {
    return this.#add(intervalMs, intervalMs, action);
  }

  #add(delayMs: number, every: number, action: () => void): () => void {
    const entry = { at: this.#now + delayMs, every, action };
    this.#due.push(entry);
    return () => void (this.#due = this.#due.filter((other) => other !== entry));
  }

  /** The process stood still. */
  skip(ms: number): void {
    this.#now += ms;
    for (const entry of this.#due.filter(({ at }) => at <= this.#now)) {
      entry.at = this.#now + entry.every;
      if (entry.every === 0) this.#due = this.#due.filter((other) => other !== entry);
      entry.action();
    }
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#due.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#now = next.at;
      if (next.every > 0) next.at += next.every;
      else this.#due = this.#due.filter((entry) => entry !== next);
      next.action();
      await settled();
    }
    this.#now = end;
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const remembered = new Recent(1).tell(new LookedAt());

/** A worker without a thread; obeys like the real one unless told otherwise. */
class FakeWorker {
  readonly start: WorkerStart;
  readonly events: WorkerEvents;
  readonly seen: ToWorker[] = [];
  alive = true;

  constructor(start: WorkerStart, events: WorkerEvents) {
    this.start = start;
    this.events = events;
  }

  say(message: FromWorker): void {
    if (this.alive) this.events.onMessage(message);
  }

  die(reason: string): void {
    if (!this.alive) return;
    this.alive = false;
    this.events.onExit(reason);
  }

  post(message: ToWorker): void {
    this.seen.push(message);
    if (message.type === "prepare") this.say({ type: "prepared", id: message.id });
    if (message.type === "commit") this.say({ type: "committed", id: message.id, revision: 1 });
    if (message.type === "listen")
      this.say({ type: "listening", addresses: [{ address: "127.0.0.1:4242", port: 4242 }] });
    if (message.type === "recent") this.say({ type: "recent", id: message.id, recent: remembered });
    if (message.type === "drain") queueMicrotask(() => this.die("drained"));
  }

  terminate(): void {
    queueMicrotask(() => this.die("terminated"));
  }
}

// Only the listening addresses of the settings matter to the supervisor.
const settings = { listen: [{ address: "127.0.0.1:0" }] } as unknown as GatewaySettings;

function fleet(count: number, boots = (worker: FakeWorker) => worker.say({ type: "booted" })) {
  const timers = new ManualTimers();
  let live: SnapshotChange | undefined;
  const publisher = new Publisher(() => live);
  const workers: FakeWorker[] = [];
  const start = {
    settings,
    workers: count,
    limiterMemory: new SharedArrayBuffer(8),
    connectionMemory: new SharedArrayBuffer(4),
    heartbeatMemory: new SharedArrayBuffer(4 * (count + 1)),
    reusePort: true,
  };
  let restarts = 0;
  const upstream: UpstreamEvent[] = [];
  const page = new MetricsPage();
  const supervisor = new Supervisor({
    start,
    startWorker: (init, events) => {
      const worker = new FakeWorker(init, events);
      workers.push(worker);
      queueMicrotask(() => boots(worker));
      return worker;
    },
    clock: { now: timers.now, wall: timers.now },
    timers,
    log: silentLog,
    page,
    workerLog: () => {},
    join: (member) => publisher.join(member),
    leave: (member) => publisher.leave(member),
    onUpstream: (event) => void upstream.push(event),
    onRestart: () => restarts++,
  });
  const heartbeats = new Int32Array(start.heartbeatMemory);
  const connections = new Int32Array(start.connectionMemory);
  const serve = async (): Promise<void> => {
    await supervisor.boot();
    const change = { revision: 1, global: [] };
    await publisher.publish(change, () => (live = change));
    await supervisor.listen();
  };
  const told = { restarts: () => restarts, upstream };
  return { supervisor, publisher, timers, workers, heartbeats, connections, serve, page, ...told };
}

test("what a worker tells of breakers and ejections is handed on", async () => {
  const { serve, workers, upstream } = fleet(2);
  await serve();
  const event = { kind: "breaker", service: "s", from: "closed", to: "open", reason: "why", atMs: 1 } as const;
  workers[1]?.say({ type: "upstream", event });
  assert.deepEqual(upstream, [event]);
});

test("workers boot, run the first snapshot and then listen", async () => {
  const { supervisor, workers, serve } = fleet(2);
  await serve();
  assert.deepEqual(
    supervisor.status().map(({ id, state, revision, restarts }) => ({ id, state, revision, restarts })),
    [1, 2].map((id) => ({ id, state: "running", revision: 1, restarts: 0 })),
  );
  assert.deepEqual(
    workers[0]?.seen.map((message) => message.type),
    ["prepare", "commit", "listen"],
  );
  assert.deepEqual(supervisor.addresses, [{ address: "127.0.0.1:4242", port: 4242 }]);
});

test("a worker that ends while all start ends the start with its reason", async () => {
  const { supervisor } = fleet(2, (worker) => worker.die("cannot find module"));
  await assert.rejects(supervisor.boot(), /cannot find module/);
});

test("a worker that cannot listen ends the start with its reason", async () => {
  const { workers, serve } = fleet(1, (worker) => {
    worker.post = (message) => {
      if (message.type === "listen") worker.say({ type: "listen-failed", message: "127.0.0.1:80 is taken" });
      else FakeWorker.prototype.post.call(worker, message);
    };
    worker.say({ type: "booted" });
  });
  await assert.rejects(serve(), /is taken/);
  assert.equal(workers.length, 1);
});

test("a dead worker is replaced by one with its number that runs what is live, on the same port; the others stay", async () => {
  const { supervisor, workers, serve, restarts, connections } = fleet(2);
  await serve();
  for (const [index, amount] of [3, 4].entries()) {
    const worker = workers[index];
    assert.ok(worker);
    const metrics = new Metrics((news) => worker.say({ type: "metrics", news }));
    metrics.gauge("connections", { state: "idle" }).set(amount);
  }
  connections[0] = 7;
  await settled();
  assert.deepEqual(
    supervisor.status().map((status) => status.connections),
    [3, 4],
  );
  workers[0]?.die("out of memory");
  await settled();
  const replacement = workers[2];
  assert.equal(replacement?.start.workerId, 1);
  assert.equal(replacement.start.settings.listen[0]?.address, "127.0.0.1:4242");
  assert.deepEqual(
    replacement.seen.map((message) => message.type),
    ["prepare", "commit", "listen"],
  );
  assert.equal(workers[1]?.alive, true);
  assert.equal(restarts(), 1);
  assert.deepEqual(supervisor.status()[0], { id: 1, state: "running", revision: 1, restarts: 1, connections: 0 });
  assert.deepEqual([...connections], [4]);
});

test("a worker that dies again and again is started with growing pauses, and one that lived long at once", async () => {
  const { workers, serve, timers, heartbeats } = fleet(1);
  await serve();
  const pauses: number[] = [];
  for (let i = 0; i < 4; i++) {
    workers.at(-1)?.die("crash");
    await settled();
    const before = timers.now();
    const count = workers.length;
    while (workers.length === count && workers.at(-1)?.alive === false) await timers.advance(50);
    pauses.push(timers.now() - before);
  }
  assert.deepEqual(pauses, [0, 100, 200, 400]);
  for (let i = 0; i < 12; i++) {
    Atomics.add(heartbeats, 1, 1);
    await timers.advance(1_000);
  }
  workers.at(-1)?.die("crash");
  await settled();
  assert.equal(workers.at(-1)?.alive, true);
});

test("a worker that does not answer for thirty checks is given up, not one whose process stood still", async () => {
  for (const [standsStill, answered] of [
    [true, true],
    [false, false],
  ]) {
    const { supervisor, workers, serve, timers, heartbeats } = fleet(1);
    await serve();
    const worker = workers[0] ?? assert.fail();
    worker.post = () => undefined;
    const recent = supervisor.recent();
    // However long it stood still, a timer that repeats runs once.
    if (standsStill === true) timers.skip(60_000);
    else {
      for (let check = 0; check < 31; check++) {
        Atomics.add(heartbeats, 1, 1);
        await timers.advance(1_000);
      }
    }
    worker.say({ type: "recent", id: 1, recent: remembered });
    assert.equal((await recent).length === 1, answered);
  }
});

test("a worker whose loop stands still is ended and replaced; one that turns is left alone", async () => {
  const { workers, serve, timers, heartbeats } = fleet(2);
  await serve();
  for (let i = 0; i < 6; i++) {
    Atomics.add(heartbeats, 2, 1);
    await timers.advance(1_000);
  }
  assert.deepEqual(
    workers.map((worker) => [worker.start.workerId, worker.alive]),
    [
      [1, false],
      [2, true],
      [1, true],
    ],
  );
});

test("a worker that does not come to its timers is left alone as long as it answers", async () => {
  const { workers, serve, timers, heartbeats } = fleet(1);
  await serve();
  const [worker] = workers;
  assert.ok(worker);
  for (let i = 0; i < 12; i++) {
    const asked = worker.seen.length;
    await timers.advance(1_000);
    if (worker.seen.slice(asked).some(({ type }) => type === "beat")) Atomics.add(heartbeats, 1, 1);
  }
  assert.deepEqual([workers.length, worker.alive], [1, true]);
});

test("a machine that is slow while the workers start costs none of them its place when they begin to serve", async () => {
  const { supervisor, publisher, timers, heartbeats, restarts } = fleet(1);
  await supervisor.boot();
  // Silent for longer than a worker that serves may be.
  await timers.advance(10_000);
  const change = { revision: 1, global: [] };
  await publisher.publish(change, () => undefined);
  await supervisor.listen();
  await timers.advance(1_000);
  assert.equal(restarts(), 0);
  for (let second = 0; second < 10; second++) {
    Atomics.add(heartbeats, 1, 1);
    await timers.advance(1_000);
  }
  assert.equal(restarts(), 0);
});

test("draining tells all workers and ends when they are gone; nobody is replaced", async () => {
  const { supervisor, workers, serve } = fleet(2);
  await serve();
  await supervisor.drain(5_000);
  assert.equal(workers.length, 2);
  assert.ok(workers.every((worker) => !worker.alive && worker.seen.at(-1)?.type === "drain"));
  assert.deepEqual(
    supervisor.status().map((status) => status.state),
    ["stopped", "stopped"],
  );
});

test("a worker that does not finish draining is ended when the time is over", async () => {
  const { supervisor, workers, serve, timers } = fleet(1, (worker) => {
    worker.post = (message) => {
      if (message.type !== "drain") FakeWorker.prototype.post.call(worker, message);
    };
    worker.say({ type: "booted" });
  });
  await serve();
  const drained = supervisor.drain(5_000);
  await timers.advance(5_999);
  assert.equal(workers[0]?.alive, true);
  await timers.advance(2);
  assert.equal(await drained, true);
  assert.equal(workers[0].alive, false);
});

test("a worker that cannot be ended is told of, and not waited for", async () => {
  const { supervisor, serve, timers } = fleet(1, (worker) => {
    worker.terminate = () => {};
    worker.post = (message) => {
      if (message.type !== "drain") FakeWorker.prototype.post.call(worker, message);
    };
    worker.say({ type: "booted" });
  });
  await serve();
  const drained = supervisor.drain(5_000);
  await timers.advance(6_001);
  await timers.advance(5_001);
  assert.equal(await drained, false);
});

test("the workers are asked what they remember of requests; one that ends meanwhile is left out", async () => {
  const { supervisor, workers, serve } = fleet(2);
  await serve();
  assert.deepEqual(await supervisor.recent(), [remembered, remembered]);
  const [, second] = workers;
  assert.ok(second);
  second.post = () => {};
  const asked = supervisor.recent();
  second.die("out of memory");
  assert.deepEqual(await asked, [remembered]);
});
