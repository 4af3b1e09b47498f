import assert from "node:assert/strict";
import { test } from "node:test";
import { pass } from "../../../../tests/kit/fake-timers.ts";
import { assertSame, prefix, replicate, told } from "./replicate.fixtures.ts";

/** Within this after a lost connection is back, what the store holds is known. */
const comparedMs = 600;

const restores: readonly {
  readonly what: string;
  readonly write: (put: (key: string, value: string) => void) => void;
}[] = [
  {
    what: "has been written past what is known",
    write: (put) => {
      for (let n = 0; n < 10; n++) put("routes/other", String(n));
    },
  },
  {
    what: "has other values at the same revisions",
    write: (put) => {
      put("routes/a", "another");
      put("routes/new", "another");
    },
  },
];

for (const { what, write } of restores) {
  test(`a store that was restored under its old name and ${what} is noticed soon after it is back`, async (t) => {
    const replica = await replicate(t, { keys: ["routes/a", "routes/b", "routes/c"] });
    const backup = replica.store.backup();
    replica.store.put(`${prefix}routes/a`, "lost");
    replica.store.put(`${prefix}routes/new`, "lost");
    replica.store.cut();
    replica.store.restore(backup);
    write((key, value) => void replica.store.put(prefix + key, value));
    replica.store.mend();
    await pass(replica.clock, comparedMs);
    assertSame(replica);
    assert.equal(told(replica.changes.at(-1))?.toString().startsWith("list"), true, "it was listed again");
    assert.deepEqual(replica.drifts, []);
  });
}

test("a store that comes back as it was is listed once, with values, and nothing is told", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a", "routes/b", "routes/c"] });
  replica.changes.splice(0);
  replica.store.cut();
  replica.store.put(`${prefix}routes/a`, "meanwhile");
  replica.store.mend();
  const before = replica.store.ranges.length;
  await pass(replica.clock, comparedMs);
  assert.deepEqual(
    replica.store.ranges.slice(before).map(({ keysOnly = false }) => keysOnly),
    [false],
  );
  assert.deepEqual(replica.changes.map(told), [["watch", replica.store.revision, ["routes/a"], []]]);
  await pass(replica.clock, 50_000);
  assert.equal(replica.store.ranges.length, before + 1, "the next comparison is the ordinary one");
});

test("a connection that comes and goes is compared once it stays", async (t) => {
  const replica = await replicate(t, { keys: ["routes/a"] });
  const before = replica.store.ranges.length;
  for (let n = 0; n < 5; n++) {
    replica.store.cut();
    replica.store.mend();
    await pass(replica.clock, 100);
  }
  assert.equal(replica.store.ranges.length, before);
  await pass(replica.clock, comparedMs);
  assert.equal(replica.store.ranges.length, before + 1);
});
