import assert from "node:assert/strict";
import { test } from "node:test";
import { buildConsumerDirectory } from "./consumers.ts";

const consumers = {
  alice: { keys: ["a1", "a2"], groups: ["gold"], jwt: { subject: "sub-alice" } },
  bob: { keys: ["b1"], groups: [] },
};

test("finds a consumer by any of its keys and by its subject", () => {
  const directory = buildConsumerDirectory(consumers);
  assert.deepEqual(directory.byKey("a2"), { name: "alice", groups: ["gold"] });
  assert.equal(directory.byKey("b1")?.name, "bob");
  assert.equal(directory.bySubject("sub-alice")?.name, "alice");
});

test("finds nobody by a name, a part of a key, or a property of objects", () => {
  const directory = buildConsumerDirectory(consumers);
  for (const text of ["alice", "a", "a11", "", "__proto__", "constructor"]) {
    assert.equal(directory.byKey(text), undefined, text);
    assert.equal(directory.bySubject(text), undefined, text);
  }
});

test("refuses a key or a subject that two consumers share, without repeating it", () => {
  const shared = (extra: object) => ({ ...consumers, eve: { keys: [], groups: [], ...extra } });
  assert.throws(
    () => buildConsumerDirectory(shared({ keys: ["b1"] })),
    /^Error: consumers bob and eve have the same key$/,
  );
  assert.throws(
    () => buildConsumerDirectory(shared({ jwt: { subject: "sub-alice" } })),
    /^Error: consumers alice and eve have the same jwt subject$/,
  );
});

test("after a change finds what it says, and the directory before is as it was", () => {
  const before = buildConsumerDirectory(consumers);
  const after = before.after({ set: { alice: { keys: ["a2", "a3"], groups: [] } }, delete: ["bob"] });
  assert.deepEqual(
    ["a1", "a2", "a3", "b1"].map((key) => after.byKey(key)?.name),
    [undefined, "alice", "alice", undefined],
  );
  assert.equal(after.bySubject("sub-alice"), undefined);
  assert.deepEqual(after.byKey("a2")?.groups, []);
  assert.deepEqual(
    ["a1", "a2", "a3", "b1"].map((key) => before.byKey(key)?.name),
    ["alice", "alice", undefined, "bob"],
  );
  assert.equal(before.bySubject("sub-alice")?.name, "alice");
});

test("two consumers swap their keys in one change", () => {
  const swapped = { alice: { keys: ["b1"], groups: [] }, bob: { keys: ["a1"], groups: [] } };
  const after = buildConsumerDirectory(consumers).after({ set: swapped, delete: [] });
  assert.equal(after.byKey("a1")?.name, "bob");
  assert.equal(after.byKey("b1")?.name, "alice");
});

test("a change that would share a key with a consumer it does not name is refused", () => {
  const directory = buildConsumerDirectory(consumers);
  assert.throws(
    () => directory.after({ set: { eve: { keys: ["a1"], groups: [] } }, delete: [] }),
    /^Error: consumers alice and eve have the same key$/,
  );
  const freed = directory.after({ set: { eve: { keys: ["a1"], groups: [] } }, delete: ["alice"] });
  assert.equal(freed.byKey("a1")?.name, "eve");
});
