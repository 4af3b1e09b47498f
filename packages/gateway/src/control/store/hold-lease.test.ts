import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import { silentLog } from "../../core/log.ts";
import type { Timers } from "../../core/timers.ts";
import { holdLease, type HeldEntry, type HeldLease } from "./hold-lease.ts";
import { keyOf } from "./keys.ts";
import { StoreError, type Lease, type Operation, type Store, type Txn, type TxnResult } from "./store.ts";

/** Grants, keeps and ends leases as told; remembers what was asked. */
class LeaseStore implements Pick<Store, "grant" | "keepAlive" | "revoke" | "txn"> {
  readonly asked: string[] = [];
  readonly keys = new Map<string, string>();
  readonly #clock: FakeClock;
  readonly #ends = new Map<string, number>();
  ttlSeconds = 9;
  /** What calls reject with, while it is set. */
  failure: StoreError | undefined;
  #last = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  grant(ttlSeconds: number): Promise<Lease> {
    return this.#do(`grant ${ttlSeconds}`, () => {
      const id = String(++this.#last);
      this.#ends.set(id, this.#clock.now() + this.ttlSeconds * 1000);
      return { id, ttlSeconds: this.ttlSeconds };
    });
  }

  keepAlive(id: string): Promise<number> {
    return this.#do(`keep ${id}`, () => {
      if (!this.has(id)) return 0;
      this.#ends.set(id, this.#clock.now() + this.ttlSeconds * 1000);
      return this.ttlSeconds;
    });
  }

  revoke(id: string): Promise<void> {
    return this.#do(`revoke ${id}`, () => this.end(id));
  }

  txn(txn: Txn): Promise<TxnResult> {
    return this.#do(txn.then.map(textOfOperation).join(", "), () => {
      for (const operation of txn.then) {
        if (operation.type === "delete") this.keys.delete(operation.delete.key);
        if (operation.type !== "put") continue;
        const { key, value, lease = "0" } = operation.put;
        if (!this.has(lease)) throw new StoreError("lease-not-found", "there is no such lease");
        this.keys.set(key, `${value.toString()} ${lease}`);
      }
      return { succeeded: true, revision: 2, responses: [] };
    });
  }

  has(id: string): boolean {
    return (this.#ends.get(id) ?? 0) > this.#clock.now();
  }

  /** As an expiry or another store with the same name does it. */
  end(id: string): void {
    this.#ends.delete(id);
    for (const [key, value] of this.keys) if (value.endsWith(` ${id}`)) this.keys.delete(key);
  }

  #do<T>(what: string, act: () => T): Promise<T> {
    this.asked.push(what);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve) => resolve(act()));
  }
}

function textOfOperation(operation: Operation): string {
  if (operation.type === "put") return `put ${operation.put.key}=${operation.put.value.toString()}`;
  return operation.type === "delete" ? `delete ${operation.delete.key}` : operation.type;
}

interface Bench {
  readonly clock: FakeClock;
  readonly store: LeaseStore;
  readonly held: (readonly [boolean, string])[];
  readonly lease: HeldLease;
  entries: Record<string, string>;
  /** Moves time in steps, letting the answers in between. */
  pass(ms: number): Promise<void>;
}

const unreachable = new StoreError("unreachable", "etcd cannot be reached");

async function hold(t: TestContext, entries: Record<string, string>, failure?: StoreError): Promise<Bench> {
  const clock = new FakeClock();
  const timers: Timers = {
    after(delayMs, action) {
      const id = clock.setTimeout(action, delayMs);
      return () => clock.clearTimeout(id);
    },
    every: () => () => undefined,
  };
  const store = new LeaseStore(clock);
  store.failure = failure;
  const held: (readonly [boolean, string])[] = [];
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  const bench = { clock, store, held, entries };
  const lease = holdLease({
    // It asks for nothing else of a store.
    store: store as unknown as Store,
    ttlSeconds: 9,
    put: (): HeldEntry[] =>
      Object.entries(bench.entries).map(([key, value]) => ({ key: keyOf(key), value: Buffer.from(value) })),
    onHeld: (now, reason) => held.push([now, reason]),
    clock,
    timers,
    random: () => 0.5,
    log: silentLog,
  });
  t.after(() => {
    store.failure = undefined;
    return lease.release();
  });
  await settle();
  return Object.assign(bench, {
    lease,
    async pass(ms: number): Promise<void> {
      for (let passed = 0; passed < ms; passed += 50) {
        clock.advance(50);
        await settle();
      }
    },
  });
}

test("a held lease has its keys at once and is kept alive every third of its time", async (t) => {
  const { store, pass, held } = await hold(t, { a: "1", b: "2" });
  assert.deepEqual(store.asked.splice(0), ["grant 9", "put a=1, put b=2"]);
  await pass(2_950);
  assert.deepEqual(store.asked, []);
  await pass(50);
  assert.deepEqual(store.asked, ["keep 1"]);
  await pass(30_000);
  assert.deepEqual([...store.keys], [["a", "1 1"], ["b", "2 1"]]); // prettier-ignore
  assert.deepEqual(held, [[true, "the lease is held"]]);
});

