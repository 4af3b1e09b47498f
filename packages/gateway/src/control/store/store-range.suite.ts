import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOf, prefixRange, textOf } from "./keys.ts";
import type { OpenStore } from "./store.fixtures.ts";
import {
  assertRefused,
  deleteOf,
  get,
  keysOf,
  newestRevision,
  ownPrefix,
  put,
  putOf,
  write,
} from "./store.fixtures.ts";
import type { RangeRequest } from "./store.ts";

/** What reading gives. Part of `storeSuite`. */
export function rangeSuite(name: string, open: OpenStore, skip: string | false): void {
  singleKeys(name, open, skip);
  pages(name, open, skip);
  orders(name, open, skip);
  oldRevisions(name, open, skip);
}

function singleKeys(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a range of one key has the key or nothing`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    await put(store, `${prefix}ab`, "2");
    const found = await store.range({ key: keyOf(`${prefix}a`) });
    assert.deepEqual(
      { count: found.count, more: found.more, kvs: found.kvs },
      {
        count: 1,
        more: false,
        kvs: [
          {
            key: keyOf(`${prefix}a`),
            value: Buffer.from("1"),
            createRevision: revision,
            modRevision: revision,
            version: 1,
            lease: "0",
          },
        ],
      },
    );
    assert.equal(found.revision, revision + 1);
    assert.match(found.clusterId, /^[1-9]\d*$/);
    const missing = await store.range({ key: keyOf(`${prefix}b`) });
    assert.deepEqual([missing.kvs, missing.count, missing.more], [[], 0, false]);
  });

  test(`${name}: keys and values are bytes`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = keyOf(ownPrefix());
    const keys = ["\0", "\0\0", "\x7f", "\x80", "é", "\xff", "\xff\xff"].map((end) => prefix + end);
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    await store.txn({
      compare: [],
      then: keys.toReversed().map((key) => ({ type: "put", put: { key, value: everyByte } }) as const),
    });
    const { kvs } = await store.range(prefixRange(prefix));
    assert.deepEqual(
      kvs.map((kv) => kv.key),
      keys,
    );
    for (const kv of kvs) assert.deepEqual(kv.value, everyByte);
  });

  test(`${name}: an empty value and one of a mebibyte come back as they were`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const large = Buffer.alloc(1_048_576, "headgate");
    await put(store, `${prefix}large`, large);
    await put(store, `${prefix}empty`, "");
    assert.ok((await get(store, `${prefix}large`))?.value.equals(large));
    assert.equal((await get(store, `${prefix}empty`))?.value.length, 0);
  });

  test(
    `${name}: ranges take prefixes, intervals without their end, and everything from a key on`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const prefix = ownPrefix();
      await write(store, ...["a", "b", "ba", "bb", "c"].map((key) => putOf(prefix + key, key)));
      const at = (key: string): string => keyOf(prefix + key);
      const cases: readonly (readonly [string, RangeRequest, readonly string[]])[] = [
        ["prefix", prefixRange(at("b")), ["b", "ba", "bb"]],
        ["interval", { key: at("a"), end: at("bb") }, ["a", "b", "ba"]],
        ["empty interval", { key: at("b"), end: at("b") }, []],
        ["backwards interval", { key: at("c"), end: at("a") }, []],
        ["all below", prefixRange(at("")), ["a", "b", "ba", "bb", "c"]],
      ];
      for (const [what, range, expected] of cases) {
        assert.deepEqual(await keysOf(store, range), expected.map((key) => prefix + key), what); // prettier-ignore
      }
      const from = await keysOf(store, { key: at("bb"), end: "\0" });
      assert.deepEqual(from.slice(0, 2), [`${prefix}bb`, `${prefix}c`]);
      const everything = await keysOf(store, { key: "\0", end: "\0" });
      assert.ok(everything.includes(`${prefix}a`));
      await assertRefused(store.range({ key: "" }), "invalid");
    },
  );
}

function pages(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a limit says that there is more, and how many there are`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await write(store, ...["a", "b", "c"].map((key) => putOf(prefix + key, key)));
    const all = prefixRange(keyOf(prefix));
    for (const [limit, length, more] of [
      [0, 3, false],
      [1, 1, true],
      [2, 2, true],
      [3, 3, false],
      [4, 3, false],
    ] as const) {
      const found = await store.range({ ...all, limit });
      assert.deepEqual([found.kvs.length, found.more, found.count], [length, more, 3], `limit ${limit}`);
    }
    const counted = await store.range({ ...all, countOnly: true });
    assert.deepEqual([counted.kvs, counted.count], [[], 3]);
    const named = await store.range({ ...all, keysOnly: true });
    assert.deepEqual(
      named.kvs.map((kv) => [textOf(kv.key).slice(prefix.length), kv.value.length, kv.version]),
      [
        ["a", 0, 1],
        ["b", 0, 1],
        ["c", 0, 1],
      ],
    );
  });

  test(`${name}: pages at one revision are one picture, whatever is written meanwhile`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const keys = Array.from({ length: 500 }, (_, n) => `${prefix}${String(n).padStart(4, "0")}`);
    for (let at = 0; at < keys.length; at += 100) {
      await write(store, ...keys.slice(at, at + 100).map((key) => putOf(key, "old")));
    }
    const { end = "" } = prefixRange(keyOf(prefix));
    const first = await store.range({ key: keyOf(prefix), end, limit: 120 });
    const found = [...first.kvs];
    for (let more = first.more; more;) {
      const last = found.at(-1)?.key ?? "";
      await put(store, `${textOf(last)}x`, "new"); // exactly where the next page begins
      await write(store, deleteOf(keys.at(-1) ?? ""), putOf(keys[499 - 1] ?? "", "new"));
      const page = await store.range({ key: `${last}\0`, end, limit: 120, revision: first.revision });
      assert.ok(page.revision > first.revision, "a page says the newest revision, not the one it is of");
      found.push(...page.kvs);
      more = page.more;
    }
    assert.deepEqual(
      found.map((kv) => `${textOf(kv.key)}=${kv.value.toString()}`),
      keys.map((key) => `${key}=old`),
    );
  });
}

