import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { instanceBytes, instanceLayout } from "../memory.ts";
import { InstanceLoad } from "./instance-load.ts";

const memoryFor = (workers: number): SharedArrayBuffer => new SharedArrayBuffer(instanceBytes(workers));

/** A load whose only request so far took `rttMs`, at time 0. */
function loadAfter(rttMs: number): InstanceLoad {
  const load = new InstanceLoad(memoryFor(1), 1, 1);
  load.begin(0);
  load.observe(rttMs, 0);
  load.end(true);
  return load;
}

const about = (actual: number, expected: number): void => {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.max(1, expected), `${actual} is not ${expected}`);
};

test("an instance that nothing is known of costs nothing until its first request, then as much as one of a second", () => {
  const load = new InstanceLoad(memoryFor(1), 1, 1);
  assert.equal(load.cost(0), 0);
  load.begin(0);
  assert.equal(load.cost(0), 2_000);
  load.observe(5, 5);
  about(load.cost(5), 10);
  load.end(true);
  assert.equal(load.cost(5), 5);
});

test("a slower answer raises the latency by an eighth of the difference, a faster one lowers it by half of that", () => {
  const load = loadAfter(80);
  const answer = (rttMs: number, nowMs: number): number => {
    load.begin(nowMs);
    load.observe(rttMs, nowMs);
    load.end(true);
    return load.latencyMs(nowMs);
  };
  about(answer(160, 0), 90);
  about(answer(10, 0), 85);
  about(answer(85, 0), 85);
  // After a pause that forgets most of what was, an answer is most of what is known.
  about(answer(10, 20_000), 85 * Math.exp(-2) + 10 * (1 - Math.exp(-2)));
});

test("one slow answer in a hundred does not make an instance look like one that is five times slower", () => {
  const load = loadAfter(5);
  let most = 0;
  let sum = 0;
  for (let i = 1; i <= 10_000; i++) {
    load.begin(i);
    load.observe(i % 100 === 0 ? 60 : 5, i);
    load.end(true);
    most = Math.max(most, load.latencyMs(i));
    sum += load.latencyMs(i);
  }
  assert.ok(most < 13, `${most}`);
  assert.ok(sum / 10_000 < 7, `${sum / 10_000}`);
});

test("without requests the latency decays by e in ten seconds", () => {
  const load = loadAfter(200);
  about(load.latencyMs(10_000), 200 / Math.E);
  about(load.latencyMs(30_000), 200 / Math.E ** 3);
});

test("of an instance that was slow and idle, one request finds out; until its answer it costs what it did", () => {
  const load = loadAfter(200);
  assert.ok(load.cost(60_000) < 1);
  load.begin(60_000);
  about(load.cost(60_000), 400);
  load.observe(5, 60_005);
  load.end(true);
  assert.ok(load.latencyMs(60_005) < 6);
  load.begin(60_006);
  assert.ok(load.cost(60_006) < 12);
});

test("a stream that runs on does not keep an instance from being forgotten as slow", () => {
  const load = loadAfter(200);
  load.begin(0);
  load.observe(200, 0);
  about(load.cost(10_000), (2 * 200) / Math.E);
});

test("uploads to an instance that never answered count as slow as a second each", () => {
  const load = new InstanceLoad(memoryFor(1), 1, 1);
  load.begin(0, true);
  assert.equal(load.awaiting(), 0);
  assert.equal(load.cost(5_000), 2_000);
  load.sent(5_000);
  assert.equal(load.cost(5_500), 2_000);
  assert.equal(load.cost(7_000), 4_000);
});

test("what was given up on counts as slower than it waited, and never as faster", () => {
  const load = loadAfter(80);
  load.gaveUp(10, 0);
  about(load.latencyMs(0), 80);
  load.gaveUp(160, 0);
  about(load.latencyMs(0), 90);
  const fresh = new InstanceLoad(memoryFor(1), 1, 1);
  fresh.gaveUp(160, 0);
  about(fresh.latencyMs(0), 160);
});

