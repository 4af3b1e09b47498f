import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { assertRefused, deleteOf, deletePrefixOf, get, put, putOf, record, write } from "../store.fixtures.ts";
import { everything, openStore, temporaryDirectory } from "./embedded.fixtures.ts";
import { PendingWrites } from "./pending-writes.ts";
import { KeyEntry, Version } from "./version.ts";

const hourMs = 3_600_000;

test("a store that is full refuses what would make it larger, and takes what makes it smaller", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock(), { bytesMax: 10_000 });
  const large = Buffer.alloc(6_000);
  await put(store, "a", large);
  await assertRefused(put(store, "b", large), "no-space");
  assert.equal(await get(store, "b"), undefined);
  assert.equal(store.revision, 2);
  await put(store, "a", Buffer.alloc(9_000));
  await put(store, "a", large);
  await write(store, deleteOf("a"));
  await put(store, "b", large);
  await assertRefused(write(store, putOf("c", Buffer.alloc(2_000)), putOf("d", Buffer.alloc(2_000))), "no-space");
});

test("a store that was opened with less room than it takes can be made smaller", async (t) => {
  const directory = temporaryDirectory(t);
  const first = openStore(t, directory, new FakeClock());
  await put(first, "a", Buffer.alloc(8_000));
  await put(first, "b", Buffer.alloc(8_000));
  await first.close();
  const store = openStore(t, directory, new FakeClock(), { bytesMax: 10_000 });
  await assertRefused(put(store, "c", ""), "no-space");
  await put(store, "a", Buffer.alloc(8_000));
  await put(store, "a", Buffer.alloc(100));
  await write(store, deleteOf("b"));
  await put(store, "c", "");
});

test("history keeps the newest revisions and the newest hour; older is forgotten and its space given back", async (t) => {
  const clock = new FakeClock();
  const directory = temporaryDirectory(t);
  const store = openStore(t, directory, clock, { historyRevisionsMin: 100 });
  const value = Buffer.alloc(40_000, "x");
  for (let n = 0; n < 500; n += 50) await Promise.all(Array.from({ length: 50 }, () => put(store, "a", value)));
  const before = store.status;
  assert.equal(before.compactedRevision, 0);
  assert.ok(before.dbBytes > 500 * value.length, `${before.dbBytes}`);
  clock.advance(hourMs - 10_000);
  await put(store, "b", "1");
  assert.equal(store.status.compactedRevision, 0, "an hour has not passed");
  clock.advance(20_000);
  await put(store, "b", "2");
  const { compactedRevision, revision } = store.status;
  assert.ok(compactedRevision > 300 && compactedRevision <= revision - 99, `${compactedRevision} of ${revision}`);
  await waitFor(() => store.status.dbBytes < before.dbBytes / 2, { what: () => `${store.status.dbBytes} bytes` });
  assert.equal((await get(store, "a"))?.version, 500);
  assert.throws(() => store.history({ ...everything, from: 2, revisionsMax: 1 }), /compacted/);
});

test("history never takes more memory than its limit: a watch that falls behind it is told", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock(), { historyBytesMax: 500_000 });
  const behind = await record(t, store, everything, { from: 2 });
  // Written before the watch has its first turn.
  const writes = Array.from({ length: 100 }, (_, n) => put(store, "a", Buffer.alloc(10_000, n)));
  await Promise.all(writes);
  await waitFor(() => store.status.compactedRevision > 50);
  const late = await record(t, store, everything, { from: 2 });
  await late.until(() => late.lost.length > 0, "the loss");
  assert.deepEqual(late.lost, ["compacted"]);
  await behind.until(() => behind.lost.length > 0 || behind.revisions.length === 100, "all or the loss");
  const kept = store.history({ ...everything, from: store.status.compactedRevision, revisionsMax: 1_000 });
  assert.ok(kept.revisions.length >= 30 && kept.revisions.length <= 50, `${kept.revisions.length}`);
  assert.equal((await get(store, "a"))?.value[0], 99);
});

test("a page of history is bounded by its revisions and its bytes, and says where the next begins", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock());
  const megabyte = Buffer.alloc(1_000_000);
  for (let n = 0; n < 20; n++) await put(store, `large/${n}`, megabyte);
  await write(store, deletePrefixOf("large/"));
  const revisions: number[] = [];
  let pages = 0;
  let from = 2;
  while (from <= store.revision) {
    const page = store.history({ ...everything, from, revisionsMax: 19, previous: true });
    revisions.push(...page.revisions.map(({ revision }) => revision));
    from = page.next;
    pages++;
  }
  assert.deepEqual(
    revisions,
    Array.from({ length: 21 }, (_, n) => n + 2),
  );
  assert.equal(pages, 2);
  const few = store.history({ key: "large/3", from: 2, revisionsMax: 1 });
  assert.deepEqual([few.revisions.map(({ revision }) => revision), few.next], [[5], 6]);
});

test("what is put is copied: a caller may use its buffer again", async (t) => {
  const store = openStore(t, temporaryDirectory(t), new FakeClock());
  const value = Buffer.from("before");
  const writing = put(store, "a", value);
  value.fill("x");
  await writing;
  const kv = await get(store, "a");
  assert.equal(kv?.value.toString(), "before");
  kv?.value.fill("y");
  assert.equal((await get(store, "a"))?.value.toString(), "before");
});

test("a revision may have more writes than a call takes arguments", () => {
  const pending = new PendingWrites();
  const entry = new KeyEntry("a");
  const facts = { row: 1, value: "", createRevision: 2, modRevision: 2, version: 1, lease: "0" };
  pending.add(new Array<Version>(300_000).fill(new Version(entry, facts)));
  pending.drop(new Array<number>(300_000).fill(1));
  assert.deepEqual([pending.written.length, pending.dropped.length], [300_000, 300_000]);
});
