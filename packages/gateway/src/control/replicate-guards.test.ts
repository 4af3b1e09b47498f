/** What keeps a wrong answer of the store from becoming the configuration: held losses and comparisons. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pass, settled } from "../../../../tests/kit/fake-timers.ts";
import { assertSame, prefix, replicate, routes, told, type Replica } from "./replicate.fixtures.ts";
import { keyOf } from "./store/keys.ts";
import type { Operation } from "./store/store.ts";

const removal = (key: string): Operation => ({ type: "delete", delete: { key: keyOf(prefix + key) } });

/** The store comes back with only some of its keys, as a higher revision of the same cluster. */
function comeBackWith(replica: Replica, keep: (key: string) => boolean): void {
  const { kvs, revision } = replica.store.backup();
  replica.store.cut();
  replica.store.restore({ revision: revision + 10, kvs: kvs.filter((kv) => keep(kv.key)) });
  replica.store.mend();
}

for (const { lost, of, held } of [
  { lost: 1, of: 1, held: false },
  { lost: 2, of: 2, held: true },
  { lost: 2, of: 4, held: false },
  { lost: 3, of: 4, held: true },
  { lost: 30, of: 60, held: false },
  { lost: 31, of: 60, held: true },
]) {
  test(`a list that lacks ${lost} of ${of} routes is ${held ? "held until a second look" : "believed at once"}`, async (t) => {
    const replica = await replicate(t, { keys: routes(of) });
    comeBackWith(replica, (key) => key >= `${prefix}${routes(of)[lost] ?? "s"}`);
    await pass(replica.clock, 900);
    assert.equal(replica.replicator.kvs.size, held ? of : of - lost);
    assert.equal(replica.warnings.filter((text) => text.includes("kept until")).length, held ? 1 : 0);
    if (held) assert.match(replica.replicator.state.reason, /what is known is kept until a second look says the same/);
    await pass(replica.clock, 200);
    assert.equal(replica.replicator.kvs.size, of - lost);
    assert.equal(replica.warnings.filter((text) => text.includes("says a second look too")).length, held ? 1 : 0);
    assert.equal(replica.changes.length, 2);
    assert.equal(replica.replicator.state.connected, true);
  });
}

test("a first list that lacks most of what the disk knew is held as well", async (t) => {
  const before = await replicate(t, { keys: routes(10) });
  before.replicator.stop();
  const { revision, clusterId, kvs } = before.replicator;
  before.store.restore({ revision: 1, kvs: [] });
  const initial = { revision, clusterId, kvs: [...kvs.values()] };
  const replica = await replicate(t, { store: before.store, clock: before.clock, initial });
  await pass(replica.clock, 900);
  assert.equal(replica.replicator.kvs.size, 10);
  assert.equal(replica.replicator.state.synced, false);
  await pass(replica.clock, 200);
  assert.equal(replica.replicator.kvs.size, 0);
  assert.deepEqual(
    replica.changes.map((change) => change.deleted.length),
    [10],
  );
});

test("a store that has the configuration again at the second look deletes nothing", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  const full = replica.store.backup();
  comeBackWith(replica, () => false);
  await pass(replica.clock, 500);
  replica.store.restore({ ...full, revision: full.revision + 20 });
  await pass(replica.clock, 1_000);
  assert.equal(replica.changes.length, 1, "nothing was told");
  assertSame(replica);
});

test("a store that is being filled again is waited for while each look finds something else", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  comeBackWith(replica, () => false);
  for (const key of routes(40)) {
    await pass(replica.clock, 100);
    replica.store.put(prefix + key, `value of ${key}`);
  }
  await pass(replica.clock, 1_000);
  assert.deepEqual(
    replica.changes.flatMap((change) => change.deleted),
    [],
  );
  assertSame(replica);
});

