import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { status as codes } from "@grpc/grpc-js";
import { startFakeEtcd, type FakeEtcd, type FakeWatch } from "../../../../../../tests/kit/fake-etcd.ts";
import { deadPort } from "../../../../../../tests/kit/ports.ts";
import { waitFor } from "../../../../../../tests/kit/wait.ts";
import { keyOf, prefixRange } from "../keys.ts";
import { Recorder, textOfEvent } from "../store.fixtures.ts";
import type { Store, WatchRequest } from "../store.ts";
import { openStore } from "./etcd.fixtures.ts";
import type { EtcdOptions } from "./open.ts";

interface Bench {
  readonly etcd: FakeEtcd;
  readonly store: Store;
  readonly recorder: Recorder;
}

/** A watch from revision 11 on, of an etcd that is at 10. */
async function watch(
  t: TestContext,
  options: Partial<EtcdOptions> = {},
  request: Partial<WatchRequest> = {},
): Promise<Bench> {
  const etcd = await startFakeEtcd(t);
  etcd.revision = 10;
  const store = openStore(t, [etcd.endpoint], options);
  return { etcd, store, recorder: begin(t, store, etcd.clusterId, request) };
}

function begin(t: TestContext, store: Store, clusterId: string, request: Partial<WatchRequest> = {}): Recorder {
  const recorder = new Recorder();
  recorder.watch = store.watch({ ...prefixRange(keyOf("/k/")), from: 11, clusterId, ...request }, recorder);
  t.after(() => recorder.watch.close());
  return recorder;
}

async function opened(etcd: FakeEtcd, index: number): Promise<FakeWatch> {
  const stream = await etcd.watch(index);
  stream.created();
  return stream;
}

/** Revisions and their events as text. */
function told({ revisions }: Recorder): unknown {
  return revisions.map(({ revision, events }) => [revision, ...events.map((event) => textOfEvent(event, "/k/"))]);
}

test("a watch asks for what it needs: fragments, progress, a leader, and the first revision wanted", async (t) => {
  const { etcd } = await watch(t, {}, { previous: true });
  const stream = await opened(etcd, 0);
  const { key, range_end, start_revision, fragment, progress_notify, prev_kv, filters } = stream.create;
  assert.deepEqual(
    [key.toString(), range_end.toString(), start_revision, fragment, progress_notify, prev_kv, filters],
    ["/k/", "/k0", "11", true, true, true, []],
  );
  assert.equal(stream.requiresLeader, true);
});

test("fragments are one revision, told when the last has come; a stream cut between them begins the revision again", async (t) => {
  const { etcd, recorder } = await watch(t);
  const first = await opened(etcd, 0);
  etcd.revision = 12;
  first.events([["/k/a", "1", 11]], { fragment: true });
  first.events([["/k/b", "1", 11]], { fragment: true });
  first.fail(codes.UNAVAILABLE, "etcdserver: leader changed");
  const second = await opened(etcd, 1);
  assert.equal(second.create.start_revision, "11");
  assert.deepEqual(told(recorder), []);
  second.events([["/k/a", "1", 11]], { fragment: true });
  second.events([["/k/b", "1", 11]], { fragment: true });
  second.events([["/k/c", "1", 11], ["/k/a", "2", 12]]); // prettier-ignore
  await recorder.seen(12);
  assert.deepEqual(told(recorder), [
    [11, "put a=1", "put b=1", "put c=1"],
    [12, "put a=2"],
  ]);
});

test("a watch that catches up resumes after the last revision told, not after the header's", async (t) => {
  const { etcd, recorder } = await watch(t);
  etcd.revision = 5_000;
  const first = await opened(etcd, 0);
  first.events([["/k/a", "1", 11], ["/k/a", "2", 12]]); // prettier-ignore
  await recorder.seen(12);
  first.end();
  const second = await opened(etcd, 1);
  assert.equal(second.create.start_revision, "13");
  // Cut before anything came: the same again, not the revision of the answer `created`.
  second.fail(codes.UNAVAILABLE, "transport is closing");
  const third = await opened(etcd, 2);
  assert.equal(third.create.start_revision, "13");
});