test("silence counts from the moment something waits for a head, once it is longer than the latency", () => {
  const load = loadAfter(5);
  load.begin(1_000);
  load.begin(1_003);
  about(load.cost(1_005), 15);
  about(load.cost(1_020), 60);
  load.observe(5, 1_020);
  about(load.cost(1_020), 15);
  about(load.cost(1_030), 30);
});

test("silence does not count while bodies stream, and not after the client went away", () => {
  const load = loadAfter(5);
  load.begin(0);
  load.observe(5, 0);
  assert.equal(load.awaiting(), 0);
  about(load.cost(2_000), 10 * Math.exp(-0.2));
  load.begin(2_000);
  assert.equal(load.awaiting(), 1);
  about(load.cost(2_100), 300);
  load.end(false);
  about(load.cost(4_000), 10 * Math.exp(-0.4));
  assert.equal(load.active(), 1);
});

/** Failures of one attempt each, one after the other. */
function fail(load: InstanceLoad, times: number, rttMs = 1, retryAfterMs?: number): void {
  for (let i = 0; i < times; i++) {
    load.begin(0);
    load.penalize(retryAfterMs, rttMs, 0);
    load.end(false);
  }
}

test("the fourth failure in a row counts as five seconds", () => {
  const load = loadAfter(5);
  fail(load, 3);
  assert.ok(load.latencyMs(0) > 10 && load.latencyMs(0) < 15, `${load.latencyMs(0)}`);
  fail(load, 1);
  about(load.latencyMs(0), 5_000);
  about(load.latencyMs(5_000), 5_000 / Math.E);
});

test("the first failure counts as five seconds of an instance that never answered", () => {
  const load = new InstanceLoad(memoryFor(1), 1, 1);
  fail(load, 1);
  about(load.latencyMs(0), 5_000);
});

test("a failure now and then makes an instance look a little slower", () => {
  const load = loadAfter(5);
  for (let i = 0; i < 100; i++) {
    fail(load, 1);
    for (let ok = 0; ok < 9; ok++) {
      load.begin(0);
      load.observe(5, 0);
      load.end(true);
    }
    assert.ok(load.latencyMs(0) >= 5 && load.latencyMs(0) < 8);
  }
});

test("a failure counts as what it took and as the Retry-After of up to five minutes, which lasts as long as it says", () => {
  for (const [retryAfterMs, rttMs, expected] of [
    [undefined, 15_000, 15_000],
    [1_000, 1, 5_000],
    [60_000, 1, 60_000],
    [60_000, 70_000, 70_000],
    [3_600_000, 1, 300_000],
  ] as const) {
    const load = loadAfter(5);
    fail(load, 1, rttMs, retryAfterMs);
    about(load.latencyMs(0), expected);
    const fadesFromMs = Math.max(0, Math.min(retryAfterMs ?? 0, 300_000) - 25_000);
    about(load.latencyMs(fadesFromMs), expected);
    about(load.latencyMs(fadesFromMs + 5_000), expected / Math.E);
    fail(load, 1);
    about(load.latencyMs(fadesFromMs), expected);
  }
});

test("a failure never makes an instance look faster, and the next answer takes it back", () => {
  const load = loadAfter(20_000);
  fail(load, 4);
  assert.ok(load.latencyMs(0) >= 20_000);

  const other = loadAfter(5);
  other.begin(0);
  fail(other, 4);
  about(other.latencyMs(1, 0), 5_000 * Math.exp(-1 / 5_000));
  other.observe(5, 2);
  assert.ok(other.latencyMs(2) < 15);
});

test("a clock read earlier than another thread's changes nothing", () => {
  const load = loadAfter(5);
  load.begin(0);
  about(load.latencyMs(-1), 5);
  fail(load, 4);
  about(load.latencyMs(-1), 5_000);
});

