/** The replicator on the stores there are: embedded and a real etcd, with the faults of a real one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { seededRandom } from "../../../../tests/kit/clock.ts";
import { etcdMissing, startEtcd } from "../../../../tests/kit/etcd.ts";
import { faultProxy } from "../../../../tests/kit/fault-proxy.ts";
import { Bell } from "../../../../tests/kit/wait.ts";
import { systemClock, systemRandom } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { systemTimers } from "../core/timers.ts";
import { Replicator, type ReplicaChange, type ReplicatorOptions } from "./replicate.ts";
import { temporaryDirectory } from "./store/embedded/embedded.fixtures.ts";
import { openEmbedded } from "./store/embedded/open.ts";
import { openStore as openEtcdStore } from "./store/etcd/etcd.fixtures.ts";
import { prefixRange } from "./store/keys.ts";
import type { KeyValue, Operation, Store } from "./store/store.ts";

const prefix = "/headgate/";
const real = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };

interface Following {
  readonly replicator: Replicator;
  readonly changes: ReplicaChange[];
  readonly warnings: string[];
  /** Resolves when the copy is what the store has, or fails. */
  isSame(store: Store, what: string): Promise<void>;
  until(condition: () => boolean, what: string): Promise<void>;
}

function follow(t: TestContext, store: Store, options: Partial<ReplicatorOptions> = {}): Following {
  const bell = new Bell();
  const changes: ReplicaChange[] = [];
  const warnings: string[] = [];
  const ring = (): void => bell.ring();
  const warn = (_: object, text: string): void => {
    warnings.push(text);
    ring();
  };
  const onChange = (change: ReplicaChange): void => {
    changes.push(change);
    ring();
  };
  const log = { ...silentLog, warn };
  const replicator = new Replicator({
    ...{ ...real, log, store, prefix, counts: () => true, onChange, onState: ring },
    ...options,
  });
  t.after(() => replicator.stop());
  replicator.start();
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    await bell.until(() => condition() || undefined, what);
  };
  const isSame = async (other: Store, what: string): Promise<void> => {
    const { kvs } = await other.range(prefixRange(prefix));
    await until(() => sorted(replicator).length === kvs.length && sameAll(sorted(replicator), kvs), what);
  };
  return { replicator, changes, warnings, isSame, until };
}

