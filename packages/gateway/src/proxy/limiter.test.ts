import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import type { Clock } from "../core/clock.ts";
import { createLimiterMemory, SharedLimiter } from "./limiter.ts";

class ManualClock implements Clock {
  ms = 5_000_000;
  now = (): number => this.ms;
  wall = (): number => this.ms;
}

const seed = 0x0123456789abcdefn;
const headerWords = 8;

function limiter(entries = 1024): { limiter: SharedLimiter; clock: ManualClock; memory: SharedArrayBuffer } {
  const clock = new ManualClock();
  const memory = createLimiterMemory(entries, seed);
  return { limiter: new SharedLimiter(memory, clock), clock, memory };
}

test("lets the burst through at once, then one cell per increment", () => {
  const { limiter: state, clock } = limiter();
  const take = () => state.take("k", 10_000, 30_000);
  assert.deepEqual(
    [take(), take(), take()].map(({ allowed, remaining }) => [allowed, remaining]),
    [
      [true, 2],
      [true, 1],
      [true, 0],
    ],
  );
  assert.deepEqual(take(), { allowed: false, remaining: 0, retryAfterUs: 10_000, resetAfterUs: 30_000 });
  clock.ms += 9.999;
  assert.equal(take().allowed, false);
  clock.ms += 0.001;
  assert.deepEqual(take(), { allowed: true, remaining: 0, retryAfterUs: 0, resetAfterUs: 30_000 });
  clock.ms += 1000;
  assert.equal(take().remaining, 2);
});

test("a refused cell costs nothing", () => {
  const { limiter: state, clock } = limiter();
  assert.equal(state.take("k", 10_000, 10_000).allowed, true);
  for (let i = 0; i < 100; i++) assert.equal(state.take("k", 10_000, 10_000).allowed, false);
  clock.ms += 10;
  assert.equal(state.take("k", 10_000, 10_000).allowed, true);
});

for (const [limit, perUs, burst] of [
  [3, 1e6, 3],
  [7, 1e6, 7],
  [700_000, 1e6, 1000],
  [1e7, 1e6, 50],
  [1, 86_400e6, 2],
  [999, 60e6, 999],
] as const) {
  test(`the burst is exact at ${limit} per ${perUs / 1e6} s`, () => {
    const { limiter: state } = limiter();
    let passed = 0;
    for (let i = 0; i < burst + 10; i++) {
      if (state.take("k", perUs / limit, (perUs / limit) * burst).allowed) passed++;
    }
    assert.equal(passed, burst);
  });
}

test("keys do not share", () => {
  const { limiter: state } = limiter();
  for (let i = 0; i < 500; i++) assert.equal(state.take(`key ${i}`, 1e6, 1e6).allowed, true);
  for (let i = 0; i < 500; i++) assert.equal(state.take(`key ${i}`, 1e6, 1e6).allowed, false);
  assert.equal(state.evictions, 0);
});

test("expired entries are reused and count as no eviction", () => {
  const { limiter: state, clock } = limiter(16);
  for (let i = 0; i < 1000; i++) {
    assert.equal(state.take(`key ${i}`, 1000, 1000).allowed, true);
    assert.equal(state.take(`key ${i}`, 1000, 1000).allowed, false);
    clock.ms += 1;
  }
  assert.equal(state.evictions, 0);
});

test("a full window evicts the entry soonest to expire and counts it", () => {
  const { limiter: state } = limiter(16);
  for (let i = 0; i < 16; i++) state.take(`key ${i}`, 1e6 * (i + 1), 1e6 * (i + 1));
  assert.equal(state.evictions, 0);
  assert.equal(state.take("one more", 1e9, 1e9).allowed, true);
  assert.equal(state.evictions, 1);
  for (let i = 1; i < 16; i++) assert.equal(state.take(`key ${i}`, 1e6 * (i + 1), 1e6 * (i + 1)).allowed, false);
  assert.equal(state.evictions, 1);
});

for (const [name, bits] of [
  ["pending", 2n],
  ["retiring", 3n],
] as const) {
  test(`a table of ${name} slots, left by workers that died, is usable`, () => {
    const { limiter: state, memory } = limiter(16);
    const keys = new BigInt64Array(memory, headerWords * 8, 16);
    for (let i = 0; i < 16; i++) keys[i] = (BigInt(i + 1) << 8n) | bits;
    assert.equal(state.take("k", 1e6, 1e6).allowed, true);
    assert.equal(state.take("k", 1e6, 1e6).allowed, false);
  });
}

