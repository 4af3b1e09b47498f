import assert from "node:assert/strict";
import { test } from "node:test";
import { pass, settled } from "../../../../tests/kit/fake-timers.ts";
import { assertSame, prefix, replicate, routes, textsOf, told } from "./replicate.fixtures.ts";
import { keyOf } from "./store/keys.ts";
import { StoreError } from "./store/store.ts";

const put = (key: string, value = "new") =>
  ({ type: "put", put: { key: keyOf(prefix + key), value: Buffer.from(value) } }) as const;
const remove = (key: string) => ({ type: "delete", delete: { key: keyOf(prefix + key) } }) as const;

test("the first list is told as one change, and nothing outside the prefix", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b"] });
  replica.store.put("/elsewhere/x", "1");
  assert.deepEqual(replica.changes.map(told), [["list", 3, ["routes/a", "routes/b"], []]]);
  assert.equal(replica.replicator.state.synced, true);
  assert.equal(replica.replicator.state.connected, true);
  assertSame(replica);
});

test("a revision is one change, told in the turn in which the store told it", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  replica.clock.advance(7);
  const { revision } = replica.store.commit([put("routes/b"), remove("routes/a"), put("services/s")]);
  assert.deepEqual(told(replica.changes.at(-1)), ["watch", revision, ["routes/b", "services/s"], ["routes/a"]]);
  assert.equal(replica.changes.at(-1)?.seenMs, replica.clock.now());
  assert.equal(replica.replicator.revision, revision);
  assertSame(replica);
});

test("the last word of a revision about a key counts", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b"] });
  replica.store.commit([remove("routes/a"), put("routes/a"), put("routes/c"), remove("routes/c"), remove("routes/b")]);
  assert.deepEqual(told(replica.changes.at(-1)), ["watch", 4, ["routes/a"], ["routes/b"]]);
  assertSame(replica);
});

test("a list comes in pages of one revision whatever is written between them", async (t) => {
  let pages = 0;
  const replica = await replicate(t, { keys: [], pageKeys: 10, onState: () => {} });
  replica.replicator.stop();
  for (const key of routes(95)) replica.store.put(prefix + key, "x".repeat(400_000));
  const before = textsOf(replica.store.contents(prefix));
  replica.store.beforeRange = () => void (pages++ > 0 && replica.store.put(`${prefix}routes/r0094`, String(pages)));
  const again = await replicate(t, { store: replica.store, clock: replica.clock, pageKeys: 10 });
  assert.deepEqual(
    textsOf(new Map(again.changes[0]?.set.map((kv) => [kv.key, kv]))),
    before,
    "the list is as of the first page's revision",
  );
  assert.ok(pages > 10, `${pages} pages: large values make small pages`);
  assertSame(again);
});

test("a page that is too large for a message is asked for in halves", async (t) => {
  const replica = await replicate(t, {});
  replica.replicator.stop();
  for (const key of routes(20)) replica.store.put(prefix + key, "x");
  replica.store.beforeRange = ({ limit = 0 }) => {
    if (limit > 3) throw new StoreError("too-large", "the answer is larger than the limit");
  };
  const again = await replicate(t, { store: replica.store });
  await pass(again.clock, 100);
  assert.equal(again.replicator.kvs.size, 20);
});

test("a compaction in the middle of a list begins it again", async (t) => {
  const replica = await replicate(t, {});
  replica.replicator.stop();
  for (const key of routes(30)) replica.store.put(prefix + key, "x");
  let compactions = 0;
  replica.store.beforeRange = ({ revision }) => {
    if (revision === undefined || compactions > 0) return;
    compactions++;
    replica.store.put(`${prefix}routes/late`, "x");
    replica.store.compactNow();
  };
  const again = await replicate(t, { store: replica.store, pageKeys: 10 });
  assert.equal(compactions, 1);
  assert.equal(again.changes.length, 1);
  assertSame(again);
});

test("a watch that lost its history lists again and tells only what differs", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b", "routes/c"] });
  replica.store.cut();
  replica.store.commit([put("routes/b"), remove("routes/c"), put("routes/d")]);
  replica.store.put(`${prefix}routes/d`, "newer");
  replica.store.compactNow();
  replica.changes.splice(0);
  replica.store.mend();
  await settled();
  assert.deepEqual(replica.changes.map(told), [["list", 6, ["routes/b", "routes/d"], ["routes/c"]]]);
  assertSame(replica);
});

test("a list that says the same tells no change", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b"] });
  replica.store.cut();
  for (let i = 0; i < 5; i++) replica.store.put("/elsewhere/x", String(i));
  replica.store.compactNow();
  replica.store.mend();
  await settled();
  assert.equal(replica.changes.length, 1);
  assert.equal(replica.replicator.revision, replica.store.revision);
});

test("a store restored from a backup is taken over with its lower revisions", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b", "routes/c"] });
  const backup = replica.store.backup();
  replica.store.put(`${prefix}routes/d`, "after the backup");
  replica.store.put(`${prefix}routes/a`, "after the backup");
  replica.store.restore(backup);
  await settled();
  assert.deepEqual(told(replica.changes.at(-1)), ["list", backup.revision, ["routes/a"], ["routes/d"]]);
  assert.equal(replica.replicator.revision, backup.revision);
  replica.store.put(`${prefix}routes/e`, "goes on");
  assertSame(replica);
});

