import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../store/store.ts";
import { anna, configuration, lost, prefix, putByHand, rig } from "./change.fixtures.ts";
import { ChangeError, type ChangeErrorCode } from "./change-error.ts";
import { changesPrefix } from "../layout.ts";

const route = { match: { path: "/a" }, to: "users" };
const service = { instances: [{ address: "127.0.0.1:3001" }] };

function refusedWith(code: ChangeErrorCode, message?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof ChangeError, String(error));
    assert.equal(error.code, code);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

test("documents are applied as one transaction with their record, and only what differs is written", async () => {
  const { store, changes } = rig();
  putByHand(store, "services", "users", { instances: [{ address: "127.0.0.1:3001" }] });
  const old = putByHand(store, "routes", "a", { to: "users", match: { path: "/old" } });
  const result = await changes.apply([{ routes: { a: route }, services: { users: service } }], {
    ...anna,
    message: "move a",
  });
  assert.equal(result.revision, old + 1);
  assert.equal(result.transactions, 1);
  assert.deepEqual(result.diff, [
    {
      kind: "routes",
      name: "a",
      action: "update",
      changes: [{ path: "match.path", before: "/old", after: "/a" }],
    },
  ]);
  assert.deepEqual(configuration(store), { "routes/a": route, "services/users": service });
  const [change] = changes.history();
  assert.equal(change?.id, result.change);
  assert.equal(change?.revision, result.revision);
  assert.deepEqual([change?.author, change?.message, change?.action], ["anna@desk", "move a", "apply"]);
  assert.deepEqual(change?.writes, [
    { kind: "routes", name: "a", action: "update", before: { to: "users", match: { path: "/old" } }, after: route },
  ]);
});

test("values are stored as compact JSON with their keys as written", async () => {
  const { store, changes } = rig();
  await changes.put("routes", "a", { to: "users", match: { path: "/a" } }, anna);
  const stored = store.contents("/headgate/routes/a").values().next().value;
  assert.equal(stored?.value.toString(), '{"to":"users","match":{"path":"/a"}}');
});

test("what is the same already is not written, whatever the order of its keys", async () => {
  const { store, changes } = rig();
  const revision = putByHand(store, "routes", "a", { to: "users", match: { path: "/a" } });
  const result = await changes.apply([{ routes: { a: route } }], anna);
  assert.deepEqual([result.change, result.transactions, result.diff], [null, 0, []]);
  assert.equal(store.revision, revision);
  const put = await changes.put("routes", "a", route, anna);
  assert.deepEqual([put.change, put.created, put.modRevision], [null, false, revision]);
});

test("a dry run says what would change and changes nothing", async () => {
  const { store, changes } = rig({
    judge: (_writes, { traffic }) =>
      Promise.resolve({
        problems: [{ severity: "warning", path: "routes.b", message: "is behind a" }],
        unreachable: [{ route: "b", alternative: 0, by: "a" }],
        ...(traffic ? { traffic: { requests: 3 } } : {}),
      }),
  });
  const before = store.revision;
  const result = await changes.apply([{ routes: { a: route } }], { ...anna, dryRun: true, confirmMs: 5 });
  assert.equal(store.revision, before);
  assert.equal(result.dryRun, true);
  assert.equal(result.change, null);
  assert.deepEqual(result.diff, [
    { kind: "routes", name: "a", action: "create", changes: [{ path: "", after: route }] },
  ]);
  assert.deepEqual(result.traffic, { requests: 3 });
  assert.equal(result.warnings.length, 1);
  assert.equal(result.unreachable.length, 1);
  assert.equal(result.confirm, undefined);
});

test("an error of the judge refuses the change, and nothing is written", async () => {
  const { store, changes } = rig({
    judge: () =>
      Promise.resolve({
        problems: [{ severity: "error", path: "routes.a.to", message: 'there is no service "users"' }],
        unreachable: [],
      }),
  });
  const before = store.revision;
  await assert.rejects(
    changes.apply([{ routes: { a: route } }], anna),
    refusedWith("invalid", /^Nothing was changed: routes\.a\.to: there is no service "users"\.$/),
  );
  assert.equal(store.revision, before);
});

