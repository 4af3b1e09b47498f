import assert from "node:assert/strict";
import { test } from "node:test";
import { resourceKey, type Kind } from "../layout.ts";
import { anna, configuration, prefix, putByHand, rig, WatchedStore } from "./change.fixtures.ts";
import type { Txn, TxnResult } from "../store/store.ts";
import type { PlannedWrite } from "./plan.ts";
import { orderWrites, splitWrites, transactionLimits } from "./split.ts";

function planned(kind: Kind, name: string, bytes: number | undefined): PlannedWrite {
  const key = resourceKey(prefix, kind, name);
  const action = bytes === undefined ? "delete" : "create";
  return { kind, name, key, action, modRevision: 0, ...(bytes === undefined ? {} : { bytes: Buffer.alloc(bytes) }) };
}

test("what is referred to comes first and goes last", () => {
  const kinds: Kind[] = ["settings", "routes", "plugins", "services", "middlewares"];
  const writes = [
    ...kinds.map((kind) => planned(kind, "gone", undefined)),
    ...kinds.map((kind) => planned(kind, "new", 1)),
  ];
  assert.deepEqual(
    orderWrites(writes).map(({ kind, name }) => `${name} ${kind}`),
    [
      ...["new plugins", "new middlewares", "new services", "new routes", "new settings"],
      ...["gone settings", "gone routes", "gone services", "gone middlewares", "gone plugins"],
    ],
  );
});

test("transactions are as few as the limits allow", () => {
  const reserve = { operations: 3, bytes: 1_000 };
  const limits = { operations: 10, bytes: 10_000 };
  const sizes = (writes: PlannedWrite[]): number[] =>
    splitWrites(writes, reserve, { operations: 1, bytes: 500 }, limits).map(({ length }) => length);
  const small = (count: number): PlannedWrite[] =>
    Array.from({ length: count }, (_, n) => planned("routes", `${n}`, 1));
  assert.deepEqual(sizes([]), [0]);
  assert.deepEqual(sizes(small(7)), [7]);
  assert.deepEqual(sizes(small(17)), [7, 9, 1]);
  assert.deepEqual(sizes([planned("routes", "a", 5_000), planned("routes", "b", 5_000)]), [1, 1]);
  assert.deepEqual(sizes([planned("routes", "a", 9_200)]), [0, 1]);
});

/** Refuses what etcd refuses by default. */
class StrictStore extends WatchedStore {
  override txn(txn: Txn): Promise<TxnResult> {
    const bytes = [...txn.compare, ...txn.then].reduce((sum, part) => sum + sizeOf(part), 0);
    assert.ok(bytes <= 1.5 * 1024 * 1024, `${bytes} bytes`);
    for (const operations of [txn.compare, txn.then, txn.otherwise ?? []]) assert.ok(operations.length <= 128);
    const keys = txn.then.flatMap((operation) => (operation.type === "put" ? [operation.put.key] : []));
    assert.equal(new Set(keys).size, keys.length, "a key twice in one transaction");
    for (const operation of txn.then) {
      if (operation.type !== "delete") continue;
      const { key, end } = operation.delete;
      for (const put of keys)
        assert.ok(end === undefined ? put !== key : put < key || put >= end, `${put} is deleted too`);
    }
    return super.txn(txn);
  }
}

function sizeOf(part: Txn["compare"][number] | Txn["then"][number]): number {
  if ("type" in part) return part.type === "put" ? part.put.key.length + part.put.value.length + 20 : 40;
  return part.key.length + 20;
}

test("etcd's limits hold for changes of every size, also with a way back and a full history", async () => {
  const store = new StrictStore();
  const { changes } = rig({ store });
  for (let n = 0; n < 201; n++) await changes.put("services", "s", { n }, anna);
  const routes = (count: number, bytes: number): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`r${n}`, { text: "x".repeat(bytes) }]));
  for (const [count, bytes, transactions] of [
    [124, 10, 1],
    [127, 10, 2],
    [1_000, 100, 8],
    [3, 1_000_000, 3],
    [40, 60_000, 2],
  ] as const) {
    const result = await changes.apply([{ routes: routes(count, bytes) }], { ...anna, confirmMs: 60_000 });
    assert.equal(result.transactions, transactions, `${count} of ${bytes}`);
    assert.equal(Object.keys(configuration(store)).length, count + 1);
    await changes.confirm();
    await changes.apply([{ routes: {}, services: { s: {} } }], { ...anna, prune: true });
    assert.equal(store.contents("/headgate/changes/").size, 200);
  }
  assert.equal(transactionLimits.operations, 128);
});

test("what others change between two transactions is planned around, and one record tells all of it", async () => {
  const { store, changes } = rig({ limits: { operations: 5, bytes: 100_000 } });
  putByHand(store, "routes", "r8", { n: 0 });
  const routes = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`r${n}`, { n }]));
  store.beforeWrite = (number) => {
    if (number === 2) putByHand(store, "routes", "r8", { n: 100 });
  };
  const { change, diff } = await changes.apply([{ routes }], anna);
  assert.equal(Object.keys(configuration(store)).length, 9);
  assert.equal(diff.length, 9);
  const [recorded, ...older] = changes.history();
  assert.deepEqual([recorded?.id, recorded?.partial, older.length], [change, undefined, 0]);
  assert.deepEqual(recorded?.writes.find(({ name }) => name === "r8")?.before, { n: 100 });
});
