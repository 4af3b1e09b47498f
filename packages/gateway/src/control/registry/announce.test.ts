import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../../tests/kit/clock.ts";
import type { Store } from "../store/store.ts";
import { everything, openStore, temporaryDirectory } from "../store/embedded/embedded.fixtures.ts";
import { announce, instanceKey, reportHealth, withdraw, type Announcement } from "./announce.ts";

const key = instanceKey("/services/", "users", "a:80");
const healthKey = instanceKey("/health/", "users", "a:80");
const announcement: Announcement = { status: "UP", weight: 1, ttlSeconds: 10 };

function open(t: TestContext) {
  const clock = new FakeClock();
  return { clock, store: openStore(t, temporaryDirectory(t), clock) };
}

async function stored(store: Store): Promise<Record<string, string>> {
  const { kvs } = await store.range(everything);
  return Object.fromEntries(kvs.map((kv) => [kv.key, kv.value.toString()]));
}

test("what is announced again within its time stays, and is not written again", async (t) => {
  const { clock, store } = open(t);
  assert.deepEqual(await announce(store, key, announcement), { created: true, ttlSeconds: 10 });
  const { revision } = await store.range(everything);
  for (let n = 0; n < 3; n++) {
    clock.advance(6_000);
    assert.deepEqual(await announce(store, key, announcement), { created: false, ttlSeconds: 10 });
  }
  assert.equal((await store.range(everything)).revision, revision);
  assert.deepEqual(await stored(store), { [key]: '{"status":"UP","weight":1}' });
});

test("a change is written under the same lease", async (t) => {
  const { store } = open(t);
  await announce(store, key, announcement);
  const [before] = (await store.range({ key })).kvs;
  await announce(store, key, { ...announcement, status: "DRAINING", zone: "a" });
  const [after] = (await store.range({ key })).kvs;
  assert.equal(after?.value.toString(), '{"status":"DRAINING","weight":1,"zone":"a"}');
  assert.equal(after.lease, before?.lease);
});

test("a key that somebody put without a lease gets one", async (t) => {
  const { store } = open(t);
  await store.txn({ compare: [], then: [{ type: "put", put: { key, value: Buffer.from("active") } }] });
  assert.deepEqual(await announce(store, key, announcement), { created: false, ttlSeconds: 10 });
  assert.notEqual((await store.range({ key })).kvs[0]?.lease, "0");
});

test("two that announce the same instance at the same time leave it announced", async (t) => {
  const { store } = open(t);
  const ends = await Promise.all([announce(store, key, announcement), announce(store, key, announcement)]);
  assert.deepEqual(ends.map(({ created }) => created).sort(), [false, true]);
  assert.notEqual((await store.range({ key })).kvs[0]?.lease, "0");
});

test("a health report is there as long as the instance", async (t) => {
  const { store } = open(t);
  assert.equal(await reportHealth(store, key, healthKey, { status: "UP" }), false);
  await announce(store, key, announcement);
  assert.equal(await reportHealth(store, key, healthKey, { status: "UP" }), true);
  const { kvs } = await store.range(everything);
  assert.deepEqual(
    kvs.map((kv) => kv.lease),
    [kvs[0]?.lease, kvs[0]?.lease],
  );
  assert.equal(await withdraw(store, key, healthKey), true);
  assert.deepEqual(await stored(store), {});
  assert.equal(await withdraw(store, key, healthKey), false);
});
