import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, seededRandom } from "../../../../../../tests/kit/clock.ts";
import { assertRefused, get, put } from "../store.fixtures.ts";
import { everything, openStore, temporaryDirectory, timersOf } from "./embedded.fixtures.ts";
import { leaseId, Leases, randomId } from "./leases.ts";
import type { LeaseEntry } from "./leases.ts";

test("after a restart every lease has its whole time again", async (t) => {
  const clock = new FakeClock();
  const directory = temporaryDirectory(t);
  const first = openStore(t, directory, clock);
  const { id } = await first.grant(10);
  await put(first, "a", "1", { lease: id });
  clock.advance(9_000);
  await first.close();
  const second = openStore(t, directory, clock);
  assert.deepEqual(await second.lease(id), { ttlSeconds: 10, grantedSeconds: 10, keys: ["a"] });
  clock.advance(9_900);
  assert.ok(await get(second, "a"));
  clock.advance(200);
  await second.txn({ compare: [], then: [] });
  assert.equal(await get(second, "a"), undefined);
  await second.close();
  assert.deepEqual(openStore(t, directory, clock).leases(), []);
});

test("the keys of a lease are deleted in their order, however they were put", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock());
  const { id } = await store.grant(10);
  for (const key of ["c", "a", "b"]) await put(store, key, "1", { lease: id });
  const from = store.revision + 1;
  await store.revoke(id);
  const [deletion] = store.history({ ...everything, from, revisionsMax: 10 }).revisions;
  assert.deepEqual(deletion?.events.map(({ kv }) => kv.key), ["a", "b", "c"]); // prettier-ignore
});

test("a lease that was revoked and granted again in one turn is there after a restart", async (t) => {
  const clock = new FakeClock();
  const directory = temporaryDirectory(t);
  const store = openStore(t, directory, clock);
  await store.grant(10, "7");
  await Promise.all([store.revoke("7"), store.grant(20, "7")]);
  await store.close();
  assert.equal((await openStore(t, directory, clock).lease("7")).grantedSeconds, 20);
});

test("ids are chosen when none is given, and what is no 64-bit number is refused", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock());
  const ids = new Set<string>();
  for (let n = 0; n < 20; n++) ids.add((await store.grant(10)).id);
  assert.equal(ids.size, 20);
  for (const id of ids) assert.ok(BigInt(id) > 0n && BigInt(id) < 1n << 63n, id);
  assert.deepEqual(new Set(store.leases()), ids);
  for (const id of ["9223372036854775808", "-9223372036854775809", "x", "", "1e3"]) {
    await assertRefused(store.grant(10, id), "invalid");
  }
  assert.equal((await store.grant(10, "-9223372036854775808")).id, "-9223372036854775808");
  await assertRefused(store.grant(9_000_000_001), "invalid");
  await assertRefused(store.grant(NaN), "invalid");
  assert.equal((await store.grant(-5)).ttlSeconds, 2);
});

test("numbers are drawn over all their bits and written without leading zeros", () => {
  const random = seededRandom(1);
  const drawn = Array.from({ length: 200 }, () => BigInt(randomId(random, 64)));
  assert.ok(drawn.some((id) => id >= 1n << 63n));
  assert.ok(drawn.every((id) => id > 0n && id < 1n << 64n));
  assert.equal(
    randomId(() => 0, 64),
    "1",
  );
  assert.equal(leaseId("007"), "7");
});

test("leases do not end because the process stood still, and do end when it did not", () => {
  const clock = new FakeClock();
  const ended: string[] = [];
  let tick = (): void => undefined;
  const leases: Leases = new Leases({
    clock,
    random: seededRandom(1),
    timers: {
      ...timersOf(clock),
      every(_intervalMs, action) {
        tick = action;
        return () => undefined;
      },
    },
    expired: (lease: LeaseEntry) => {
      ended.push(lease.id);
      leases.remove(lease);
    },
  });
  const lease = leases.grant(5, "1");
  clock.advance(100);
  tick();
  clock.advance(60_000);
  tick();
  assert.deepEqual(ended, []);
  assert.equal(leases.secondsLeft(lease), 4);
  for (let ms = 0; ms < 4_700; ms += 100) {
    clock.advance(100);
    tick();
  }
  assert.deepEqual(ended, []);
  clock.advance(100);
  tick();
  assert.deepEqual(ended, ["1"]);
});

test("timers run only while there are leases", async (t) => {
  const clock = new FakeClock();
  const store = openStore(t, temporaryDirectory(t), clock);
  const idle = clock.pending;
  const { id } = await store.grant(10);
  await store.grant(10);
  assert.equal(clock.pending, idle + 1);
  await store.revoke(id);
  clock.advance(11_000);
  assert.equal(clock.pending, idle);
  await store.close();
  assert.equal(clock.pending, 0);
});
