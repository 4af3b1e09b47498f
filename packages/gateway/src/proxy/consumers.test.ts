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