test("a store that never says the same twice is believed after ten looks", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  comeBackWith(replica, () => false);
  await settled();
  for (let look = 1; look < 10; look++) {
    assert.equal(replica.replicator.kvs.size, 40);
    replica.store.commit([removal("routes/r0000"), removal("routes/r0001")]);
    replica.store.put(`${prefix}routes/r000${look % 2}`, String(look));
    await pass(replica.clock, 1_000, 500);
  }
  assert.equal(replica.replicator.kvs.size, 1);
});

test("keys that do not count neither cause nor hide a loss", async (t) => {
  const nodes = routes(50).map((key) => key.replace("routes", "nodes"));
  const replica = await replicate(t, { keys: [...nodes, ...routes(4)] });
  comeBackWith(replica, (key) => key.includes("routes"));
  await settled();
  assert.equal(replica.replicator.kvs.size, 4, "the nodes went at once");
  comeBackWith(replica, (key) => key.endsWith("r0000"));
  await settled();
  assert.equal(replica.replicator.kvs.size, 4, "the routes are held");
});

test("a revision that deletes most is held for a second look made at once, and what follows keeps its order", async (t) => {
  const replica = await replicate(t, { keys: routes(30) });
  let release = (): void => undefined;
  replica.store.beforeRange = () => new Promise<void>((resolve) => (release = resolve));
  replica.changes.splice(0);
  const deletion = replica.store.commit(routes(25).map(removal)).revision;
  replica.store.put(`${prefix}routes/r0001`, "back again");
  replica.store.put(`${prefix}routes/new`, "1");
  replica.store.progress();
  const reached = replica.replicator.caughtUp(deletion, 10_000);
  await settled();
  assert.equal(replica.changes.length, 0);
  assert.equal(replica.replicator.kvs.size, 30);
  release();
  assert.equal(await reached, true);
  assert.deepEqual(
    replica.changes.map((change) => [change.cause, change.revision, change.set.length, change.deleted.length]),
    [
      ["watch", deletion, 0, 25],
      ["watch", deletion + 1, 1, 0],
      ["watch", deletion + 2, 1, 0],
    ],
  );
  assert.equal(replica.warnings.length, 2, "the hold and its end");
  assertSame(replica);
});

for (const { lost, of } of [
  { lost: 19, of: 19 },
  { lost: 20, of: 40 },
]) {
  test(`a revision that deletes ${lost} of ${of} routes is applied at once`, async (t) => {
    const replica = await replicate(t, { keys: routes(of) });
    replica.store.commit(routes(lost).map(removal));
    assert.equal(replica.replicator.kvs.size, of - lost);
  });
}

test("a held revision that the store does not confirm is not applied", async (t) => {
  const replica = await replicate(t, { keys: routes(30) });
  replica.changes.splice(0);
  const watch = replica.store.watch.bind(replica.store);
  let lie: (() => void) | undefined;
  replica.store.watch = (request, listener) => {
    lie = () => {
      const revision = replica.store.put("/elsewhere/x", "1");
      const events = [...replica.replicator.kvs.values()].map((kv) => ({
        type: "delete" as const,
        kv: { ...kv, value: Buffer.alloc(0), modRevision: revision, version: 0, createRevision: 0 },
      }));
      listener.onRevision(revision, events);
    };
    return watch(request, listener);
  };
  replica.store.compactNow(replica.store.put("/elsewhere/x", "1"));
  replica.store.cut();
  replica.store.compactNow(replica.store.put("/elsewhere/x", "2"));
  replica.store.mend();
  await settled();
  lie?.();
  await settled();
  assert.equal(replica.changes.length, 0);
  assert.equal(replica.replicator.kvs.size, 30);
  replica.store.put(`${prefix}routes/more`, "1");
  assertSame(replica);
});

test("a held revision waits out a store that does not answer the second look", async (t) => {
  const replica = await replicate(t, { keys: routes(30) });
  replica.store.commit(routes(30).map(removal));
  replica.store.cut();
  await pass(replica.clock, 10_000);
  assert.equal(replica.replicator.kvs.size, 30);
  replica.store.mend();
  await pass(replica.clock, 2_100);
  assert.equal(replica.replicator.kvs.size, 0);
});

