import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../../../tests/kit/clock.ts";
import { silentLog } from "../../../core/log.ts";
import { assertRefused, put, putOf, record, write } from "../store.fixtures.ts";
import { StoreError } from "../store.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { everything, temporaryDirectory, timersOf } from "./embedded.fixtures.ts";
import { SqliteFile } from "./sqlite-file.ts";
import type { Batch } from "./store-file.ts";

/** What the next commits and openings come to. */
interface Disk {
  commits: number;
  /** `refused`: nothing is written; `written`: it is, but the caller is told otherwise. */
  failure: "none" | "refused" | "written";
  opens: boolean;
}

class FailingFile extends SqliteFile {
  readonly #disk: Disk;

  constructor(directory: string, disk: Disk) {
    if (!disk.opens) throw new Error("no such device");
    super(directory, () => ({ clusterId: "17", memberId: "18" }));
    this.#disk = disk;
  }

  override commit(batch: Batch): void {
    this.#disk.commits++;
    if (this.#disk.failure !== "refused") super.commit(batch);
    if (this.#disk.failure !== "none") throw new Error("disk I/O error");
  }
}

function open(t: TestContext): { store: EmbeddedStore; disk: Disk; clock: FakeClock } {
  const clock = new FakeClock();
  const directory = temporaryDirectory(t);
  const disk: Disk = { commits: 0, failure: "none", opens: true };
  const store = new EmbeddedStore({
    clock,
    timers: timersOf(clock),
    random: seededRandom(1),
    log: silentLog,
    url: "embedded:test",
    openFile: () => new FailingFile(directory, disk),
    historyRevisionsMin: 10_000,
    historyAgeMsMin: 0,
    historyBytesMax: 1_000_000,
    bytesMax: 1_000_000,
  });
  t.after(() => store.close());
  return { store, disk, clock };
}

test("writes of one turn are one commit, and nothing of them is seen or answered before it", async (t) => {
  const { store, disk } = open(t);
  const told: number[] = [];
  store.onDurable((revision) => told.push(revision));
  let answered = 0;
  const writes = Array.from({ length: 50 }, async (_, n) => {
    await put(store, `k${n}`, "1");
    answered++;
  });
  // Everything that microtasks can do has been done; the turn has not ended.
  for (let n = 0; n < 100; n++) await Promise.resolve();
  assert.deepEqual([answered, disk.commits, told, store.revision], [0, 0, [], 1]);
  assert.equal(store.rangeNow(everything).count, 0);
  await assertRefused(store.range({ ...everything, revision: 2 }), "future");
  await Promise.all(writes);
  assert.deepEqual([answered, disk.commits, told, store.revision], [50, 1, [51], 51]);
  assert.equal(store.rangeNow(everything).count, 50);
});

test("a transaction that only reads waits for what it saw", async (t) => {
  const { store, disk } = open(t);
  disk.failure = "refused";
  const writing = put(store, "a", "1");
  const reading = write(store, { type: "range", range: { key: "a" } });
  await assertRefused(writing, "unreachable");
  await assertRefused(reading, "unreachable");
});

test("until the file was read again a transaction that only reads is refused: it would see what failed", async (t) => {
  const { store, disk, clock } = open(t);
  await put(store, "a", "1");
  disk.failure = "refused";
  await assertRefused(put(store, "a", "2"), "unreachable");
  disk.failure = "none";
  await assertRefused(write(store, { type: "range", range: { key: "a" } }), "unreachable");
  clock.advance(1_000);
  const { responses } = await write(store, { type: "range", range: { key: "a" } });
  assert.equal(responses[0]?.type === "range" && responses[0].range.kvs[0]?.value.toString(), "1");
});

test("a write that the file refuses is refused, leaves no trace, and later ones succeed", async (t) => {
  const { store, disk, clock } = open(t);
  const lease = await store.grant(60);
  await put(store, "a", "1", { lease: lease.id });
  const recorder = await record(t, store, everything);
  await recorder.until(() => recorder.connected, "a connection");
  disk.failure = "refused";
  const refused = [put(store, "a", "2"), put(store, "b", "2", { lease: lease.id }), store.grant(60, "99")];
  for (const call of refused) await assertRefused(call, "unreachable");
  disk.failure = "none";
  await assertRefused(put(store, "a", "3"), "unreachable");
  assert.equal(store.rangeNow({ key: "a" }).kvs[0]?.value.toString(), "1");
  assert.equal(store.revision, 2);
  clock.advance(1_000);
  assert.deepEqual((await store.lease(lease.id)).keys, ["a"]);
  assert.deepEqual(store.leases(), [lease.id]);
  assert.equal(await put(store, "c", "4"), 3);
  await recorder.seen(3);
  assert.deepEqual(recorder.texts(""), ["put c=4"]);
  assert.deepEqual(recorder.lost, []);
});

test("a write that failed and is there all the same is told after the file was read again", async (t) => {
  const { store, disk, clock } = open(t);
  const recorder = await record(t, store, everything);
  await recorder.until(() => recorder.connected, "a connection");
  disk.failure = "written";
  await assertRefused(put(store, "a", "1"), "unreachable");
  assert.equal(store.revision, 1);
  disk.failure = "none";
  clock.advance(1_000);
  assert.equal(store.revision, 2);
  await recorder.seen(2);
  assert.deepEqual(recorder.texts(""), ["put a=1"]);
});

test("while the file cannot be opened again, reads answer, leases stay, and it is tried every second", async (t) => {
  const { store, disk, clock } = open(t);
  const lease = await store.grant(2);
  await put(store, "a", "1", { lease: lease.id });
  disk.failure = "refused";
  await assertRefused(put(store, "a", "2"), "unreachable");
  disk.failure = "none";
  disk.opens = false;
  clock.advance(5_000);
  assert.equal(store.rangeNow({ key: "a" }).kvs[0]?.value.toString(), "1");
  assert.equal(await store.keepAlive(lease.id), 2);
  await assertRefused(store.revoke(lease.id), "unreachable");
  disk.opens = true;
  clock.advance(1_000);
  assert.equal(await put(store, "b", "1"), 3);
  assert.equal(store.rangeNow(everything).count, 2);
});

test("closing commits what is pending", async (t) => {
  const { store, disk } = open(t);
  const writing = put(store, "a", "1");
  await store.close();
  assert.equal(await writing, 2);
  assert.equal(disk.commits, 1);
  await assert.rejects(store.txn({ compare: [], then: [putOf("a", "2")] }), StoreError);
});
