import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOf, prefixRange } from "./keys.ts";
import {
  deleteOf,
  deletePrefixOf,
  newestRevision,
  ownPrefix,
  put,
  putOf,
  record,
  rangeOf,
  textOfEvent,
  write,
  type OpenStore,
} from "./store.fixtures.ts";

/** What a watch tells while nothing goes wrong. Part of `storeSuite`. */
export function watchSuite(name: string, open: OpenStore, skip: string | false): void {
  beginnings(name, open, skip);
  revisions(name, open, skip);
  ranges(name, open, skip);
}

function beginnings(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a watch from the past tells what happened since, then what happens`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const first = await put(store, `${prefix}a`, "1");
    await put(store, `${prefix}a`, "2");
    await write(store, deleteOf(`${prefix}a`));
    const recorder = await record(t, store, prefixRange(keyOf(prefix)), { from: first + 1 });
    await recorder.seen(first + 2);
    const last = await put(store, `${prefix}b`, "3");
    await recorder.seen(last);
    assert.deepEqual(recorder.texts(prefix), ["put a=2", "delete a", "put b=3"]);
    assert.deepEqual(
      recorder.revisions.map(({ revision }) => revision - first),
      [1, 2, 3],
    );
    assert.deepEqual(recorder.connections.map(({ connected }) => connected), [true]); // prettier-ignore
    assert.deepEqual(recorder.lost, []);
  });

  test(`${name}: a watch from the next revision tells nothing that was before`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await put(store, `${prefix}a`, "1");
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    await recorder.until(() => recorder.connected, "a connection");
    const revision = await put(store, `${prefix}a`, "2");
    await recorder.seen(revision);
    assert.deepEqual(recorder.texts(prefix), ["put a=2"]);
  });

  test(`${name}: a watch that was closed tells nothing any more`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const closed = await record(t, store, prefixRange(keyOf(prefix)));
    const other = await record(t, store, prefixRange(keyOf(prefix)));
    const first = await put(store, `${prefix}a`, "1");
    await closed.seen(first);
    const told = [closed.revisions.length, closed.connections.length];
    closed.watch.close();
    const second = await put(store, `${prefix}a`, "2");
    await other.seen(second);
    closed.watch.close();
    assert.deepEqual([closed.revisions.length, closed.connections.length], told);
  });

  test(`${name}: many watches tell the same`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const recorders = await Promise.all(Array.from({ length: 20 }, () => record(t, store, prefixRange(keyOf(prefix)))));
    let last = 0;
    for (let n = 0; n < 20; n++) last = await put(store, `${prefix}${n % 3}`, String(n));
    const expected = Array.from({ length: 20 }, (_, n) => `put ${n % 3}=${n}`);
    for (const recorder of recorders) {
      await recorder.seen(last);
      assert.deepEqual(recorder.texts(prefix), expected);
    }
  });
}

function revisions(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a revision is told once, whole, with its events in the order of the writes`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await put(store, `${prefix}old`, "0");
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    const done = await write(
      store,
      putOf(`${prefix}c`, "1"),
      deleteOf(`${prefix}old`),
      rangeOf({ key: keyOf(prefix) }),
      putOf(`${prefix}a`, "2"),
    );
    const last = await put(store, `${prefix}end`, "3");
    await recorder.seen(last);
    assert.deepEqual(
      recorder.revisions.map(({ revision, events }) => [revision, events.map((e) => textOfEvent(e, prefix))]),
      [
        [done.revision, ["put c=1", "delete old", "put a=2"]],
        [last, ["put end=3"]],
      ],
    );
    for (const { revision, events } of recorder.revisions) {
      for (const { kv } of events) assert.equal(kv.modRevision, revision);
    }
  });

  test(`${name}: an event has the facts of its key, and its previous value when asked`, { skip }, async (t) => {
    const { store } = await open(t);
    const key = `${ownPrefix()}a`;
    const lease = await store.grant(600);
    const range = { key: keyOf(key) };
    const plain = await record(t, store, range);
    const recorder = await record(t, store, range, { previous: true });
    const first = await put(store, key, "1");
    await put(store, key, "2", { lease: lease.id });
    const last = (await write(store, deleteOf(key))).revision;
    await recorder.seen(last);
    await plain.seen(last);
    const [created, changed, deleted] = recorder.revisions.flatMap(({ events }) => events);
    const value = Buffer.from("1");
    const one = { key: keyOf(key), value, createRevision: first, modRevision: first, version: 1, lease: "0" };
    assert.deepEqual(created, { type: "put", kv: one });
    const two = { ...one, value: Buffer.from("2"), modRevision: first + 1, version: 2, lease: lease.id };
    assert.deepEqual(changed, { type: "put", kv: two, previous: one });
    const gone = { ...one, value: Buffer.alloc(0), createRevision: 0, modRevision: last, version: 0, lease: "0" };
    assert.deepEqual(deleted, { type: "delete", kv: gone, previous: two });
    for (const { events } of plain.revisions) for (const event of events) assert.equal(event.previous, undefined);
    await store.revoke(lease.id);
  });

  test(`${name}: a revision of 128 events is one`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const recorder = await record(t, store, prefixRange(keyOf(prefix)));
    const value = "v".repeat(10_000);
    const done = await write(store, ...Array.from({ length: 128 }, (_, n) => putOf(`${prefix}${n}`, value)));
    await recorder.seen(done.revision);
    assert.equal(recorder.revisions.length, 1);
    assert.equal(recorder.revisions[0]?.events.length, 128);
  });

  test(`${name}: a revision larger than a message is one`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const megabyte = Buffer.alloc(1_000_000, "x");
    for (let n = 0; n < 6; n++) await put(store, `${prefix}${n}`, megabyte);
    const recorder = await record(t, store, prefixRange(keyOf(prefix)), { previous: true });
    const done = await write(store, deletePrefixOf(prefix));
    await recorder.seen(done.revision);
    const [only] = recorder.revisions;
    assert.deepEqual([recorder.revisions.length, only?.events.length], [1, 6]);
    for (const { previous } of only?.events ?? []) assert.ok(previous?.value.equals(megabyte));
  });

  test(`${name}: a watch 5,000 revisions behind catches up, in order, missing nothing`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const from = (await newestRevision(store)) + 1;
    const count = 5_000;
    for (let n = 0; n < count; n += 250) {
      await Promise.all(Array.from({ length: 250 }, (_, i) => put(store, `${prefix}${(n + i) % 70}`, String(n + i))));
    }
    const recorder = await record(t, store, prefixRange(keyOf(prefix)), { from });
    const last = await put(store, `${prefix}end`, "");
    await recorder.seen(last, 30_000);
    assert.deepEqual(
      recorder.revisions.map(({ revision }) => revision),
      Array.from({ length: count + 1 }, (_, n) => from + n),
    );
    assert.ok(recorder.revisions.every(({ events }) => events.length === 1));
  });
}

