import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import { keyOf, prefixRange } from "./keys.ts";
import { contents, newestRevision, ownPrefix, put, record, type OpenStore } from "./store.fixtures.ts";
import { StoreError } from "./store.ts";

/** Compacted history, another cluster, cut connections, a server that restarts, the end. Part of `storeSuite`. */
export function wornSuite(name: string, open: OpenStore, skip: string | false): void {
  lost(name, open, skip);
  interrupted(name, open, skip);
}

function lost(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a watch behind a compaction is told so, once, and ends`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const first = await put(store, `${prefix}a`, "1");
    const second = await put(store, `${prefix}a`, "2");
    const third = await put(store, `${prefix}a`, "3");
    await store.compact(third);
    const behind = await record(t, store, prefixRange(keyOf(prefix)), { from: first });
    const atEdge = await record(t, store, prefixRange(keyOf(prefix)), { from: third });
    await behind.until(() => behind.lost.length > 0, "the loss");
    await atEdge.seen(third);
    const after = await put(store, `${prefix}a`, "4");
    await atEdge.seen(after);
    assert.deepEqual(behind.lost, ["compacted"]);
    assert.deepEqual(behind.revisions, []);
    assert.deepEqual(atEdge.texts(prefix), ["put a=3", "put a=4"]);
    const between = await record(t, store, prefixRange(keyOf(prefix)), { from: second });
    await between.until(() => between.lost.length > 0, "the loss");
    assert.deepEqual(between.revisions, []);
  });

  test(`${name}: a watch that is up to date survives a compaction`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    const first = await put(store, `${prefix}a`, "1");
    await recorder.seen(first);
    await store.compact(first);
    await recorder.seen(await put(store, `${prefix}a`, "2"));
    assert.deepEqual(recorder.texts(prefix), ["put a=1", "put a=2"]);
    assert.deepEqual(recorder.lost, []);
  });

  test(
    `${name}: a watch of another cluster, or of a revision yet to come, is told that the store was replaced`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const range = prefixRange(keyOf(ownPrefix()));
      const other = await record(t, store, range, { clusterId: "4711" });
      await other.until(() => other.lost.length > 0, "the loss");
      assert.deepEqual(other.lost, ["replaced"]);
      const from = (await newestRevision(store)) + 1_000;
      const backwards = await record(t, store, range, { from });
      await backwards.until(() => backwards.lost.length > 0, "the loss");
      assert.deepEqual([backwards.lost, backwards.revisions], [["replaced"], []]);
    },
  );
}

function interrupted(name: string, open: OpenStore, skip: string | false): void {
  test(
    `${name}: a watch goes on over cut connections, missing nothing and telling nothing twice`,
    { skip },
    async (t) => {
      const { store, cutConnections } = await open(t);
      if (cutConnections === undefined) return t.skip("a store in this process has no connections");
      const prefix = ownPrefix();
      const recorder = await record(t, store, prefixRange(keyOf(prefix)));
      const first = (await newestRevision(store)) + 1;
      let revision = 0;
      for (let n = 0; n < 60; n++) {
        if (n % 12 === 5) cutConnections();
        // A write whose answer was cut off may have been carried out; it is made again.
        revision = await waitFor(() =>
          put(store, `${prefix}a`, String(n)).catch((error: unknown) => {
            assert.ok(error instanceof StoreError && error.code === "unreachable", String(error));
            return undefined;
          }),
        );
      }
      await recorder.seen(revision);
      // Nobody else writes: every revision is told, with the value that it has.
      for (const [index, { revision: told, events }] of recorder.revisions.entries()) {
        assert.equal(told, first + index);
        const [kv] = (await store.range({ key: keyOf(`${prefix}a`), revision: told })).kvs;
        assert.deepEqual(events, [{ type: "put", kv }]);
      }
      assert.equal(recorder.revisions.length, revision - first + 1);
      assert.ok(recorder.connections.length >= 3, "it says when events can come and when not");
      assert.deepEqual(
        recorder.connections.map(({ connected }) => connected),
        recorder.connections.map((_, n) => n % 2 === 0),
      );
      for (const { reason } of recorder.connections) assert.notEqual(reason, "");
    },
  );

  test(`${name}: a server that is killed and started again has lost nothing it had said`, { skip }, async (t) => {
    const { store, restart } = await open(t);
    if (restart === undefined) return t.skip("a store in this process restarts with it");
    const prefix = ownPrefix();
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    const lease = await store.grant(600);
    await put(store, `${prefix}a`, "1", { lease: lease.id });
    const before = await store.range(prefixRange(keyOf(prefix)));
    await recorder.seen(before.revision);
    await restart();
    const after = await waitFor(() => store.range(prefixRange(keyOf(prefix))).catch(() => undefined));
    assert.deepEqual(after, before);
    assert.equal((await store.lease(lease.id)).grantedSeconds, 600);
    const revision = await put(store, `${prefix}b`, "2");
    await recorder.seen(revision);
    assert.deepEqual(recorder.texts(prefix), ["put a=1", "put b=2"]);
    await store.revoke(lease.id);
  });

  test(`${name}: after its end calls are refused and watches are silent`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await put(store, `${prefix}a`, "1");
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    await recorder.until(() => recorder.connected, "a connection");
    const told = recorder.connections.length;
    await store.close();
    await store.close();
    await assert.rejects(put(store, `${prefix}a`, "2"), StoreError);
    await assert.rejects(contents(store, prefix), StoreError);
    assert.equal(recorder.connections.length, told);
    assert.deepEqual([recorder.revisions, recorder.lost], [[], []]);
  });
}
