import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, seededRandom } from "../../../../../../tests/kit/clock.ts";
import { inRange } from "../keys.ts";
import type { KeyRange } from "../store.ts";
import { timersOf } from "./embedded.fixtures.ts";
import { Leases } from "./leases.ts";
import { Mvcc } from "./mvcc.ts";
import { versionAt } from "./version.ts";

function emptyMvcc(): Mvcc {
  const clock = new FakeClock();
  const random = seededRandom(1);
  return new Mvcc(new Leases({ clock, timers: timersOf(clock), random, expired: () => undefined }));
}

function write(mvcc: Mvcc, key: string, value: string | undefined): void {
  const transaction = mvcc.begin();
  if (value === undefined) transaction.delete({ key });
  else transaction.put(key, value, "0");
  transaction.finish();
}

function keysIn(mvcc: Mvcc, range: KeyRange, revision: number): string[] {
  const keys: string[] = [];
  mvcc.index.visit(range, (entry) => {
    if (versionAt(entry, revision) !== undefined) keys.push(entry.key);
    return true;
  });
  return keys;
}

test("ranges over thousands of keys are found and counted as of any revision, while keys come, go and are forgotten", () => {
  const random = seededRandom(42);
  const mvcc = emptyMvcc();
  const live = new Set<string>();
  const past = new Map<number, readonly string[]>();
  const keyAt = (n: number): string => `/k/${n.toString(7)}`;
  for (let step = 0; step < 12_000; step++) {
    const key = keyAt(Math.floor(random() * 3_000));
    const deletes = random() < (step < 6_000 ? 0.2 : 0.7);
    write(mvcc, key, deletes ? undefined : "v");
    if (deletes) live.delete(key);
    else live.add(key);
    if (step % 500 === 0) past.set(mvcc.revision, [...live].sort());
    if (step % 3_000 === 2_999) {
      mvcc.compact(mvcc.revision - 1_000, mvcc.revision);
      while (!mvcc.trimmed) mvcc.trim(100);
    }
  }
  past.set(mvcc.revision, [...live].sort());
  const ranges: KeyRange[] = [
    { key: "\0", end: "\0" },
    { key: "/k/1", end: "/k/2" },
    { key: keyAt(1_500), end: "\0" },
    { key: keyAt(10), end: keyAt(11) },
    { key: "/k/5", end: "/k/3" },
    { key: "/z", end: "\0" },
    { key: keyAt(7) },
  ];
  const known = [...past].filter(([revision]) => revision >= mvcc.compactedRevision);
  assert.ok(known.length >= 2, "the present and something of the past");
  for (const [revision, keys] of known) {
    for (const range of ranges) {
      const expected = keys.filter((key) => inRange(range, key));
      assert.deepEqual(keysIn(mvcc, range, revision), expected, JSON.stringify({ range, revision }));
      assert.equal(mvcc.index.count(range, revision), expected.length, JSON.stringify({ range, revision }));
    }
  }
});

test("a key that was deleted and compacted takes no place any more", () => {
  const mvcc = emptyMvcc();
  for (let n = 0; n < 1_000; n++) write(mvcc, `/k/${n}`, "v");
  for (let n = 0; n < 1_000; n++) write(mvcc, `/k/${n}`, undefined);
  write(mvcc, "/last", "v");
  mvcc.compact(mvcc.revision, mvcc.revision);
  const dropped = mvcc.trim(Infinity);
  let entries = 0;
  mvcc.index.visit({ key: "\0", end: "\0" }, () => ++entries > 0);
  assert.equal(entries, 1);
  assert.equal(new Set(dropped).size, 2_000);
  assert.equal(dropped.length, 2_000, "each row once");
});

test("forgetting goes in steps of the size asked for", () => {
  const mvcc = emptyMvcc();
  for (let n = 0; n < 100; n++) write(mvcc, "/k", String(n));
  mvcc.compact(90, mvcc.revision);
  assert.equal(mvcc.trim(10).length, 9);
  assert.equal(mvcc.trimmed, false);
  assert.equal(mvcc.history.first, 12);
  assert.equal(mvcc.trim(1_000).length, 79);
  assert.equal(mvcc.trimmed, true);
  assert.equal(mvcc.history.first, 90);
});