test("prune deletes what no document holds", async () => {
  const { store, changes } = rig();
  putByHand(store, "routes", "a", route);
  putByHand(store, "routes", "b", route);
  putByHand(store, "services", "users", service);
  putByHand(store, "settings", "global", ["request-id"]);
  store.put("/headgate/nodes/n1", "{}");
  const result = await changes.apply([{ routes: { a: route } }], { ...anna, prune: true });
  assert.deepEqual(configuration(store), { "routes/a": route });
  assert.deepEqual(result.diff.map(({ kind, name, action }) => `${action} ${kind}/${name}`).sort(), [
    "delete routes/b",
    "delete services/users",
    "delete settings/global",
  ]);
  assert.equal(store.contents("/headgate/nodes/").size, 1);
});

test("prune refuses documents without any section, and takes an empty section at its word", async () => {
  const { store, changes } = rig();
  putByHand(store, "routes", "a", route);
  for (const documents of [[], [{}], [null], [{ gateway: {} }]]) {
    await assert.rejects(
      changes.apply(documents, { ...anna, prune: true }),
      refusedWith("invalid", /would delete all 1/),
    );
  }
  await changes.apply([{ routes: {} }], { ...anna, prune: true });
  assert.deepEqual(configuration(store), {});
});

test("a put holds to If-Match and If-None-Match", async () => {
  const { store, changes } = rig();
  const first = await changes.put("routes", "a", route, { ...anna, ifNoneMatch: "*" });
  assert.equal(first.created, true);
  const stale = first.modRevision - 1;
  for (const condition of [{ ifNoneMatch: "*" as const }, { ifMatch: [stale] }, { ifNoneMatch: [first.modRevision] }]) {
    await assert.rejects(changes.put("routes", "a", {}, { ...anna, ...condition }), (error: unknown) => {
      assert.ok(error instanceof ChangeError);
      assert.equal(error.code, "precondition-failed");
      assert.equal(error.modRevision, first.modRevision);
      return true;
    });
  }
  const second = await changes.put("routes", "a", {}, { ...anna, ifMatch: [stale, first.modRevision] });
  assert.deepEqual([second.created, second.modRevision], [false, store.revision]);
  await assert.rejects(changes.put("routes", "x", {}, { ...anna, ifMatch: "*" }), refusedWith("precondition-failed"));
  const gone = await changes.delete("routes", "a", { ...anna, ifMatch: "*" });
  assert.equal(gone.modRevision, 0);
  await assert.rejects(changes.delete("routes", "a", anna), refusedWith("not-found", /routes\/a/));
});

test("a change that others outran is planned anew; with If-Match it is refused", async () => {
  const { store, changes } = rig();
  putByHand(store, "routes", "a", { n: 0 });
  store.beforeWrite = (number) => {
    if (number <= 3) putByHand(store, "routes", "a", { n: number });
  };
  const result = await changes.apply([{ routes: { a: route } }], anna);
  assert.deepEqual(
    result.diff[0]?.changes.find(({ path }) => path === "n"),
    { path: "n", before: 3 },
  );
  assert.deepEqual(configuration(store), { "routes/a": route });

  store.beforeWrite = () => void putByHand(store, "routes", "a", { n: store.revision });
  const ifMatch = [result.revision];
  await assert.rejects(changes.put("routes", "a", {}, { ...anna, ifMatch }), refusedWith("precondition-failed"));
  await assert.rejects(changes.put("routes", "a", {}, anna), refusedWith("conflict", /5 times/));
});

test("a lost answer is followed up: a change that was made is reported as made, once", async () => {
  const { store, changes, clock } = rig();
  const revision = putByHand(store, "routes", "a", { n: 0 });
  store.afterWrite = (number) => {
    if (number === 1) lost();
  };
  const answer = changes.put("routes", "a", { n: 1 }, { ...anna, ifMatch: [revision] });
  while (clock.pending === 0) await Promise.resolve();
  clock.advance(1_000);
  const result = await answer;
  assert.equal(result.revision, revision + 1);
  assert.equal(changes.history().length, 1);
});