test("events that another member sends again are not told again", async (t) => {
  const { etcd, recorder } = await watch(t);
  etcd.revision = 13;
  const stream = await opened(etcd, 0);
  stream.events([["/k/a", "1", 11], ["/k/b", "1", 11], ["/k/a", "2", 12]]); // prettier-ignore
  stream.events([["/k/a", "1", 11], ["/k/b", "1", 11], ["/k/a", "2", 12], ["/k/a", undefined, 13]]); // prettier-ignore
  stream.events([["/k/a", "2", 12]]);
  await recorder.seen(13);
  assert.deepEqual(told(recorder), [
    [11, "put a=1", "put b=1"],
    [12, "put a=2"],
    [13, "delete a"],
  ]);
});

test("a compaction is told whether it comes with the creation or later, with its revision or only its text", async (t) => {
  const compacted = "etcdserver: mvcc: required revision has been compacted";
  for (const cancel of [
    { created: true, canceled: true, compact_revision: "20", watch_id: "-1" },
    { canceled: true, compact_revision: "20" },
    { canceled: true, cancel_reason: compacted },
  ]) {
    const { etcd, recorder } = await watch(t);
    const stream = await etcd.watch(0);
    if (cancel.created === undefined) stream.created();
    stream.send(cancel);
    await recorder.until(() => recorder.lost.length > 0, JSON.stringify(cancel));
    assert.deepEqual(recorder.lost, ["compacted"]);
    await waitFor(() => stream.gone);
    assert.equal(etcd.watches.length, 1, "it has ended");
  }
});

test("a watch that the server cancels for another reason is opened again", async (t) => {
  const { etcd, recorder } = await watch(t);
  const first = await etcd.watch(0);
  first.send({ created: true, canceled: true, watch_id: "-1", cancel_reason: "etcdserver: out of sorts" });
  const second = await opened(etcd, 1);
  await recorder.until(() => recorder.connected, "a connection");
  second.send({ canceled: true });
  await opened(etcd, 2);
  await recorder.until(() => recorder.connections.length === 4, "a connection again");
  assert.match(recorder.connections[0]?.reason ?? "", /out of sorts/);
  assert.deepEqual(recorder.lost, []);
});

test("another cluster on the same address, or a revision that went back, ends the watch as replaced", async (t) => {
  const other = await watch(t);
  other.etcd.clusterId = "4711";
  await opened(other.etcd, 0);
  await other.recorder.until(() => other.recorder.lost.length > 0, "the loss");
  assert.deepEqual(other.recorder.lost, ["replaced"]);

  const restored = await watch(t);
  restored.etcd.revision = 20;
  const first = await opened(restored.etcd, 0);
  first.events([["/k/a", "1", 15]]);
  await restored.recorder.seen(15);
  restored.etcd.revision = 14; // restored from a backup
  first.end();
  const second = await opened(restored.etcd, 1);
  second.events([["/k/a", "other", 16]]);
  await restored.recorder.until(() => restored.recorder.lost.length > 0, "the loss");
  assert.deepEqual(restored.recorder.lost, ["replaced"]);
  assert.deepEqual(told(restored.recorder), [[15, "put a=1"]]);
});

test("a member that lags behind is no replaced store: a read by way of the leader tells them apart", async (t) => {
  const { etcd, recorder } = await watch(t);
  const stream = await etcd.watch(0);
  stream.send({ created: true, header: { cluster_id: etcd.clusterId, revision: "7" } });
  stream.events([["/k/a", "1", 11]]);
  await recorder.seen(11);
  assert.deepEqual(recorder.lost, []);
  assert.deepEqual(
    etcd.calls.map((call) => call.name).filter((name) => name === "Range"),
    ["Range"],
  );
});

