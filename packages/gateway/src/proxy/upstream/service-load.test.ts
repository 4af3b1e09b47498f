import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { serviceBytes } from "./memory.ts";
import { ServiceLoad } from "./service-load.ts";

const workers = 3;

function loads(): ServiceLoad[] {
  const memory = new SharedArrayBuffer(serviceBytes(workers));
  return Array.from({ length: workers }, (_, index) => new ServiceLoad(memory, index + 1, workers));
}

function one(): ServiceLoad {
  return new ServiceLoad(new SharedArrayBuffer(serviceBytes(1)), 1, 1);
}

/** Every exchange fails and asks for a retry, which fails too; `perSecond` of them one after the other. */
function failingFor(load: ServiceLoad, seconds: number, perSecond: number, ratio = 0.2, fromMs = 5_000): number {
  let retries = 0;
  for (let i = 0; i < seconds * perSecond; i++) {
    load.beginExchange();
    if (load.tryRetry(ratio, fromMs + (i * 1_000) / perSecond)) {
      retries++;
      load.endRetry();
    }
    load.endExchange();
  }
  return retries;
}

test("an instance that fails all the time carries at most 1.2 times the exchanges, however few are under way", () => {
  for (const perSecond of [50, 500, 5_000]) {
    const load = one();
    assert.equal(failingFor(load, 20, 0), 0);
    const exchanges = 20 * perSecond;
    const retries = failingFor(load, 20, perSecond);
    assert.ok(retries <= exchanges * 0.2, `${retries} retries of ${exchanges} exchanges`);
    assert.ok(retries >= exchanges * 0.18, `${retries} retries of ${exchanges} exchanges`);
  }
});

test("a long time without failures saves up ten retries and no more", () => {
  const load = one();
  for (let i = 0; i < 100_000; i++) {
    load.beginExchange();
    load.endExchange();
  }
  let retries = 0;
  while (load.tryRetry(0.2, 60_000)) {
    retries++;
    load.endRetry();
  }
  assert.equal(retries, 10);
});

test("an instance that takes a fifth of the exchanges under way with it costs none of them its retry", () => {
  const load = one();
  for (let i = 0; i < 10_000; i++) load.beginExchange();
  let retries = 0;
  while (load.tryRetry(0.2, 60_000)) retries++;
  assert.equal(retries, 2_000);
});

test("what was saved up while much was under way is gone when little is", () => {
  const load = one();
  for (let i = 0; i < 10_000; i++) load.beginExchange();
  assert.equal(load.tryRetry(0.2, 60_000), true);
  load.endRetry();
  for (let i = 0; i < 10_000; i++) load.endExchange();
  let retries = 0;
  for (; load.tryRetry(0.2, 60_000); retries++) load.endRetry();
  assert.equal(retries, 10);
});

test("a service with one exchange a second may retry each of them, one with five a fifth", () => {
  const slow = one();
  failingFor(slow, 100, 1);
  assert.equal(failingFor(slow, 100, 1, 0.2, 105_000), 100);
  const faster = one();
  failingFor(faster, 100, 5);
  const retries = failingFor(faster, 100, 5, 0.2, 105_000);
  assert.ok(retries <= 105, `${retries} retries of 500 exchanges`);
});

test("three retries may be under way however few exchanges are, and a share of them where that is more", () => {
  const load = one();
  const granted = (): number => {
    let count = 0;
    while (count < 100 && load.tryRetry(0.5, 60_000)) count++;
    for (let i = 0; i < count; i++) load.endRetry();
    return count;
  };
  load.beginExchange();
  assert.equal(granted(), 3);
  for (let i = 0; i < 13; i++) load.beginExchange();
  assert.equal(granted(), 7);
});

test("without a budget there is no retry", () => {
  assert.equal(one().tryRetry(0, 60_000), false);
});

test("a budget of all allows one retry each, for ever", () => {
  assert.equal(failingFor(one(), 100, 50, 1), 5_000);
});