function sorted(replicator: Replicator): KeyValue[] {
  return [...replicator.kvs.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function sameAll(a: readonly KeyValue[], b: readonly KeyValue[]): boolean {
  return a.every((kv, i) => kv.modRevision === b[i]?.modRevision && kv.key === b[i].key && kv.value.equals(b[i].value));
}

function put(name: string, value: string): Operation {
  return { type: "put", put: { key: `${prefix}routes/${name}`, value: Buffer.from(value) } };
}

async function write(store: Store, ...then: Operation[]): Promise<number> {
  return (await store.txn({ compare: [], then })).revision;
}

const stores: readonly (readonly [name: string, skip: string | undefined, open: (t: TestContext) => Promise<Store>])[] =
  [
    [
      "embedded",
      undefined,
      (t) => {
        const store = openEmbedded({ dataDir: temporaryDirectory(t), ...real });
        t.after(() => store.close());
        return Promise.resolve(store);
      },
    ],
    ["etcd", etcdMissing, async (t) => openEtcdStore(t, [(await startEtcd(t)).endpoint])],
  ];

for (const [name, skip, open] of stores) {
  test(`${name}: a list in pages and the changes after it lead to what the store has`, async (t) => {
    if (skip !== undefined) return t.skip(skip);
    const store = await open(t);
    for (let i = 0; i < 10; i++) await write(store, ...Array.from({ length: 100 }, (_, k) => put(`r${i}-${k}`, "1")));
    const { replicator, changes, isSame, until } = follow(t, store, { pageKeys: 70 });
    await until(() => replicator.state.connected, "the connection");
    assert.deepEqual(
      changes.map((change) => [change.cause, change.set.length]),
      [["list", 1_000]],
    );
    const random = seededRandom(5);
    let last = 0;
    for (let i = 0; i < 100; i++) {
      const names = new Set(Array.from({ length: 5 }, () => `r0-${Math.floor(random() * 40)}`));
      const operations = [...names].map((key): Operation => {
        return random() < 0.3 ? { type: "delete", delete: { key: `${prefix}routes/${key}` } } : put(key, String(i));
      });
      last = await write(store, ...operations);
    }
    assert.equal(await replicator.caughtUp(last, 10_000), true);
    await isSame(store, "the copy to be the store's");
    const revisions = changes.slice(1).map((change) => change.revision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
      "one change a revision, ascending",
    );
  });

  test(`${name}: a comparison with the store finds nothing where nothing was lost`, async (t) => {
    if (skip !== undefined) return t.skip(skip);
    const store = await open(t);
    const drifts: number[] = [];
    let lists = 0;
    const counting: Store = Object.create(store, {
      range: { value: (request: Parameters<Store["range"]>[0]) => (lists++, store.range(request)) },
      facts: { value: store.facts },
    }) as Store; // the store itself, but for one call
    for (const call of ["watch", "txn"] as const) {
      Object.defineProperty(counting, call, { value: store[call].bind(store) });
    }
    const { replicator, isSame, until } = follow(t, counting, {
      antiEntropyMs: 10,
      onDrift: (count) => void drifts.push(count),
    });
    await until(() => replicator.state.connected, "the connection");
    let last = 0;
    for (let i = 0; i < 200 || lists < 10; i++) last = await write(store, put(`r${i % 7}`, String(i)));
    assert.equal(await replicator.caughtUp(last, 10_000), true);
    await isSame(store, "the copy to be the store's");
    assert.deepEqual(drifts, []);
  });
}

test("etcd: cut off and compacted meanwhile, the difference is told and nothing else", async (t) => {
  if (etcdMissing !== undefined) return t.skip(etcdMissing);
  const etcd = await startEtcd(t);
  const proxy = await faultProxy(t, etcd.clientPort);
  const direct = openEtcdStore(t, [etcd.endpoint]);
  await write(direct, put("a", "1"), put("b", "1"), put("c", "1"));
  const { replicator, changes, isSame, until } = follow(t, openEtcdStore(t, [`http://${proxy.address}`]));
  await until(() => replicator.state.connected, "the connection");
  proxy.refuse(true);
  proxy.cut();
  await until(() => !replicator.state.connected, "the loss of the connection");
  for (let i = 0; i < 20; i++) await write(direct, put("b", String(i)));
  const revision = await write(direct, put("d", "1"), { type: "delete", delete: { key: `${prefix}routes/c` } });
  await direct.compact(revision);
  proxy.refuse(false);
  await isSame(direct, "the copy after the compaction");
  assert.deepEqual(
    changes.slice(1).map((change) => [change.cause, change.set.map((kv) => kv.key), change.deleted]),
    [["list", [`${prefix}routes/b`, `${prefix}routes/d`], [`${prefix}routes/c`]]],
  );
});

test("etcd: killed and started again, it is followed within three seconds", async (t) => {
  if (etcdMissing !== undefined) return t.skip(etcdMissing);
  const etcd = await startEtcd(t);
  const store = openEtcdStore(t, [etcd.endpoint]);
  await write(store, put("a", "1"));
  const { replicator, until } = follow(t, store);
  await until(() => replicator.state.connected, "the connection");
  await etcd.kill();
  await until(() => !replicator.state.connected, "the loss of the connection");
  await etcd.restart();
  await etcd.ctl("put", `${prefix}routes/b`, "after the restart");
  const writtenMs = performance.now();
  await until(() => replicator.kvs.size === 2, "the write after the restart");
  assert.ok(performance.now() - writtenMs < 3_000);
});

test("etcd: wiped under its old identity, the copy is kept until a second look; refilled, it is taken over", async (t) => {
  if (etcdMissing !== undefined) return t.skip(etcdMissing);
  const etcd = await startEtcd(t);
  const store = openEtcdStore(t, [etcd.endpoint]);
  for (const name of ["a", "b", "c", "d"]) await write(store, put(name, "1"));
  const { replicator, warnings, isSame, until } = follow(t, store, { secondLookMs: 300 });
  await until(() => replicator.state.connected, "the connection");
  await etcd.wipe();
  await until(() => warnings.some((text) => text.includes("kept until a second look")), "the hold");
  assert.equal(replicator.kvs.size, 4);
  await until(() => replicator.kvs.size === 0, "the second look");
  await write(store, put("new", "1"));
  await isSame(store, "the new content");
});

test("etcd: restored from a snapshot, its lower revisions are followed", async (t) => {
  if (etcdMissing !== undefined) return t.skip(etcdMissing);
  const etcd = await startEtcd(t);
  const store = openEtcdStore(t, [etcd.endpoint]);
  await write(store, put("a", "1"), put("b", "1"), put("c", "1"));
  const snapshot = join(temporaryDirectory(t), "snapshot.db");
  await etcd.snapshot(snapshot);
  let newest = 0;
  for (let i = 0; i < 30; i++) newest = await write(store, put("a", `after ${i}`));
  const { replicator, isSame, until } = follow(t, store);
  await until(() => replicator.state.connected, "the connection");
  await etcd.restore(snapshot);
  await until(() => replicator.revision < newest, "the older revision");
  await isSame(store, "the restored content");
  await write(store, put("b", "goes on"));
  await isSame(store, "what was written after the restore");
});