test("progress moves the place to resume from, where the server's answers wait for the events before them", async (t) => {
  for (const [version, trusted] of [
    ["3.4.23", false],
    ["3.5.7", false],
    ["3.4.25", true],
    ["3.5.16", true],
  ] as const) {
    const etcd = await startFakeEtcd(t);
    Object.assign(etcd, { revision: 10, version });
    const store = openStore(t, [etcd.endpoint], { progressIntervalMs: 20 });
    const recorder = begin(t, store, etcd.clusterId);
    const first = await opened(etcd, 0);
    await waitFor(() => etcd.calls.some((call) => call.name === "Status"));
    etcd.revision = 50;
    if (trusted) await recorder.until(() => recorder.progress.includes(50), `progress of ${version}`);
    else await waitFor(() => first.progressAsked > 3);
    first.end();
    const second = await opened(etcd, 1);
    assert.equal(second.create.start_revision, trusted ? "51" : "11", version);
    assert.deepEqual(recorder.progress.includes(50), trusted, version);
    // The server's own notes for this watch are in line with its events in every version.
    etcd.revision = 60;
    second.send({ watch_id: "0" });
    await recorder.until(() => recorder.progress.includes(60), "progress");
    recorder.watch.close();
  }
});

test("a stream that went silent is left, and one that is only quiet is not", async (t) => {
  const { etcd, recorder } = await watch(t, { progressIntervalMs: 30, progressTimeoutMs: 300 });
  const first = await opened(etcd, 0);
  await waitFor(() => first.progressAsked > 5);
  assert.equal(etcd.watches.length, 1);
  etcd.answersProgress = false;
  await opened(etcd, 1);
  await recorder.until(() => recorder.connections.length >= 3, "a connection again");
  assert.match(recorder.connections[1]?.reason ?? "", /no sign of life within 0\.3 s/);
  await waitFor(() => first.gone);
});

test("a server that takes the stream and does not set up the watch is left", async (t) => {
  const silent = await startFakeEtcd(t);
  const good = await startFakeEtcd(t);
  silent.revision = good.revision = 10;
  const store = openStore(t, [silent.endpoint, good.endpoint]);
  const recorder = begin(t, store, good.clusterId);
  await silent.watch(0);
  await opened(good, 0);
  await recorder.until(() => recorder.connected, "a connection");
  assert.match(recorder.connections[0]?.reason ?? "", /no answer within 2 s/);
});

test("a watch goes to the next endpoint when one is away, has no leader, or ends", async (t) => {
  const [first, second] = [await startFakeEtcd(t), await startFakeEtcd(t)];
  first.revision = second.revision = 20;
  const dead = `http://127.0.0.1:${await deadPort()}`;
  const store = openStore(t, [dead, first.endpoint, second.endpoint]);
  const recorder = begin(t, store, first.clusterId);
  (await opened(first, 0)).events([["/k/a", "1", 11]]);
  await recorder.seen(11);
  first.watches[0]?.fail(codes.UNAVAILABLE, "etcdserver: no leader");
  (await opened(second, 0)).events([["/k/a", "2", 12]]);
  await recorder.seen(12);
  second.stop();
  const third = await opened(first, 1);
  assert.equal(third.create.start_revision, "13");
  await recorder.until(() => recorder.connected, "a connection");
  assert.match(recorder.connections[0]?.reason ?? "", /cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:\d+\.$/);
  assert.match(recorder.connections[2]?.reason ?? "", /cannot serve now: no leader\.$/);
  assert.deepEqual(told(recorder), [
    [11, "put a=1"],
    [12, "put a=2"],
  ]);
});

test("a watch closed by its listener while it is told tells nothing more", async (t) => {
  const { etcd, recorder } = await watch(t);
  const onRevision = recorder.onRevision;
  recorder.onRevision = (revision, events) => {
    onRevision(revision, events);
    recorder.watch.close();
  };
  const stream = await opened(etcd, 0);
  stream.events([["/k/a", "1", 11], ["/k/a", "2", 12]]); // prettier-ignore
  stream.send({ canceled: true, compact_revision: "20" });
  await waitFor(() => stream.gone);
  assert.deepEqual(told(recorder), [[11, "put a=1"]]);
  assert.deepEqual(recorder.lost, []);
  assert.equal(etcd.watches.length, 1);
});
