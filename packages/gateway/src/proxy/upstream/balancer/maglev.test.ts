import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hashOf, maglevTable, rehash, sharedTable, tablesMax, type MaglevEntry } from "./maglev.ts";

function entriesOf(weights: readonly number[]): MaglevEntry[] {
  return weights.map((weight, i) => ({ address: `10.0.${i >> 8}.${i & 255}:8080`, weight }));
}

const equal = (count: number): MaglevEntry[] => entriesOf(Array.from({ length: count }, () => 1));

function slotsOf(table: Uint16Array, entries: number): number[] {
  const counts = Array.from({ length: entries }, () => 0);
  for (const index of table) counts[index] = (counts[index] ?? 0) + 1;
  return counts;
}

for (const count of [1, 2, 3, 5, 17, 100, 655]) {
  test(`${count} equal instances have the same share to one slot`, () => {
    const counts = slotsOf(maglevTable(equal(count)), count);
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    assert.ok(Math.max(...counts) / Math.min(...counts) <= 1.02);
  });

  test(`when one of ${count} instances leaves, its texts move, and of the others' at most one in a hundred`, () => {
    if (count === 1) return;
    const entries = equal(count);
    const before = maglevTable(entries);
    for (const gone of [0, Math.floor(count / 2), count - 1]) {
      const after = maglevTable(entries.map((entry, i) => (i === gone ? { ...entry, weight: 0 } : entry)));
      let moved = 0;
      for (const [slot, index] of before.entries()) {
        assert.notEqual(after[slot], gone);
        if (after[slot] !== index) moved++;
      }
      assert.ok(moved / before.length >= 0.99 / count);
      assert.ok(moved / before.length <= 1 / count + 0.01, `${moved} of ${before.length}`);
    }
  });
}

test("slots are in proportion to the weights, and weights of 0 have none", () => {
  for (const weights of [
    [1, 2, 3],
    [100, 1, 1],
    [0, 1, 5],
    [0.5, 1.5],
    [95, 5],
    Array.from({ length: 300 }, (_, i) => i),
  ]) {
    const counts = slotsOf(maglevTable(entriesOf(weights)), weights.length);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    for (const [i, weight] of weights.entries()) {
      const expected = (weight / sum) * 65_537;
      assert.ok(
        Math.abs((counts[i] ?? 0) - expected) <= 2 + 0.01 * expected,
        `${weights.slice(0, 9).join()}: ${counts.join()}`,
      );
    }
  }
});

test("a changed weight moves about as much as the share that changes", () => {
  const before = maglevTable(entriesOf([10, 10, 10, 10, 10]));
  const after = maglevTable(entriesOf([10, 10, 5, 10, 10]));
  const moved = before.filter((index, slot) => after[slot] !== index).length / before.length;
  assert.ok(moved >= 1 / 5 - 1 / 9 && moved <= 1 / 5 - 1 / 9 + 0.03, `${moved}`);
});

test("the order of the instances does not matter, and every slot is taken", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 65_535 }), { minLength: 1, maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 12, maxLength: 12 }),
      (ids, weights) => {
        const entries = ids.map((id, i) => ({ address: `10.0.0.1:${id}`, weight: weights[i] ?? 1 }));
        const reversed = entries.toReversed();
        const addresses = (table: Uint16Array, from: readonly MaglevEntry[]) =>
          Array.from(table, (index) => from[index]?.address ?? "none");
        const one = addresses(maglevTable(entries), entries);
        assert.ok(!one.includes("none"));
        assert.deepEqual(addresses(maglevTable(reversed), reversed), one);
      },
    ),
    { numRuns: 15 },
  );
});

test("without a weight there is no slot", () => {
  assert.equal(maglevTable([]).length, 0);
  assert.equal(maglevTable(entriesOf([0, 0])).length, 0);
});

test("placements are the same in every gateway and in every release", () => {
  // Where texts are after an update of the gateway is where they were: these numbers must not change.
  const table = maglevTable(equal(5));
  const texts = ["", "alice", "bob", "10.0.0.1", "µ", "\u4e2d\u6587", "a".repeat(1_000)];
  assert.deepEqual(
    texts.map((text) => table[hashOf(text) % table.length]),
    [3, 4, 3, 0, 4, 4, 3],
  );
});

test("hashes of like texts, and of one text again and again, are spread over all instances", () => {
  const table = maglevTable(equal(10));
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 20_000; i++) {
    const index = table[hashOf(`user-${i}`) % table.length] ?? -1;
    counts[index] = (counts[index] ?? 0) + 1;
  }
  for (const count of counts) assert.ok(Math.abs(count - 2_000) < 200, counts.join());
  const visited = new Set<number | undefined>();
  let hash = hashOf("user-1");
  for (let attempt = 1; attempt <= 100; attempt++) {
    hash = rehash(hash, attempt);
    visited.add(table[hash % table.length]);
  }
  assert.equal(visited.size, 10);
});

test("a table is made once for the same instances and weights, and the one unused for longest is forgotten", () => {
  const entries = (id: number): MaglevEntry[] => [{ address: `kept-${id}:1`, weight: 1 }];
  const first = sharedTable(entries(0));
  assert.equal(sharedTable(entries(0)), first);
  assert.notEqual(sharedTable([{ address: "kept-0:1", weight: 2 }]), first);
  const second = sharedTable(entries(1));
  for (let id = 2; id < tablesMax; id++) {
    sharedTable(entries(id));
    sharedTable(entries(0));
  }
  assert.equal(sharedTable(entries(0)), first);
  sharedTable(entries(tablesMax));
  assert.notEqual(sharedTable(entries(1)), second);
  assert.equal(sharedTable(entries(0)), first);
});