for (const [name, bits] of [
  ["claimed", 1n],
  ["began to retire", 2n],
] as const) {
  test(`a key whose slot a dead worker ${name} is found again`, () => {
    const { limiter: state, memory } = limiter(16);
    state.take("k", 1e6, 1e6);
    const keys = new BigInt64Array(memory, headerWords * 8, 16);
    const at = keys.findIndex((word) => word !== 0n);
    keys[at] = (keys[at] ?? 0n) + bits;
    assert.equal(state.take("k", 1e6, 1e6).allowed, false);
  });
}

test("agrees with a sequential oracle and never passes more than burst + rate × t in any interval", () => {
  const steps = fc.array(fc.record({ waitUs: fc.integer({ min: 0, max: 30_000 }), key: fc.nat(3) }), {
    maxLength: 200,
  });
  const limits = fc.record({ limit: fc.integer({ min: 1, max: 5000 }), burst: fc.integer({ min: 1, max: 20 }) });
  fc.assert(
    fc.property(steps, limits, (sequence, { limit, burst }) => {
      const { limiter: state, clock } = limiter(64);
      const incrementNs = BigInt(Math.ceil(1e9 / limit));
      const arrivals = new Map<number, bigint>();
      const passed = new Map<number, bigint[]>();
      for (const { waitUs, key } of sequence) {
        clock.ms += waitUs / 1000;
        const now = BigInt(Math.round(clock.ms * 1e6));
        const arrival = arrivals.get(key) ?? 0n;
        const next = (arrival > now ? arrival : now) + incrementNs;
        const expected = next - now <= incrementNs * BigInt(burst);
        if (expected) {
          arrivals.set(key, next);
          passed.set(key, [...(passed.get(key) ?? []), now]);
        }
        const { allowed } = state.take(`key ${key}`, 1e6 / limit, (1e6 / limit) * burst);
        assert.equal(allowed, expected);
      }
      for (const times of passed.values()) {
        for (const [i, from] of times.entries()) {
          for (const [offset, to] of times.slice(i).entries()) {
            assert.ok(offset + 1 <= burst + Number(to - from) / Number(incrementNs));
          }
        }
      }
    }),
    { numRuns: 200 },
  );
});

// Runs in each worker: waits at the gate, then takes `rounds` times from each key and reports what passed of each.
const workerCode = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.module).then(({ SharedLimiter }) => {
  const limiter = new SharedLimiter(workerData.memory, { now: () => workerData.nowMs, wall: () => 0 });
  const passed = new Array(workerData.keys).fill(0);
  parentPort.postMessage("ready");
  Atomics.wait(workerData.gate, 0, 0);
  for (let key = 0; key < workerData.keys; key++) {
    for (let i = 0; i < workerData.rounds; i++) {
      if (limiter.take("key " + key, 1e6, 1e6 * workerData.burst).allowed) passed[key]++;
    }
  }
  parentPort.postMessage(passed);
});`;

async function contend(memory: SharedArrayBuffer, keys: number, rounds: number, burst: number, nowMs: number) {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL("./limiter.ts", import.meta.url).href;
  const workers = Array.from(
    { length: 4 },
    () => new Worker(workerCode, { eval: true, workerData: { module, memory, gate, keys, rounds, burst, nowMs } }),
  );
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const results = Promise.all(workers.map((worker) => once(worker, "message") as Promise<[number[]]>)); // what workerCode posts
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  const passed = (await results).map(([counts]) => counts);
  await Promise.all(workers.map((worker) => worker.terminate()));
  return Array.from({ length: keys }, (_, key) => passed.reduce((sum, counts) => sum + (counts[key] ?? 0), 0));
}

test("four threads on one key pass exactly the burst", async () => {
  const { memory, clock } = limiter();
  assert.deepEqual(await contend(memory, 1, 50_000, 30_000, clock.ms), [30_000]);
});

test("four threads inserting the same keys at once pass exactly the burst of each", async () => {
  const { memory, clock } = limiter(8192);
  const passed = await contend(memory, 3000, 4, 5, clock.ms);
  assert.deepEqual(new Set(passed), new Set([5]));
});

test("four threads inserting the same keys over expired entries pass exactly the burst of each", async () => {
  const { limiter: state, memory, clock } = limiter(8192);
  for (let i = 0; i < 6000; i++) state.take(`old ${i}`, 1000, 1000);
  const before = state.evictions;
  const passed = await contend(memory, 3000, 4, 5, clock.ms + 1000);
  assert.deepEqual(new Set(passed), new Set([5]));
  assert.equal(state.evictions, before);
});

test("refuses a number of entries that is not a power of two", () => {
  for (const entries of [0, 8, 100]) assert.throws(() => createLimiterMemory(entries), RangeError);
});