test("each worker counts in its own cell, all see the sum, and one that takes a dead one's place starts from nothing", () => {
  const workers = 4;
  const operation = fc.record({
    worker: fc.integer({ min: 1, max: workers }),
    do: fc.constantFrom("begin", "head", "fail", "end", "die"),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const memory = memoryFor(workers);
      const views = Array.from({ length: workers + 1 }, (_, id) => new InstanceLoad(memory, id, workers));
      // Of each worker, its attempts: whether the head has come.
      const model = views.map((): boolean[] => []);
      for (const { worker, do: what } of operations) {
        const view = views[worker] as InstanceLoad; // there is one for each, as there is a model
        const attempts = model[worker] as boolean[];
        if (what === "die") {
          views[worker] = new InstanceLoad(memory, worker, workers);
          model[worker] = [];
        } else if (what === "begin") {
          view.begin(0);
          attempts.push(false);
        } else if (what === "end") {
          const observed = attempts.shift();
          if (observed !== undefined) view.end(observed);
        } else {
          const waiting = attempts.indexOf(false);
          if (waiting < 0) continue;
          if (what === "fail") view.penalize(undefined, 1, 0);
          else {
            view.observe(1, 0);
            attempts[waiting] = true;
          }
        }
        for (const reader of views) {
          assert.equal(reader.active(), model.flat().length);
          assert.equal(reader.awaiting(), model.flat().filter((observed) => !observed).length);
        }
      }
    }),
  );
});

test("nothing outside the load's parts of the memory is written", () => {
  const workers = 3;
  const memory = memoryFor(workers);
  const bytes = new Uint8Array(memory).fill(0xa5);
  new Float64Array(memory, instanceLayout.load, 8).fill(0);
  const load = new InstanceLoad(memory, 2, workers);
  load.begin(1);
  load.observe(1.5, 2);
  load.penalize(1, 2, 3);
  load.end(true);
  const ownCell = instanceLayout.workers + 2 * 8;
  for (const [at, byte] of bytes.entries()) {
    const inLoad = at >= instanceLayout.load && at < instanceLayout.load + 64;
    const inCell = at >= ownCell && at < ownCell + 8;
    if (!inLoad && !inCell) assert.equal(byte, 0xa5, `byte ${at}`);
  }
});

// Runs in each worker: waits at the gate, then counts; the last one is ended in the midst of it.
const workerCode = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.module).then(({ InstanceLoad }) => {
  const { memory, gate, id, workers, rounds } = workerData;
  const load = new InstanceLoad(memory, id, workers);
  parentPort.postMessage("ready");
  Atomics.wait(gate, 0, 0);
  for (let i = 0; i < rounds; i++) {
    load.begin(i);
    load.begin(i);
    load.observe(5, i);
    load.end(true);
    if (i % 100 === 0) load.begin(i);
    load.end(false);
  }
  parentPort.postMessage("done");
});`;

test("threads count on one memory exactly, and one that is ended leaves nothing to its successor", async () => {
  const threads = 4;
  const rounds = 30_000;
  const memory = memoryFor(threads);
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL("./instance-load.ts", import.meta.url).href;
  const started = Array.from({ length: threads }, (_, index) => {
    const endless = index === threads - 1;
    const workerData = { module, memory, gate, id: index + 1, workers: threads, rounds: endless ? Infinity : rounds };
    return new Worker(workerCode, { eval: true, workerData });
  });
  await Promise.all(started.map((worker) => once(worker, "message")));
  const finished = Promise.all(started.slice(0, -1).map((worker) => once(worker, "message")));
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  await finished;
  await Promise.all(started.map((worker) => worker.terminate()));
  const load = new InstanceLoad(memory, threads, threads);
  const left = (threads - 1) * Math.ceil(rounds / 100);
  assert.equal(load.active(), left);
  assert.equal(load.awaiting(), left);
  about(load.latencyMs(0, 0), 5);
});
