import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { FakeClock, seededRandom } from "../../../../../tests/kit/clock.ts";
import { fakeTimers, pass, settled } from "../../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../../core/log.ts";
import { confirmPrefix } from "../layout.ts";
import { prefixRange } from "../store/keys.ts";
import {
  anna,
  configuration,
  driven,
  lost,
  prefix,
  putByHand,
  rig,
  type Rig,
  type WatchedStore,
} from "./change.fixtures.ts";
import { ChangeError, type ChangeErrorCode } from "./change-error.ts";
import { Confirmations } from "./confirmations.ts";

interface Gateway {
  readonly confirmations: Confirmations;
  /** What was told to serve without the store, and to stop that. */
  readonly told: string[];
}

/** A gateway's confirmations, fed by a watch of the store as replication does. */
function gateway(store: WatchedStore, clock: FakeClock, author: string, found = false): Gateway {
  const told: string[] = [];
  const confirmations = new Confirmations({
    store,
    prefix,
    clock,
    timers: fakeTimers(clock),
    random: seededRandom(author.length),
    log: silentLog,
    author,
    onLocalUndo: (change, writes) => told.push(`undo ${change} ${JSON.stringify(writes)}`),
    onLocalRedo: (change) => told.push(`redo ${change}`),
  });
  if (found) for (const kv of store.contents("/headgate/confirm/").values()) confirmations.set(kv, false);
  const request = { ...prefixRange(confirmPrefix(prefix)), from: store.revision + 1, clusterId: store.clusterId };
  store.watch(request, {
    onRevision: (_revision, events) => {
      for (const { type, kv } of events) {
        if (type === "put") confirmations.set(kv, true);
        else confirmations.delete(kv.key);
      }
    },
    onProgress: () => undefined,
    onLost: () => undefined,
    onConnection: () => undefined,
  });
  return { confirmations, told };
}

/** Two gateways on one store in which `routes/a` and `services/s` are. */
async function two(t: TestContext): Promise<Rig & { gateways: Gateway[] }> {
  const made = rig();
  putByHand(made.store, "routes", "a", { n: 1 });
  putByHand(made.store, "services", "s", {});
  const gateways = ["one", "three"].map((author) => gateway(made.store, made.clock, author));
  t.after(() => {
    for (const { confirmations } of gateways) confirmations.stop();
  });
  await settled();
  return { ...made, gateways };
}

async function refused(promise: Promise<unknown>, code: ChangeErrorCode): Promise<void> {
  await assert.rejects(promise, (error: unknown) => error instanceof ChangeError && error.code === code);
}

const minute = { ...anna, confirmMs: 60_000 };
const before = { "routes/a": { n: 1 }, "services/s": {} };
const wanted = [{ routes: { a: { n: 2 }, b: {} } }];

test("a change that nobody confirms is taken back once, by one of the gateways, and that is recorded", async (t) => {
  const { store, clock, changes, gateways } = await two(t);
  const { change, confirm } = await changes.apply(wanted, minute);
  assert.equal(confirm?.before, new Date(clock.wall() + 60_000).toISOString());
  await settled();
  assert.deepEqual(gateways[0]?.confirmations.pending(), [{ change, before: confirm?.before }]);
  await pass(clock, 59_900, 1_000);
  assert.deepEqual(configuration(store)["routes/a"], { n: 2 });
  await pass(clock, 1_000);
  assert.deepEqual(configuration(store), before);
  assert.equal(store.contents("/headgate/confirm/").size, 0);
  const unconfirmed = changes.history().filter(({ action }) => action === "unconfirmed");
  assert.equal(unconfirmed.length, 1);
  assert.equal(unconfirmed[0]?.of, change);
  assert.deepEqual(unconfirmed[0]?.writes.map(({ action, name }) => `${action} ${name}`).sort(), [
    "delete b",
    "update a",
  ]);
  await pass(clock, 10_000, 1_000);
  assert.equal(changes.history().length, 2);
  assert.equal(clock.pending, 0);
  assert.deepEqual(
    gateways.flatMap(({ told }) => told),
    [],
  );
});