test("counts go on over the ends of 32-bit integers, of exchanges and of milliseconds", () => {
  const memory = new SharedArrayBuffer(serviceBytes(1));
  const words = new Int32Array(memory);
  const cells = words.length - 16;
  words[cells] = 0x7fff_fff0; // begun
  words[cells + 1] = 0x7fff_fff0; // ended
  const load = new ServiceLoad(memory, 1, 1);
  const wrapMs = 2 ** 31 - 1_000;
  for (let i = 0; i < 40; i++) load.beginExchange();
  assert.equal(load.active, 40);
  assert.equal(load.tryRetry(0.2, wrapMs), true);
  load.endRetry();
  assert.ok(failingFor(load, 2, 100, 0.2, wrapMs) >= 36);
  const idleMs = 2 ** 31 * 1.5; // longer than the difference of two such times can tell
  assert.equal(load.tryRetry(0.2, wrapMs + idleMs), true);
});

test("a worker that takes the place of a dead one releases what that held, and nothing of the others", () => {
  const memory = new SharedArrayBuffer(serviceBytes(2));
  const [first, second] = [new ServiceLoad(memory, 1, 2), new ServiceLoad(memory, 2, 2)];
  for (const load of [first, first, second]) {
    load.beginExchange();
    assert.equal(load.tryTakeSlot(10), true);
    assert.equal(load.tryRetry(0.2, 60_000), true);
  }
  assert.deepEqual([second.active, second.retries, second.slots], [3, 3, 3]);
  new ServiceLoad(memory, 1, 2);
  assert.deepEqual([second.active, second.retries, second.slots], [1, 1, 1]);
  second.endExchange();
  second.endRetry();
  second.freeSlot();
  assert.deepEqual([second.active, second.retries, second.slots], [0, 0, 0]);
});

/** Plain numbers, one worker. */
class Model {
  active = 0;
  retries = 0;
  slots = 0;
  balance = 10;
  #earned = 0;
  #sinceTrickle = 0;
  #trickledMs = -Infinity;

  begin(): void {
    this.active++;
    this.#earned++;
    this.#sinceTrickle++;
  }

