import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { FakeStore } from "../../../../../tests/kit/fake-store.ts";
import { fakeTimers, pass, settled } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

async function open(t: TestContext, count = 0, given: Partial<RegistryOptions> = {}) {
  const clock = new FakeClock();
  const store = new FakeStore(clock);
  const changes: string[][] = [];
  const warnings: string[] = [];
  for (let n = 0; n < count; n++) store.put(`/services/users/a${n}:80`, "active");
  const registry = new Registry({
    ...{ store, prefix: "/services/", clock, timers: fakeTimers(clock), random: seededRandom(1) },
    log: { ...silentLog, warn: (_fields, message) => void warnings.push(message) },
    onChange: (services) => void changes.push([...services]),
    onSynced: () => undefined,
    ...given,
  });
  t.after(() => registry.stop());
  registry.start();
  await settled();
  const shown = (service = "users"): string[] =>
    registry
      .instances(service)
      .map(({ address, status, heldSinceMs }) => `${address} ${status}${heldSinceMs === undefined ? "" : " held"}`)
      .sort();
  const remove = (...numbers: number[]): void => {
    store.commit(numbers.map((n) => ({ type: "delete", delete: { key: `/services/users/a${n}:80` } })));
  };
  return { clock, store, registry, changes, warnings, shown, remove };
}

test("instances come, change and go with their keys", async (t) => {
  const { store, shown, changes, registry } = await open(t, 1);
  assert.deepEqual(shown(), ["a0:80 UP"]);
  store.put("/services/orders/b:1", '{"status":"DOWN","weight":7}');
  assert.deepEqual(shown("orders"), ["b:1 DOWN"]);
  assert.deepEqual([...registry.services()].sort(), ["orders", "users"]);
  store.delete("/services/orders/b:1");
  assert.deepEqual(shown("orders"), []);
  assert.deepEqual(registry.services(), ["users"]);
  assert.deepEqual(changes, [["users"], ["orders"], ["orders"]]);
});

test("a value that makes no sense leaves the last good one, and is told until it is mended", async (t) => {
  const { store, shown, registry } = await open(t, 1);
  store.put("/services/users/a0:80", '{"weight":"much"}');
  assert.deepEqual(shown(), ["a0:80 UP"]);
  assert.deepEqual(
    registry.problems().map(({ key }) => key),
    ["/services/users/a0:80"],
  );
  store.put("/services/users/a0:80", '{"status":"DOWN"}');
  assert.deepEqual([shown(), registry.problems()], [["a0:80 DOWN"], []]);
});

test("fewer than most that vanish are believed at once", async (t) => {
  const { remove, shown, warnings } = await open(t, 4);
  remove(0, 1);
  assert.deepEqual(shown(), ["a2:80 UP", "a3:80 UP"]);
  assert.deepEqual(warnings, []);
});

test("one that vanishes alone is believed, also where it is the only one", async (t) => {
  const { remove, shown } = await open(t, 1);
  remove(0);
  assert.deepEqual(shown(), []);
});

test("most that vanish together stay for a minute", async (t) => {
  const { clock, remove, shown, warnings, changes } = await open(t, 4);
  remove(0, 1, 2);
  assert.deepEqual(shown(), ["a0:80 UP held", "a1:80 UP held", "a2:80 UP held", "a3:80 UP"]);
  assert.equal(warnings.length, 1);
  await pass(clock, 59_000, 1_000);
  assert.equal(shown().length, 4);
  const before = changes.length;
  await pass(clock, 2_000, 1_000);
  assert.deepEqual(shown(), ["a3:80 UP"]);
  assert.deepEqual(changes.slice(before), [["users"]]);
});

test("one that is held is given up when something else says that it is gone; one that is there is not", async (t) => {
  const { registry, remove, shown, changes } = await open(t, 3);
  remove(0, 1);
  const before = changes.length;
  for (const address of ["a0:80", "a2:80", "x:80"]) registry.release("users", address);
  assert.deepEqual(shown(), ["a1:80 UP held", "a2:80 UP"]);
  assert.deepEqual(changes.slice(before), [["users"]]);
});

test("also one after the other within ten seconds", async (t) => {
  const { clock, remove, shown } = await open(t, 3);
  remove(0);
  assert.deepEqual(shown(), ["a1:80 UP", "a2:80 UP"]);
  await pass(clock, 9_000, 1_000);
  remove(1);
  assert.deepEqual(shown(), ["a0:80 UP held", "a1:80 UP held", "a2:80 UP"]);
});

test("those that vanish further apart are believed", async (t) => {
  const { clock, remove, shown } = await open(t, 3);
  remove(0);
  await pass(clock, 11_000, 1_000);
  remove(1);
  assert.deepEqual(shown(), ["a2:80 UP"]);
});

test("one that is held and registers again is no longer held, and outlives the minute", async (t) => {
  const { clock, store, remove, shown } = await open(t, 2);
  remove(0, 1);
  assert.deepEqual(shown(), ["a0:80 UP held", "a1:80 UP held"]);
  store.put("/services/users/a0:80", '{"weight":2}');
  assert.deepEqual(shown(), ["a0:80 UP", "a1:80 UP held"]);
  await pass(clock, 61_000, 1_000);
  assert.deepEqual(shown(), ["a0:80 UP"]);
});

for (const status of ["DRAINING", "DOWN"]) {
  test(`instances that said ${status} before they went are not held`, async (t) => {
    const { store, remove, shown } = await open(t, 3);
    for (const n of [0, 1, 2]) store.put(`/services/users/a${n}:80`, JSON.stringify({ status }));
    remove(0, 1, 2);
    assert.deepEqual(shown(), []);
  });
}

test("a registry that starts with what was on the disk knows it before the store answers", async (t) => {
  const store = new FakeStore();
  store.cut();
  const kv = { value: Buffer.from("active"), createRevision: 1, modRevision: 1, version: 1, lease: "7" };
  const kvs = ["/services/users/a:80", "/headgate/routes/x"].map((key) => ({ key, ...kv }));
  const { shown, registry } = await open(t, 0, { store, initial: { revision: 1, clusterId: "7001", kvs } });
  assert.deepEqual([shown(), registry.synced], [["a:80 UP"], false]);
  assert.deepEqual(registry.services(), ["users"]);
});