test("a confirmed change stays", async (t) => {
  const { store, clock, changes } = await two(t);
  const { change } = await changes.apply(wanted, minute);
  await pass(clock, 30_000, 1_000);
  assert.deepEqual(await changes.confirm(), { change });
  const confirmed = configuration(store);
  await pass(clock, 60_000, 1_000);
  assert.deepEqual(configuration(store), confirmed);
  assert.equal(clock.pending, 0);
  await refused(changes.confirm(), "not-waiting");
  await refused(changes.confirm(change ?? ""), "not-waiting");
});

test("what somebody changed since stays and is named; the rest is taken back", async (t) => {
  const { store, clock, changes } = await two(t);
  await changes.apply(wanted, minute);
  await changes.put("routes", "a", { n: 3 }, anna);
  await pass(clock, 61_000, 500);
  assert.deepEqual(configuration(store), { ...before, "routes/a": { n: 3 } });
  assert.match(changes.history()[0]?.message ?? "", /left as they are: routes\/a$/);
});

test("confirming after the time is refused, before and after it was taken back", async (t) => {
  const made = rig();
  const { change } = await made.changes.apply(wanted, minute);
  made.clock.advance(60_000);
  await refused(made.changes.confirm(), "too-late");
  const { store, clock } = made;
  const late = gateway(store, clock, "late", true);
  t.after(() => late.confirmations.stop());
  await pass(clock, 1_000);
  assert.deepEqual(configuration(store), {});
  await refused(made.changes.confirm(change ?? ""), "too-late");
});

test("a confirmation that comes between looking and taking back wins", async (t) => {
  const { store, clock, changes } = await two(t);
  const { writes } = store;
  await changes.apply(wanted, minute);
  store.beforeWrite = (number) => {
    if (number === writes + 2) store.commit([{ type: "delete", delete: prefixRange(confirmPrefix(prefix)) }]);
  };
  await pass(clock, 62_000, 500);
  assert.equal(store.writes, writes + 3, "both gateways tried");
  assert.deepEqual(configuration(store)["routes/a"], { n: 2 });
  assert.equal(changes.history().length, 1);
});

test("several changes that wait have to be named", async () => {
  const { changes } = rig();
  const first = await changes.put("routes", "a", {}, minute);
  await changes.put("routes", "b", {}, minute);
  await refused(changes.confirm(), "conflict");
  assert.deepEqual(await changes.confirm(first.change ?? ""), { change: first.change });
});

test("a confirmation whose answer is lost is followed up", async () => {
  const { store, changes } = rig();
  const { change } = await changes.put("routes", "a", {}, minute);
  store.afterWrite = () => {
    store.afterWrite = () => undefined;
    lost();
  };
  assert.deepEqual(await changes.confirm(), { change });
  assert.equal(store.contents("/headgate/confirm/").size, 0);
  await refused(changes.confirm(change ?? ""), "not-waiting");
});

test("without the store every gateway takes it back by itself, and follows the store when it is back", async (t) => {
  await t.test("and nobody confirmed", async (inner) => {
    const { store, clock, changes, gateways } = await two(inner);
    const { change } = await changes.apply(wanted, minute);
    await pass(clock, 50_000, 1_000);
    store.cut();
    await pass(clock, 11_000, 500);
    for (const { told } of gateways) {
      assert.equal(told.length, 1);
      assert.match(told[0] ?? "", new RegExp(`^undo ${change} .*"name":"a","value":\\{"n":1\\}.*"name":"b"`));
    }
    store.mend();
    await pass(clock, 6_000, 500);
    assert.deepEqual(configuration(store), before);
    for (const { told } of gateways) assert.deepEqual(told.slice(1), [`redo ${change}`]);
    assert.equal(changes.history().filter(({ action }) => action === "unconfirmed").length, 1);
  });
  await t.test("and somebody confirmed meanwhile", async (inner) => {
    const { store, clock, changes, gateways } = await two(inner);
    const { change } = await changes.apply(wanted, minute);
    await pass(clock, 50_000, 1_000);
    store.cut();
    await pass(clock, 11_000, 500);
    store.commit([{ type: "delete", delete: prefixRange(confirmPrefix(prefix)) }]);
    store.mend();
    await pass(clock, 10_000, 500);
    assert.deepEqual(configuration(store)["routes/a"], { n: 2 });
    for (const { told } of gateways) assert.deepEqual(told.slice(1), [`redo ${change}`]);
    assert.equal(clock.pending, 0);
  });
});

