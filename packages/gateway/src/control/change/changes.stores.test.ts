import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { etcdMissing, startEtcd } from "../../../../../tests/kit/etcd.ts";
import { waitFor } from "../../../../../tests/kit/wait.ts";
import { systemClock, systemRandom } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { systemTimers } from "../../core/timers.ts";
import { parseKey } from "../layout.ts";
import { Replicator } from "../replicate.ts";
import { temporaryDirectory } from "../store/embedded/embedded.fixtures.ts";
import { openEmbedded } from "../store/embedded/open.ts";
import { openEtcd } from "../store/etcd/open.ts";
import type { Store } from "../store/store.ts";
import { anna, configurationOf, prefix } from "./change.fixtures.ts";
import { ChangeError } from "./change-error.ts";
import { Changes } from "./changes.ts";
import { Confirmations } from "./confirmations.ts";

/** Changes as a gateway runs them: on a store that is none of the tests', with replication in between. */
async function gateway(t: TestContext, store: Store) {
  const parts = {
    store,
    prefix,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: silentLog,
  };
  const confirmations = new Confirmations({
    ...parts,
    author: "gateway",
    onLocalUndo: () => assert.fail("the store answers"),
    onLocalRedo: () => assert.fail("the store answers"),
  });
  const replicator = new Replicator({
    ...parts,
    counts: (key) => parseKey(prefix, key).area === "resource",
    onChange: ({ set, deleted, cause }) => {
      for (const kv of set) if (parseKey(prefix, kv.key).area === "confirm") confirmations.set(kv, cause === "watch");
      for (const key of deleted) confirmations.delete(key);
    },
    onState: () => undefined,
  });
  const changes = new Changes({
    ...parts,
    judge: () => Promise.resolve({ problems: [], unreachable: [] }),
    get kvs() {
      return replicator.kvs;
    },
    revision: () => replicator.revision,
    caughtUp: (revision, timeoutMs) => replicator.caughtUp(revision, timeoutMs),
    nodes: () => [],
    onNodes: () => () => undefined,
  });
  replicator.start();
  t.after(() => {
    confirmations.stop();
    replicator.stop();
  });
  await waitFor(() => replicator.state.synced, { what: "the first list" });
  return { changes, current: () => configurationOf(replicator.kvs.values()) };
}

const stores = {
  embedded: (t: TestContext) => {
    const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
    const store = openEmbedded({ dataDir: temporaryDirectory(t), ...parts });
    t.after(() => store.close());
    return Promise.resolve({ store });
  },
  etcd: async (t: TestContext) => {
    const { endpoint } = await startEtcd(t);
    const parts = { clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
    const store = openEtcd({ endpoints: [endpoint], url: endpoint, ...parts });
    t.after(() => store.close());
    return { store };
  },
};

for (const [name, open] of Object.entries(stores)) {
  const skip = name === "etcd" ? (etcdMissing ?? false) : false;

  test(
    `${name}: applied in several transactions, rolled back from its history and from the records`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const { changes, current } = await gateway(t, store);
      const routes = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`r${n}`, { to: "s", n }]));
      const first = await changes.apply([{ routes, services: { s: {} } }], anna);
      assert.ok(first.transactions > 7, `${first.transactions}`);
      assert.equal(Object.keys(current()).length, 1_001);
      const then = current();
      const big = { source: "x".repeat(900_000) };
      await changes.apply([{ plugins: { a: big, b: big }, routes: {} }], { ...anna, prune: true });
      assert.deepEqual(Object.keys(current()), ["plugins/a", "plugins/b"]);
      const second = current();
      const back = await changes.rollback(first.revision, anna);
      assert.deepEqual(current(), then);
      assert.equal(changes.history()[0]?.action, "rollback");

      const small = await changes.put("routes", "r0", { n: -1 }, anna);
      await store.compact(small.revision);
      await changes.rollback(back.revision, anna);
      assert.deepEqual(current(), then);
      assert.notDeepEqual(current(), second);
      await assert.rejects(
        changes.rollback(first.revision - 1, anna),
        (error: unknown) => error instanceof ChangeError && error.code === "history-gone",
      );
    },
  );

  test(`${name}: two gateways take back what nobody confirms, once`, { skip }, async (t) => {
    const { store } = await open(t);
    const one = await gateway(t, store);
    const two = await gateway(t, store);
    await one.changes.put("routes", "a", { n: 1 }, anna);
    const { change } = await one.changes.put("routes", "a", { n: 2 }, { ...anna, confirmMs: 1_000 });
    const undone = (): boolean => two.changes.history()[0]?.action === "unconfirmed";
    await waitFor(undone, { what: "the undo" });
    assert.deepEqual(two.current(), { "routes/a": { n: 1 } });
    assert.equal(two.changes.history().length, 3);
    await assert.rejects(two.changes.confirm(change ?? ""), { code: "too-late" });
    await two.changes.put("routes", "a", { n: 3 }, { ...anna, confirmMs: 60_000 });
    await one.changes.confirm();
    assert.equal((await store.range({ key: `${prefix}confirm/`, end: `${prefix}confirm0` })).count, 0);
  });
}