test("too many events behind a held revision end the watch, and a list settles it", async (t) => {
  const replica = await replicate(t, { keys: routes(30) });
  let release: (() => void) | undefined;
  replica.store.beforeRange = ({ keysOnly }) =>
    keysOnly === true ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  replica.store.commit(routes(30).map(removal));
  for (let i = 0; i <= 10_000; i++) replica.store.put(`${prefix}routes/new`, String(i));
  await pass(replica.clock, 1_100);
  assertSame(replica);
  assert.equal(replica.replicator.kvs.size, 1);
  release?.();
});

test("an event that was lost is found by the comparison, corrected and counted", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  const { store } = replica;
  store.losing = true;
  store.put(`${prefix}routes/r0001`, "lost change");
  store.put(`${prefix}routes/new`, "lost creation");
  store.delete(`${prefix}routes/r0002`);
  store.losing = false;
  replica.changes.splice(0);
  await pass(replica.clock, 50_000, 1_000);
  assert.equal(replica.changes.length, 0);
  store.progress();
  await pass(replica.clock, 17_000, 1_000);
  assert.deepEqual(replica.drifts, [3]);
  assert.deepEqual(replica.changes.map(told), [
    ["drift", store.revision, ["routes/new", "routes/r0001"], ["routes/r0002"]],
  ]);
  assertSame(replica);
  await pass(replica.clock, 120_000, 1_000);
  assert.deepEqual(replica.drifts, [3], "once");
});

test("what is still on its way is not drift, and needs no word from the watch when it arrives", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  const { store } = replica;
  store.lagging = true;
  store.put(`${prefix}routes/r0001`, "late");
  store.delete(`${prefix}routes/r0002`);
  store.put(`${prefix}routes/new`, "late");
  const listed = store.ranges.length;
  await pass(replica.clock, 67_000, 500);
  assert.ok(store.ranges.length > listed, "it compared");
  store.pump();
  await pass(replica.clock, 40_000, 500);
  assert.deepEqual(replica.drifts, []);
  assert.ok(replica.changes.every((change) => change.cause !== "drift"));
  assertSame(replica);
});

test("writes that arrive while the comparison lists are not taken for drift", async (t) => {
  const replica = await replicate(t, { keys: routes(40), pageKeys: 5, antiEntropyMs: 1_000 });
  const { store } = replica;
  let n = 0;
  store.beforeRange = ({ keysOnly }) => {
    if (keysOnly !== true) return;
    n++;
    store.put(`${prefix}routes/r00${String(n % 40).padStart(2, "0")}`, `again ${n}`);
    store.delete(`${prefix}routes/r00${String((n * 7) % 40).padStart(2, "0")}`);
    store.put(`${prefix}routes/new${n}`, "1");
  };
  await pass(replica.clock, 20_000, 100);
  assert.ok(n > 20);
  assert.deepEqual(replica.drifts, []);
  assertSame(replica);
});

test("a watch that stays silent about what the store has is replaced, and that is no drift", async (t) => {
  const replica = await replicate(t, { keys: routes(4) });
  const { store } = replica;
  store.losing = true;
  store.put(`${prefix}routes/new`, "never told");
  store.losing = false;
  await pass(replica.clock, 100_000, 1_000);
  assertSame(replica);
  assert.deepEqual(replica.drifts, []);
  assert.equal(replica.changes.at(-1)?.cause, "list");
});

test("a store that was wiped behind a connected watch is noticed by the comparison, and the loss is held", async (t) => {
  const replica = await replicate(t, { keys: routes(40) });
  replica.store.losing = true;
  replica.store.commit(routes(40).map(removal));
  replica.store.losing = false;
  replica.store.progress();
  await pass(replica.clock, 67_000, 500);
  assert.equal(replica.replicator.kvs.size, 0);
  assert.deepEqual(
    replica.changes.map((change) => change.cause),
    ["list", "list"],
  );
  assert.ok(replica.warnings.some((text) => text.includes("kept until a second look")));
});