function ranges(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a watch tells of its range only`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const at = (key: string): string => keyOf(prefix + key);
    const cases = [
      { range: { key: at("b") }, expected: ["put b=", "delete b"] },
      { range: prefixRange(at("b")), expected: ["put b=", "put bb=", "delete b", "delete bb"] },
      { range: { key: at("a"), end: at("bb") }, expected: ["put a=", "put b=", "delete a", "delete b"] },
      { range: { key: at("bb"), end: "\0" }, expected: ["put bb=", "put c=", "delete bb", "delete c"] },
    ];
    const from = (await newestRevision(store)) + 1;
    const recorders = await Promise.all(cases.map(({ range }) => record(t, store, range, { from })));
    await write(store, ...["a", "b", "bb", "c"].map((key) => putOf(prefix + key, "")));
    const { revision } = await write(store, deletePrefixOf(prefix));
    for (const [index, { expected, range }] of cases.entries()) {
      const recorder = recorders[index];
      await recorder?.seen(revision);
      assert.deepEqual(recorder?.texts(prefix), expected, JSON.stringify(range));
    }
  });

  test(`${name}: a revision without a write in the range is not told`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const recorder = await record(t, store, prefixRange(keyOf(`${prefix}in/`)));
    await put(store, `${prefix}out`, "1");
    const both = await write(store, putOf(`${prefix}out`, "2"), putOf(`${prefix}in/a`, "1"));
    await recorder.seen(both.revision);
    assert.deepEqual(recorder.texts(prefix), ["put in/a=1"]);
    assert.deepEqual(recorder.revisions.map(({ revision }) => revision), [both.revision]); // prettier-ignore
  });
}