test("a lost answer does not make somebody else's equal value ours", async () => {
  const { store, changes, clock } = rig();
  const revision = putByHand(store, "routes", "a", { n: 0 });
  store.beforeWrite = (number) => {
    if (number > 1) return;
    putByHand(store, "routes", "a", { n: 1 });
    lost();
  };
  const answer = changes.put("routes", "a", { n: 1 }, { ...anna, ifMatch: [revision] });
  answer.catch(() => undefined);
  while (clock.pending === 0) await Promise.resolve();
  clock.advance(1_000);
  await assert.rejects(answer, refusedWith("precondition-failed"));
});

test("a store that stays silent is reported with the id to look for", async () => {
  const { store, changes, clock } = rig();
  store.beforeWrite = lost;
  const answer = changes.put("routes", "a", {}, anna);
  answer.catch(() => undefined);
  for (let i = 0; i < 200; i++) {
    await Promise.resolve();
    clock.advance(200);
  }
  await assert.rejects(answer, refusedWith("unanswered", /look for change [0-9a-z]{9}-[0-9a-z]{6} in the history/));
  store.cut();
  await assert.rejects(changes.put("routes", "a", {}, anna), StoreError);
});

test("documents that cannot be applied are refused with every reason", async () => {
  const { changes } = rig();
  const documents = [
    { rutes: {}, settings: {}, routes: { "bad name": {}, big: { text: "x".repeat(1024 * 1024) } }, services: [] },
    { gateway: { workers: 2 }, consumers: { a: {} } },
    { consumers: { a: {} } },
    "text",
  ];
  await assert.rejects(changes.apply(documents, anna), (error: unknown) => {
    assert.ok(error instanceof ChangeError);
    const told = error.problems.map(({ severity, path, message }) => `${severity} ${path}: ${message}`);
    const expected = [
      /^error rutes: unknown section "rutes"/,
      /^error settings: unknown section/,
      /^error services: expected a map/,
      /^warning gateway: is not applied/,
      /^error consumers\.a: stands in more than one document/,
      /^error : expected a map of sections/,
      /^error routes\["bad name"\]: the name "bad name" is not valid/,
      /^error routes\.big: takes \d+ bytes/,
    ];
    assert.equal(told.length, expected.length, told.join("\n"));
    for (const pattern of expected)
      assert.ok(
        told.some((line) => pattern.test(line)),
        String(pattern),
      );
    return true;
  });
});

test("secrets are in the record and not in what is told", async () => {
  const { store, changes } = rig();
  await changes.put("consumers", "alice", { keys: ["k-1"], groups: ["gold"] }, anna);
  const result = await changes.put("consumers", "alice", { keys: ["k-2"], groups: ["silver"] }, anna);
  assert.deepEqual(result.diff[0]?.changes, [
    { path: "keys[0]", before: "[redacted]", after: "[redacted]" },
    { path: "groups[0]", before: "gold", after: "silver" },
  ]);
  const [told] = changes.history();
  assert.doesNotMatch(JSON.stringify(told), /k-[12]/);
  assert.match(JSON.stringify(changes.history({ secrets: true })[0]), /k-1.*k-2/);
  const records = [...store.contents(changesPrefix(prefix)).values()].map(({ value }) => value.toString());
  assert.match(records.at(-1) ?? "", /k-2/);
});

test("history is filtered by kind and name, newest first, and keeps the newest 200", async () => {
  const { store, changes } = rig();
  for (let n = 0; n < 203; n++) await changes.put("routes", n % 2 === 0 ? "even" : "odd", { n }, anna);
  await changes.put("services", "users", service, anna);
  assert.equal(store.contents("/headgate/changes/").size, 200);
  assert.equal(changes.history({ limit: 1_000 }).length, 200);
  const odd = changes.history({ kind: "routes", name: "odd", limit: 2 });
  assert.deepEqual(
    odd.map(({ writes }) => writes[0]?.after),
    [{ n: 201 }, { n: 199 }],
  );
  assert.deepEqual(
    changes.history({ kind: "services" }).map(({ revision }) => revision),
    [store.revision],
  );
});