test("a lease that the store has ended is replaced, and its keys are put again", async (t) => {
  const bench = await hold(t, { a: "1" });
  bench.store.end("1");
  bench.entries = { a: "2" };
  await bench.pass(4_000);
  assert.deepEqual(bench.store.asked.slice(2, 5), ["keep 1", "grant 9", "put a=2"]);
  assert.equal(bench.store.keys.get("a"), "2 2");
  assert.deepEqual(bench.held.map(([held]) => held), [true, false, true]); // prettier-ignore
});

test("a put under a lease that is gone leads to another lease", async (t) => {
  const bench = await hold(t, { a: "1" });
  bench.store.end("1");
  bench.entries = { a: "2" };
  bench.lease.update();
  await bench.pass(1_000);
  assert.equal(bench.store.keys.get("a"), "2 2");
});

test("while the store is away the lease counts as held for its whole time and as lost after it", async (t) => {
  const { store, pass, held } = await hold(t, { a: "1" });
  store.failure = unreachable;
  await pass(8_900);
  assert.deepEqual(held.map(([now]) => now), [true]); // prettier-ignore
  assert.ok(store.asked.length > 5, "it keeps trying");
  await pass(100);
  assert.deepEqual(held.map(([now]) => now), [true, false]); // prettier-ignore
  assert.match(held[1]?.[1] ?? "", /not reached/);
  await pass(60_000);
  const tries = store.asked.length;
  await pass(60_000);
  assert.ok(store.asked.length - tries < 60, `${store.asked.length - tries} tries in a minute`);
  store.failure = undefined;
  await pass(2_000);
  assert.equal(store.keys.get("a"), "1 2");
  assert.equal(held.at(-1)?.[0], true);
});

test("a short outage costs neither the lease nor the keys", async (t) => {
  const { store, pass, held } = await hold(t, { a: "1" });
  await pass(2_900);
  store.failure = unreachable;
  await pass(3_000);
  store.failure = undefined;
  await pass(2_000);
  assert.equal(store.asked.at(-1), "keep 1");
  assert.deepEqual(held.map(([now]) => now), [true]); // prettier-ignore
});

test("an update writes what changed, deletes what is no more, and leaves the rest", async (t) => {
  const bench = await hold(t, { a: "1", b: "1", c: "1" });
  bench.store.asked.length = 0;
  bench.entries = { a: "1", b: "2", d: "" };
  bench.lease.update();
  bench.lease.update();
  await bench.pass(50);
  assert.deepEqual(bench.store.asked, ["put b=2, put d=, delete c"]);
  bench.lease.update();
  await bench.pass(50);
  assert.equal(bench.store.asked.length, 1);
});

test("an update whose outcome is not known writes everything again", async (t) => {
  const bench = await hold(t, { a: "1", b: "" });
  bench.store.failure = unreachable;
  bench.entries = { a: "2", b: "" };
  bench.lease.update();
  await bench.pass(100);
  bench.store.failure = undefined;
  await bench.pass(1_000);
  assert.equal(bench.store.asked.at(-1), "put a=2, put b=");
});

test("updates that never cease do not keep the lease from being kept alive", async (t) => {
  const bench = await hold(t, { a: "0" });
  for (let n = 1; n <= 60; n++) {
    bench.entries = { a: String(n) };
    bench.lease.update();
    await bench.pass(500);
  }
  assert.equal(bench.store.keys.get("a"), "60 1");
});

test("more keys than a transaction takes are put in several", async (t) => {
  const entries = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${n}`, "1"]));
  const { store } = await hold(t, entries);
  assert.equal(store.keys.size, 300);
  assert.deepEqual(store.asked.slice(1).map((text) => text.split(", ").length), [128, 128, 44]); // prettier-ignore
});

test("a release ends the lease and its keys, also while a step is under way and when called twice", async (t) => {
  const bench = await hold(t, { a: "1" });
  bench.lease.update();
  await Promise.all([bench.lease.release(), bench.lease.release()]);
  assert.equal(bench.store.keys.size, 0);
  await bench.pass(30_000);
  assert.deepEqual(bench.store.asked.filter((text) => text.startsWith("revoke")), ["revoke 1"]); // prettier-ignore
  assert.equal(bench.store.asked.at(-1), "revoke 1");
  assert.equal(bench.clock.pending, 0);
});

test("a release while the store is away gives up without an error", async (t) => {
  const bench = await hold(t, { a: "1" });
  bench.store.failure = unreachable;
  await bench.lease.release();
  assert.equal(bench.clock.pending, 0);
});

test("a holder that begins while the store is away says so and puts its keys when it is back", async (t) => {
  const bench = await hold(t, { a: "1" }, unreachable);
  assert.deepEqual(bench.held, [[false, "etcd cannot be reached"]]);
  bench.store.failure = undefined;
  await bench.pass(2_000);
  await waitFor(() => bench.store.keys.get("a") === "1 1");
  assert.equal(bench.held.at(-1)?.[0], true);
});
