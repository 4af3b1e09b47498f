import assert from "node:assert/strict";
import { test } from "node:test";
import { anna, configuration, putByHand, rig, type Rig } from "./change.fixtures.ts";
import { ChangeError, type ChangeErrorCode } from "./change-error.ts";

async function refused(promise: Promise<unknown>, code: ChangeErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof ChangeError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

/** A store in which a route was written twice; `first` is the revision of the first. */
async function forgetful(): Promise<Rig & { readonly first: number }> {
  const made = rig();
  const first = await made.changes.put("routes", "a", { n: 1 }, anna);
  await made.changes.put("routes", "a", { n: 2 }, anna);
  return { ...made, first: first.revision };
}

test("a rollback is a change of its own, with the difference and who asked for it", async () => {
  const { store, changes, first } = await forgetful();
  const dry = await changes.rollback(first, { ...anna, dryRun: true });
  const result = await changes.rollback(first, anna);
  assert.deepEqual(result.diff, [
    { kind: "routes", name: "a", action: "update", changes: [{ path: "n", before: 2, after: 1 }] },
  ]);
  assert.deepEqual(dry.diff, result.diff);
  assert.deepEqual(configuration(store), { "routes/a": { n: 1 } });
  const [change] = changes.history();
  assert.deepEqual(
    [change?.action, change?.author, change?.message],
    ["rollback", "anna@desk", `back to revision ${first}`],
  );
});

test("revisions that do not exist are refused", async () => {
  const { store, changes } = await forgetful();
  await refused(changes.rollback(store.revision + 1, anna), "bad-request", /does not exist yet/);
  for (const odd of [0, -1, 1.5, Number.NaN])
    await refused(changes.rollback(odd, anna), "bad-request", /whole number from 1/);
});

test("what the history does not cover is refused rather than guessed", async (t) => {
  await t.test("a resource was changed beside the tools after the last change", async () => {
    const { store, changes, first } = await forgetful();
    putByHand(store, "routes", "a", { n: 9 });
    store.compactNow();
    await refused(changes.rollback(first, anna), "history-gone", /routes\/a was changed beside the recorded changes/);
  });
  await t.test("a resource was changed beside the tools between two changes", async () => {
    const { store, changes, first } = await forgetful();
    putByHand(store, "routes", "a", { n: 9 });
    await changes.put("routes", "a", { n: 3 }, anna);
    store.compactNow();
    await refused(changes.rollback(first, anna), "history-gone", /routes\/a was changed beside/);
  });
  await t.test("a resource was created beside the tools", async () => {
    const { store, changes, first } = await forgetful();
    putByHand(store, "services", "b", {});
    store.compactNow();
    await refused(changes.rollback(first, anna), "history-gone", /services\/b was changed beside/);
  });
  await t.test("the records do not reach back", async () => {
    const { store, changes, first } = await forgetful();
    store.compactNow();
    await refused(changes.rollback(first - 1, anna), "history-gone", /no change from then is recorded/);
  });
  await t.test("a record was too large for its values", async () => {
    const { store, changes, first } = await forgetful();
    await changes.put("routes", "big", { text: "x".repeat(300_000) }, anna);
    assert.equal(changes.history()[0]?.truncated, true);
    store.compactNow();
    await refused(changes.rollback(first, anna), "history-gone", /too large to hold values/);
  });
  await t.test("the revision lies inside a change of several transactions", async () => {
    const { store, changes } = rig({ limits: { operations: 4, bytes: 100_000 } });
    const routes = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`r${n}`, { n }]));
    await changes.put("routes", "a", { n: 1 }, anna);
    const { revision, transactions } = await changes.apply([{ routes }], anna);
    assert.ok(transactions > 2);
    store.compactNow();
    await refused(changes.rollback(revision - 1, anna), "history-gone", /between two transactions/);
  });
});

test("an interrupted change is undone as far as it came", async () => {
  const { store, changes } = rig({ limits: { operations: 4, bytes: 100_000 } });
  const { revision } = await changes.put("routes", "a", { n: 1 }, anna);
  const routes = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`r${n}`, { n }]));
  store.beforeWrite = (number) => {
    if (number === 4) throw new Error("no space");
  };
  await refused(changes.apply([{ routes }], anna), "interrupted", /repeat the command to complete change/);
  store.beforeWrite = () => undefined;
  assert.equal(changes.history()[0]?.partial, true);
  const written = Object.keys(configuration(store)).length;
  assert.ok(written > 1 && written < 10, String(written));
  store.compactNow();
  await changes.rollback(revision, anna);
  assert.deepEqual(configuration(store), { "routes/a": { n: 1 } });
});

test("what was no JSON at that revision stays, with a warning", async () => {
  const { store, changes } = rig();
  const revision = store.put("/headgate/routes/a", "{broken");
  putByHand(store, "routes", "a", { n: 1 });
  const result = await changes.rollback(revision, anna);
  assert.equal(result.change, null);
  assert.deepEqual(
    result.warnings.map(({ path }) => path),
    ["routes.a"],
  );
});