test("another cluster that reached a higher revision is noticed by its identity", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b"] });
  const kvs = replica.store.backup().kvs;
  replica.store.restore({ revision: 900, kvs: kvs.map((kv) => ({ ...kv, value: Buffer.from("other") })) }, "7002");
  await settled();
  assert.equal(replica.replicator.clusterId, "7002");
  assert.deepEqual(told(replica.changes.at(-1)), ["list", 900, ["routes/a", "routes/b"], []]);
  assertSame(replica);
});

test("what the disk knew is compared with the first list, and only the difference is told", async (t) => {
  const before = await replicate(t, { keys: ["routes/a", "routes/b", "routes/c"] });
  before.replicator.stop();
  const { revision, clusterId, kvs } = before.replicator;
  before.store.put(`${prefix}routes/b`, "changed meanwhile");
  const initial = { revision, clusterId, kvs: [...kvs.values()] };
  before.store.cut();
  const replica = await replicate(t, { store: before.store, clock: before.clock, initial });
  assert.deepEqual(Object.keys(replica.copy()), ["/headgate/routes/a", "/headgate/routes/b", "/headgate/routes/c"]);
  assert.equal(replica.replicator.revision, revision);
  assert.equal(replica.replicator.state.synced, false);
  before.store.mend();
  await pass(replica.clock, 3_000);
  assert.deepEqual(replica.changes.map(told), [["list", 5, ["routes/b"], []]]);
  assert.equal(replica.replicator.state.synced, true);
});

test("a store that does not answer is tried again, and is back within three seconds of its return", async (t) => {
  const store = (await replicate(t)).store;
  store.put(`${prefix}routes/a`, "1");
  store.cut();
  const replica = await replicate(t, { store });
  for (const outageMs of [10, 700, 3_100, 60_000]) {
    await pass(replica.clock, outageMs);
    assert.equal(replica.replicator.state.connected, false);
    assert.match(
      replica.replicator.state.reason,
      /^etcd:\/\/fake:2379\/headgate\/ cannot be read \(.+\); trying again\.$/,
    );
  }
  assert.ok(store.ranges.length < 60, `${store.ranges.length} tries in 64 s`);
  assert.equal(replica.warnings.length, 1, "an outage is one line in the log");
  store.mend();
  await pass(replica.clock, 2_100);
  assert.equal(replica.replicator.state.connected, true);
  assertSame(replica);
});

test("the state says when the connection went and came", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  replica.clock.advance(500);
  replica.store.cut();
  const { connected, reason, synced, sinceWallMs } = replica.replicator.state;
  assert.deepEqual([connected, reason, synced, sinceWallMs], [false, "connection reset", true, replica.clock.wall()]);
  replica.clock.advance(500);
  replica.store.mend();
  assert.equal(replica.replicator.state.connected, true);
  assert.deepEqual(
    replica.states.map((state) => [state.connected, state.synced]),
    [
      [false, true],
      [true, true],
      [false, true],
      [true, true],
    ],
  );
});

test("a store that loses every watch is not listed without pause", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  const { store } = replica;
  const watch = store.watch.bind(store);
  store.watch = (request, listener) => {
    // What was listed is compacted before the watch begins.
    store.put("/elsewhere/x", "1");
    store.put("/elsewhere/x", "2");
    store.compactNow();
    return watch(request, listener);
  };
  const before = store.ranges.length;
  store.restore(store.backup(), "7002");
  await pass(replica.clock, 20_000);
  const lists = store.ranges.length - before;
  assert.ok(lists > 5 && lists < 30, `${lists} lists in 20 s`);
  store.watch = watch;
  await pass(replica.clock, 2_100);
  assert.equal(replica.replicator.state.connected, true);
});

test("whoever waits for a revision is told when it is there, or when the time is over", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  const { replicator, store, clock } = replica;
  assert.equal(await replicator.caughtUp(store.revision, 0), true);
  store.lagging = true;
  const revision = store.put(`${prefix}routes/b`, "1");
  const soon = replicator.caughtUp(revision, 1_000);
  const late = replicator.caughtUp(revision + 1, 1_000);
  store.pump();
  assert.equal(await soon, true);
  const elsewhere = store.put("/elsewhere/x", "1");
  assert.equal(replicator.revision, revision, "a write elsewhere is not told");
  assert.equal(elsewhere, revision + 1);
  store.progress();
  assert.equal(await late, true);
  const never = replicator.caughtUp(revision + 50, 1_000);
  const stopped = replicator.caughtUp(revision + 50, 100_000);
  clock.advance(1_000);
  assert.equal(await never, false);
  replicator.stop();
  assert.equal(await stopped, false);
});

test("after a stop nothing is told and no timer is left", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  replica.replicator.stop();
  replica.store.put(`${prefix}routes/b`, "1");
  await settled();
  assert.equal(replica.changes.length, 1);
  assert.equal(replica.clock.pending, 0);
  assert.equal(replica.store.watches, 0);
});

test("a stop while the store does not answer ends the attempts", async (t) => {
  const first = await replicate(t);
  first.replicator.stop();
  first.store.cut();
  const replica = await replicate(t, { store: first.store });
  replica.replicator.stop();
  const asked = first.store.ranges.length;
  await pass(replica.clock, 10_000);
  assert.equal(first.store.ranges.length, asked);
  assert.equal(replica.clock.pending, 0);
});
