import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { ConcurrencySettings, Importance } from "@headgate/schema";
import { serviceMemory } from "../memory.ts";
import { ServiceLoad } from "../service-load.ts";
import { ConcurrencyLimiter, readConcurrency } from "./limiter.ts";

const ten = { type: "fixed", limit: 10 } as const;
const adaptive = { type: "adaptive", min: 1, max: 100, initial: 20 } as const;

function memoryOf(concurrency: ConcurrencySettings, workers = 1) {
  const memory = serviceMemory({ instances: [], concurrency }, workers);
  if (memory.concurrency === undefined) throw new Error("there is a limit");
  return { service: memory.service, concurrency: memory.concurrency, memory };
}

function limiter(settings: ConcurrencySettings): ConcurrencyLimiter {
  const { service, concurrency } = memoryOf(settings);
  return new ConcurrencyLimiter(settings, concurrency, new ServiceLoad(service, 1, 1));
}

function acquireAll(limited: ConcurrencyLimiter, nowMs = 5_000, importance?: Importance): number {
  let count = 0;
  while (count < 10_000 && limited.acquire(nowMs, importance)) count++;
  return count;
}

test("a fixed limit lets exactly so many through, whatever their importance, and one for each that ends", () => {
  for (const importance of [undefined, "low", "normal", "high", "critical"] as const) {
    const limited = limiter(ten);
    assert.equal(acquireAll(limited, 5_000, importance), 10);
    limited.release("success", 5, 5_010);
    limited.release("ignored", 0, 5_010);
    assert.equal(limited.inFlight(), 8);
    assert.equal(acquireAll(limited, 5_020, importance), 2);
  }
});

test("while the more important come too, the less important leave them room", () => {
  for (const [importance, open] of [
    ["low", 80],
    ["normal", 90],
    ["high", 95],
    ["critical", 100],
  ] as const) {
    const limited = limiter({ type: "fixed", limit: 100 });
    for (let i = 0; i < 80; i++) assert.equal(limited.acquire(5_000, "low"), true);
    assert.equal(limited.acquire(5_000, "critical"), true);
    assert.equal(80 + 1 + acquireAll(limited, 5_500, importance), Math.max(81, open), importance);
  }
});

test("a second after the last of the more important, all of the limit is open again", () => {
  const limited = limiter(ten);
  for (let i = 0; i < 8; i++) limited.acquire(5_000, "low");
  assert.equal(limited.acquire(5_000, "high"), true);
  assert.equal(limited.acquire(5_500, "low"), false);
  assert.equal(limited.acquire(6_001, "low"), true);
});

test("the less important do not hold the more important up", () => {
  const limited = limiter(ten);
  acquireAll(limited, 5_000, "low");
  limited.release("success", 1, 5_001);
  assert.equal(limited.acquire(5_001, "low"), true);
  limited.release("success", 1, 5_002);
  assert.equal(limited.acquire(5_002, "normal"), true);
});

test("a limit of one is one, for all", () => {
  const limited = limiter({ type: "fixed", limit: 1 });
  assert.equal(limited.acquire(5_000, "critical"), true);
  limited.release("success", 1, 5_001);
  assert.equal(limited.acquire(5_001, "low"), true);
  assert.equal(limited.acquire(5_001, "critical"), false);
});

test("a refusal is HG_OVERLOADED with Retry-After, the same each time", () => {
  const { refusal } = limiter(ten);
  assert.equal(refusal.code, "HG_OVERLOADED");
  assert.equal(refusal.facts.status, 503);
  assert.equal(refusal.details.headers?.["retry-after"], "1");
});

/** Answers that take so long, as many at a time as the limit lets through, for so many seconds. */
function serve(limited: ConcurrencyLimiter, rttMs: number, fromMs: number, seconds: number): number {
  let nowMs = fromMs;
  for (; nowMs < fromMs + seconds * 1_000; nowMs += rttMs) {
    const through = acquireAll(limited, nowMs);
    for (let i = 0; i < through; i++) limited.release("success", rttMs, nowMs + rttMs);
  }
  return nowMs;
}

test("an adaptive limit begins where it is told, grows while answers come as fast as ever, and no further than its bound", () => {
  const limited = limiter(adaptive);
  assert.equal(limited.limit(), 20);
  const nowMs = serve(limited, 10, 5_000, 3);
  assert.ok(limited.limit() > 20 && limited.limit() < 100, String(limited.limit()));
  serve(limited, 10, nowMs, 60);
  assert.equal(limited.limit(), 100);
});