  /** The balance as of now, were a retry asked for. */
  book(ratio: number, nowMs: number): void {
    const share = 1 - 0.1 * (1 - ratio) * (1 - Math.min(1, this.balance / 10));
    const most = Math.max(10, ratio * this.active);
    let next = Math.min(most, this.balance + this.#earned * ratio * share);
    if (nowMs - this.#trickledMs >= 1_000) {
      const due = (nowMs - this.#trickledMs) / 1_000 - this.#sinceTrickle * ratio;
      next = Math.max(next, Math.min(10, next + Math.max(0, due)));
      this.#trickledMs = nowMs;
      this.#sinceTrickle = 0;
    }
    this.#earned = 0;
    this.balance = next;
  }
}

type Step = { do: "begin" | "end" | "retry" | "endRetry" | "slot" | "free" | "wait"; worker: number };

function play(steps: readonly Step[], ratio: number, slotsMax: number): void {
  const all = loads();
  const model = new Model();
  const held = all.map(() => ({ active: 0, retries: 0, slots: 0 }));
  let nowMs = 10_000;
  for (const { do: what, worker } of steps) {
    const load = all[worker];
    const own = held[worker];
    if (load === undefined || own === undefined) continue;
    if (what === "wait") nowMs += 300;
    else if (what === "begin") {
      load.beginExchange();
      model.begin();
      own.active++;
    } else if (what === "end" && own.active > 0) {
      load.endExchange();
      model.active--;
      own.active--;
    } else if (what === "retry") {
      const within = model.retries < Math.max(3, ratio * model.active);
      if (within) model.book(ratio, nowMs);
      const granted = load.tryRetry(ratio, nowMs);
      // At the edge rounding may decide.
      if (!within) assert.equal(granted, false);
      else if (Math.abs(model.balance - 1) > 0.01) assert.equal(granted, model.balance >= 1);
      if (granted) {
        model.balance--;
        model.retries++;
        own.retries++;
      }
    } else if (what === "endRetry" && own.retries > 0) {
      load.endRetry();
      model.retries--;
      own.retries--;
    } else if (what === "slot") {
      assert.equal(load.tryTakeSlot(slotsMax), model.slots < slotsMax);
      if (model.slots < slotsMax) {
        model.slots++;
        own.slots++;
      }
    } else if (what === "free" && own.slots > 0) {
      load.freeSlot();
      model.slots--;
      own.slots--;
    }
    for (const each of all) {
      assert.deepEqual([each.active, each.retries, each.slots], [model.active, model.retries, model.slots]);
    }
  }
}

test("three workers on one memory are one, for every order of what they do", () => {
  const step = fc.record({
    do: fc.constantFrom("begin", "begin", "end", "retry", "retry", "endRetry", "slot", "free", "wait" as const),
    worker: fc.nat(workers - 1),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.constantFrom(0.05, 0.2, 1 / 3, 1),
      fc.integer({ min: 1, max: 9 }),
      (steps, ratio, slotsMax) => play(steps as Step[], ratio, slotsMax), // the constants above
    ),
    { numRuns: 300 },
  );
});

// Runs in each worker: waits at the gate, then takes and frees slots and retries, watching the totals.
const workerCode = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.module).then(({ ServiceLoad }) => {
  const { memory, gate, id, workers, rounds, slotsMax } = workerData;
  const load = new ServiceLoad(memory, id, workers);
  const seen = { slotsMost: 0, retriesMost: 0, taken: 0, retried: 0, exchanges: 0 };
  parentPort.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  // On until it had a slot: two threads that are not running may hold both for as long as this one asks.
  while (seen.exchanges < rounds || seen.taken === 0) {
    seen.exchanges++;
    load.beginExchange();
    const slot = load.tryTakeSlot(slotsMax);
    const retry = load.tryRetry(0.2, 50_000);
    seen.slotsMost = Math.max(seen.slotsMost, load.slots);
    seen.retriesMost = Math.max(seen.retriesMost, load.retries);
    if (slot) { seen.taken++; load.freeSlot(); }
    if (retry) { seen.retried++; load.endRetry(); }
    load.endExchange();
  }
  parentPort.postMessage(seen);
});`;

interface Seen {
  readonly slotsMost: number;
  readonly retriesMost: number;
  readonly taken: number;
  readonly retried: number;
  readonly exchanges: number;
}

test("four threads keep to one limit and one budget and leave nothing behind", async () => {
  const threads = 4;
  const rounds = 50_000;
  const memory = new SharedArrayBuffer(serviceBytes(threads));
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL("./service-load.ts", import.meta.url).href;
  const started = Array.from({ length: threads }, (_, index) => {
    const workerData = { module, memory, gate, id: index + 1, workers: threads, rounds, slotsMax: 2 };
    return new Worker(workerCode, { eval: true, workerData });
  });
  await Promise.all(started.map((worker) => once(worker, "message")));
  const results = Promise.all(started.map((worker) => once(worker, "message") as Promise<[Seen]>)); // what workerCode posts
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  const seen = (await results).map(([each]) => each);
  await Promise.all(started.map((worker) => worker.terminate()));
  const load = new ServiceLoad(memory, 0, threads);
  assert.deepEqual([load.active, load.retries, load.slots], [0, 0, 0]);
  for (const { slotsMost, retriesMost, taken } of seen) {
    assert.ok(slotsMost <= 2 && retriesMost <= 3 && taken > 0, JSON.stringify(seen));
  }
  const retried = seen.reduce((sum, each) => sum + each.retried, 0);
  const exchanges = seen.reduce((sum, each) => sum + each.exchanges, 0);
  assert.ok(retried <= exchanges * 0.2 + 10 && retried > 0, `${retried} retries`);
});