test("a store that hangs is not waited for", async (t) => {
  const { store, clock, changes, gateways } = await two(t);
  await changes.apply(wanted, minute);
  await pass(clock, 50_000, 1_000);
  store.beforeRange = () => new Promise(() => undefined);
  await pass(clock, 13_000, 500);
  for (const { told } of gateways) assert.equal(told.length, 1);
});

test("clocks that differ do not shorten the time; a restarted gateway goes by the wall clock", async () => {
  const made = rig();
  const wallMs = made.clock.wall();
  const ahead = new FakeClock(1_000, wallMs + 300_000);
  const watching = gateway(made.store, ahead, "ahead");
  await settled();
  const { change = "" } = await made.changes.apply(wanted, minute);
  await settled();
  assert.equal(watching.confirmations.remainingMs(change ?? ""), 60_000);
  const restarted = gateway(made.store, new FakeClock(9_000, wallMs + 40_000), "restarted", true);
  assert.equal(restarted.confirmations.remainingMs(change ?? ""), 20_000);
  const behind = gateway(made.store, new FakeClock(9_000, wallMs - 500_000), "behind", true);
  assert.equal(behind.confirmations.remainingMs(change ?? ""), 60_000);
  for (const { confirmations } of [watching, restarted, behind]) confirmations.stop();
});

test("what is under the prefix by hand is left alone", () => {
  const { store, clock } = rig();
  store.put("/headgate/confirm/a", "text");
  store.put("/headgate/confirm/b", '{"deadlineWallMs":1,"durationMs":1,"undo":[{"kind":"rutes","name":"a"}]}');
  const { confirmations } = gateway(store, clock, "one", true);
  assert.deepEqual(confirmations.pending(), []);
  assert.equal(clock.pending, 0);
});

test("times to confirm out of range, and ways back that are too long, are refused before anything is written", async () => {
  const { store, changes } = rig();
  for (const confirmMs of [0, 999, Number.NaN, 25 * 3_600_000])
    await refused(changes.put("routes", "a", {}, { ...anna, confirmMs }), "bad-request");
  for (const name of ["a", "b"]) putByHand(store, "routes", name, { text: "x".repeat(700_000) });
  const revision = store.revision;
  await refused(changes.apply([{ routes: {} }], { ...minute, prune: true }), "bad-request");
  assert.equal(store.revision, revision);
});

const value = fc.record({ n: fc.integer({ min: 0, max: 3 }) }, { noNullPrototype: true });
const routes = fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e", "f", "g"), value, { noNullPrototype: true });

test("unconfirmed, the configuration is what it was, however many transactions and gateways it takes", async () => {
  await fc.assert(
    fc.asyncProperty(
      routes,
      routes,
      fc.integer({ min: 4, max: 12 }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      async (first, second, operations, cutAfter) => {
        const { store, clock, changes } = rig({ limits: { operations, bytes: 100_000 } });
        await changes.apply([{ routes: first }], { ...anna, prune: true });
        const gateways = ["a", "bb", "ccc"].map((author) => gateway(store, clock, author));
        await settled();
        const was = configuration(store);
        const writes = store.writes;
        // The author's own connection ends after some transactions: the dead man's switch must hold all the same.
        if (cutAfter !== undefined)
          store.beforeWrite = (number) => {
            if (number - writes > cutAfter) throw new Error("gone");
          };
        await driven(clock, changes.apply([{ routes: second }], { ...minute, prune: true })).catch(() => undefined);
        store.beforeWrite = () => undefined;
        await pass(clock, 62_000, 1_000);
        assert.deepEqual(configuration(store), was);
        assert.equal(store.contents("/headgate/confirm/").size, 0);
        for (const { confirmations } of gateways) confirmations.stop();
      },
    ),
    { numRuns: 40 },
  );
});