test("how long an answer goes on after its head does not matter to it", () => {
  const limited = limiter(adaptive);
  let nowMs = serve(limited, 10, 5_000, 60);
  for (let second = 0; second < 60; second++, nowMs += 1_000) {
    const through = acquireAll(limited, nowMs);
    for (let i = 0; i < through; i++) limited.observe("success", 10, nowMs + 10);
    for (let i = 0; i < through; i++) limited.release("ignored", 0, nowMs + 1_000);
  }
  assert.equal(limited.limit(), 100);
});

test("a change of settings forgets neither what is under way nor what was found", () => {
  const { service, concurrency, memory } = memoryOf(adaptive);
  const load = new ServiceLoad(service, 1, 1);
  const before = new ConcurrencyLimiter(adaptive, concurrency, load);
  serve(before, 10, 5_000, 60);
  assert.equal(before.acquire(70_000), true);
  const after = new ConcurrencyLimiter({ ...adaptive, max: 50 }, concurrency, load);
  assert.deepEqual([after.limit(), after.inFlight()], [50, 1]);
  assert.deepEqual(readConcurrency({ ...adaptive, max: 50 }, memory), { limit: 50, inFlight: 1 });
  const fixed = new ConcurrencyLimiter(ten, concurrency, load);
  assert.equal(acquireAll(fixed, 70_001), 9);
  before.release("success", 10, 70_002);
  assert.equal(fixed.inFlight(), 9);
});

test("a window that a dead worker was closing is closed by another a second later", () => {
  const { service, concurrency } = memoryOf(adaptive);
  const limited = new ConcurrencyLimiter(adaptive, concurrency, new ServiceLoad(service, 1, 1));
  const words = new Int32Array(concurrency, 64);
  let nowMs = serve(limited, 10, 5_000, 3);
  words[2] = nowMs | 1; // the closing worker's mark
  const held = limited.limit();
  nowMs = serve(limited, 10, nowMs, 0.9);
  assert.equal(limited.limit(), held);
  serve(limited, 10, nowMs, 5);
  assert.ok(limited.limit() > held, String(limited.limit()));
});

test("it reads what the control thread shows, and nothing where there is no limit", () => {
  const { service, concurrency, memory } = memoryOf(ten);
  const limited = new ConcurrencyLimiter(ten, concurrency, new ServiceLoad(service, 1, 1));
  limited.acquire(5_000);
  assert.deepEqual(readConcurrency(ten, memory), { limit: 10, inFlight: 1 });
  assert.deepEqual(readConcurrency(adaptive, memoryOf(adaptive).memory), { limit: 20, inFlight: 0 });
  assert.equal(readConcurrency(undefined, memory), undefined);
  assert.equal(readConcurrency(ten, { service, instances: {} }), undefined);
});

// Runs in each worker: waits at the gate, then takes slots and gives them back with times, watching the total.
const workerCode = `
const { parentPort, workerData } = require("node:worker_threads");
Promise.all(workerData.modules.map((module) => import(module))).then(([{ ConcurrencyLimiter }, { ServiceLoad }]) => {
  const { service, concurrency, gate, id, workers, rounds, settings } = workerData;
  const limited = new ConcurrencyLimiter(settings, concurrency, new ServiceLoad(service, id, workers));
  let most = 0;
  parentPort.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  for (let i = 0; i < rounds; i++) {
    let held = 0;
    while (held < 40 && limited.acquire(i)) held++;
    most = Math.max(most, limited.inFlight());
    for (; held > 0; held--) limited.release("success", 1, i);
  }
  parentPort.postMessage(most);
});`;

test("four threads never have more under way than the most an adaptive limit may be, and leave none behind", async () => {
  const threads = 4;
  const { service, concurrency, memory } = memoryOf(adaptive, threads);
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const modules = ["./limiter.ts", "../service-load.ts"].map((path) => new URL(path, import.meta.url).href);
  const settings = { ...adaptive, max: 30 };
  const started = Array.from({ length: threads }, (_, index) => {
    const workerData = {
      modules,
      service,
      concurrency,
      gate,
      id: index + 1,
      workers: threads,
      rounds: 5_000,
      settings,
    };
    return new Worker(workerCode, { eval: true, workerData });
  });
  await Promise.all(started.map((worker) => once(worker, "message")));
  const results = Promise.all(started.map((worker) => once(worker, "message") as Promise<[number]>)); // what workerCode posts
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  const most = (await results).map(([each]) => each);
  await Promise.all(started.map((worker) => worker.terminate()));
  assert.ok(Math.max(...most) <= 30 && Math.min(...most) > 0, most.join(" "));
  assert.deepEqual(readConcurrency(settings, memory)?.inFlight, 0);
});