function orders(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a range is sorted by what is asked for`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await put(store, `${prefix}b`, "3");
    await put(store, `${prefix}c`, "0");
    await put(store, `${prefix}a`, "2");
    await put(store, `${prefix}c`, "1");
    await put(store, `${prefix}b`, "3");
    await put(store, `${prefix}b`, "3");
    const ascending = { key: "abc", version: "acb", create: "bca", mod: "acb", value: "cab" } as const;
    const all = prefixRange(keyOf(prefix));
    for (const by of ["key", "version", "create", "mod", "value"] as const) {
      for (const descending of [false, true]) {
        const sort = { by, descending };
        const expected = descending ? [...ascending[by]].reverse() : [...ascending[by]];
        const names = async (limit: number): Promise<string[]> =>
          (await keysOf(store, { ...all, sort, limit })).map((key) => key.slice(prefix.length));
        assert.deepEqual(await names(0), expected, `by ${by}, descending: ${descending}`);
        // The first of the sorted keys, not the sorted first keys.
        assert.deepEqual(await names(2), expected.slice(0, 2), `by ${by}, descending: ${descending}, limit 2`);
      }
    }
  });

  test(`${name}: keys can be chosen by the revisions in which they came and changed`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const base = await put(store, `${prefix}a`, "1");
    await put(store, `${prefix}b`, "1");
    await put(store, `${prefix}c`, "1");
    await put(store, `${prefix}a`, "2"); // a: created base, changed base + 3
    const all = prefixRange(keyOf(prefix));
    const cases: readonly (readonly [Partial<RangeRequest>, string])[] = [
      [{ minModRevision: base + 2 }, "ac"],
      [{ maxModRevision: base + 2 }, "bc"],
      [{ minModRevision: base + 2, maxModRevision: base + 2 }, "c"],
      [{ minCreateRevision: base + 1 }, "bc"],
      [{ maxCreateRevision: base }, "a"],
      [{ minCreateRevision: base + 9 }, ""],
      [{ maxCreateRevision: base + 2, sort: { by: "create", descending: true }, limit: 1 }, "c"],
    ];
    for (const [filter, expected] of cases) {
      const found = await keysOf(store, { ...all, ...filter });
      assert.equal(found.map((key) => key.slice(prefix.length)).join(""), expected, JSON.stringify(filter));
    }
  });
}

function oldRevisions(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: the past can be read, the future cannot`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const key = keyOf(`${prefix}a`);
    const first = await put(store, `${prefix}a`, "1");
    await put(store, `${prefix}a`, "2");
    await write(store, deleteOf(`${prefix}a`));
    await put(store, `${prefix}a`, "4");
    const seen: string[] = [];
    for (let revision = first - 1; revision <= first + 3; revision++) {
      const [kv] = (await store.range({ key, revision })).kvs;
      seen.push(kv === undefined ? "-" : `${kv.value.toString()} ${kv.createRevision - first} ${kv.version}`);
    }
    assert.deepEqual(seen, ["-", "1 0 1", "2 0 2", "-", "4 3 1"]);
    await assertRefused(store.range({ key, revision: first + 4 }), "future");
  });

  test(`${name}: a compaction forgets what was before it and nothing else`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const key = keyOf(`${prefix}a`);
    const first = await put(store, `${prefix}a`, "1");
    await put(store, `${prefix}b`, "1");
    const third = await put(store, `${prefix}a`, "2");
    await store.compact(third);
    await assertRefused(store.range({ key, revision: first }), "compacted");
    await assertRefused(store.range({ key, revision: third - 1 }), "compacted");
    assert.equal((await store.range({ key, revision: third })).kvs[0]?.value.toString(), "2");
    assert.equal((await get(store, `${prefix}b`))?.modRevision, first + 1);
    assert.equal(await newestRevision(store), third, "a compaction is no revision");
    await assertRefused(store.compact(third), "compacted");
    await assertRefused(store.compact(third - 1), "compacted");
    await assertRefused(store.compact(third + 1), "future");
    assert.equal(await put(store, `${prefix}a`, "3"), third + 1);
  });
}
