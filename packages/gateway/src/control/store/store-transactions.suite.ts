import assert from "node:assert/strict";
import { test } from "node:test";
import { keyOf, prefixRange } from "./keys.ts";
import {
  assertRefused,
  contents,
  deleteOf,
  deletePrefixOf,
  get,
  newestRevision,
  ownPrefix,
  put,
  putOf,
  rangeOf,
  write,
  type OpenStore,
} from "./store.fixtures.ts";
import type { Compare, Operation, Store } from "./store.ts";

/** What writing does. Part of `storeSuite`. */
export function transactionSuite(name: string, open: OpenStore, skip: string | false): void {
  puts(name, open, skip);
  transactions(name, open, skip);
  compares(name, open, skip);
  refusals(name, open, skip);
}

function puts(name: string, open: OpenStore, skip: string | false): void {
  test(
    `${name}: a key counts its versions from its creation, and starts again after its deletion`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const key = `${ownPrefix()}a`;
      const first = await put(store, key, "1");
      assert.equal(await put(store, key, "1"), first + 1, "the same value again is a revision");
      const facts = async (): Promise<unknown> => {
        const kv = await get(store, key);
        return kv && [kv.createRevision - first, kv.modRevision - first, kv.version];
      };
      assert.deepEqual(await facts(), [0, 1, 2]);
      await write(store, deleteOf(key));
      assert.equal(await facts(), undefined);
      await put(store, key, "2");
      assert.deepEqual(await facts(), [3, 3, 1]);
    },
  );

  test(
    `${name}: a delete tells how many keys it took and what they were; of nothing it is no revision`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const prefix = ownPrefix();
      await put(store, `${prefix}a`, "1");
      await put(store, `${prefix}b`, "2");
      const revision = await put(store, `${prefix}c`, "3");
      const done = await write(store, deleteOf(`${prefix}a`, { end: keyOf(`${prefix}c`), previous: true }));
      assert.equal(done.revision, revision + 1);
      const [result] = done.responses;
      assert.ok(result?.type === "delete");
      assert.equal(result.deleted, 2);
      assert.deepEqual(
        result.previous.map((kv) => kv.value.toString()),
        ["1", "2"],
      );
      const nothing = await write(store, deleteOf(`${prefix}a`));
      assert.equal(nothing.revision, revision + 1);
      assert.deepEqual(nothing.responses, [{ type: "delete", deleted: 0, previous: [] }]);
      assert.equal(await newestRevision(store), revision + 1);
      assert.deepEqual(await contents(store, prefix), ["c=3"]);
    },
  );

  test(`${name}: a put gives the previous value when asked, and can keep the value`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const key = `${prefix}a`;
    const created = await write(store, putOf(key, "1", { previous: true }));
    assert.deepEqual(created.responses, [{ type: "put" }]);
    const changed = await write(store, putOf(key, "2", { previous: true }));
    const [result] = changed.responses;
    assert.ok(result?.type === "put");
    assert.equal(result.previous?.value.toString(), "1");
    assert.equal(result.previous?.modRevision, created.revision);
    await write(store, putOf(key, "", { ignoreValue: true }));
    const kv = await get(store, key);
    assert.deepEqual([kv?.value.toString(), kv?.version], ["2", 3]);
    await assertRefused(write(store, putOf(`${prefix}none`, "", { ignoreValue: true })), "invalid");
    await assertRefused(write(store, putOf(`${prefix}none`, "1", { ignoreLease: true })), "invalid");
  });
}

function transactions(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: all writes of a transaction are one revision, its answers in order`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const before = await put(store, `${prefix}old`, "0");
    const done = await write(
      store,
      putOf(`${prefix}a`, "1"),
      rangeOf(prefixRange(keyOf(prefix))),
      deleteOf(`${prefix}old`),
      putOf(`${prefix}b`, "2"),
      rangeOf({ ...prefixRange(keyOf(prefix)), countOnly: true }),
    );
    assert.equal(done.succeeded, true);
    assert.equal(done.revision, before + 1);
    const kinds = done.responses.map((response) => response.type);
    assert.deepEqual(kinds, ["put", "range", "delete", "put", "range"]);
    // A read sees the writes before it and not those after it.
    const reads = done.responses.flatMap((response) => (response.type === "range" ? [response.range] : []));
    assert.deepEqual(reads.map((range) => range.count), [2, 2]); // prettier-ignore
    assert.deepEqual(reads[0]?.kvs.map((kv) => kv.value.toString()), ["1", "0"]); // prettier-ignore
    for (const key of ["a", "b"]) assert.equal((await get(store, prefix + key))?.modRevision, before + 1);
    assert.deepEqual(await contents(store, prefix), ["a=1", "b=2"]);
  });

  test(`${name}: a transaction that writes nothing is no revision`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    const absent: Compare = { key: keyOf(`${prefix}a`), target: "version", is: "=", number: 0 };
    for (const then of [[], [rangeOf({ key: keyOf(`${prefix}a`) })], [deleteOf(`${prefix}none`)]]) {
      const done = await store.txn({ compare: [], then });
      assert.deepEqual([done.succeeded, done.revision], [true, revision]);
    }
    const refused = await store.txn({ compare: [absent], then: [putOf(`${prefix}a`, "2")] });
    assert.deepEqual(refused, { succeeded: false, revision, responses: [] });
    assert.equal(await newestRevision(store), revision);
  });

  test(`${name}: a transaction within a transaction decides for itself, in the same revision`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    const nested = (number: number): Operation => ({
      type: "txn",
      txn: {
        compare: [{ key: keyOf(`${prefix}a`), target: "version", is: "=", number }],
        then: [putOf(`${prefix}then${number}`, "x")],
        otherwise: [putOf(`${prefix}otherwise${number}`, "x"), rangeOf({ key: keyOf(`${prefix}a`) })],
      },
    });
    const done = await write(store, putOf(`${prefix}b`, "1"), nested(1), nested(7));
    assert.equal(done.revision, revision + 1);
    const inner = done.responses.flatMap((response) => (response.type === "txn" ? [response.txn] : []));
    assert.deepEqual(
      inner.map((txn) => [txn.succeeded, txn.responses.map((response) => response.type)]),
      [
        [true, ["put"]],
        [false, ["put", "range"]],
      ],
    );
    assert.deepEqual(await contents(store, prefix), ["a=1", "b=1", "otherwise7=x", "then1=x"]);
    assert.equal((await get(store, `${prefix}otherwise7`))?.modRevision, revision + 1);
  });

  test(`${name}: of writers that compare and set at once, none loses a step`, { skip }, async (t) => {
    const { store } = await open(t);
    const key = `${ownPrefix()}counter`;
    await put(store, key, "0");
    const increment = async (): Promise<void> => {
      for (;;) {
        const kv = await get(store, key);
        assert.ok(kv);
        const done = await store.txn({
          compare: [{ key: keyOf(key), target: "mod", is: "=", number: kv.modRevision }],
          then: [putOf(key, String(Number(kv.value.toString()) + 1))],
        });
        if (done.succeeded) return;
      }
    };
    await Promise.all(Array.from({ length: 12 }, increment));
    const kv = await get(store, key);
    assert.deepEqual([kv?.value.toString(), kv?.version], ["12", 13]);
  });
}

function compares(name: string, open: OpenStore, skip: string | false): void {
  const holds = async (store: Store, ...compare: Compare[]): Promise<boolean> =>
    (await store.txn({ compare, then: [] })).succeeded;

  test(`${name}: a compare holds what the store has against the value given`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const key = keyOf(`${prefix}a`);
    const lease = await store.grant(600);
    const create = await put(store, `${prefix}a`, "k");
    const mod = await put(store, `${prefix}a`, "m", { lease: lease.id });
    const has = { version: 2, create, mod };
    for (const target of ["version", "create", "mod"] as const) {
      for (const [difference, held] of [
        [-1, ["!=", ">"]],
        [0, ["="]],
        [1, ["!=", "<"]],
      ] as const) {
        for (const is of ["=", "!=", "<", ">"] as const) {
          const number = has[target] + difference;
          const expected = (held as readonly string[]).includes(is);
          assert.equal(await holds(store, { key, target, is, number }), expected, `${target} ${is} ${difference}`);
        }
      }
    }
    for (const [value, held] of [
      ["l", ["!=", ">"]],
      ["m", ["="]],
      ["m\0", ["!=", "<"]],
      ["é", ["!=", "<"]], // bytes beyond 127 are greater
    ] as const) {
      for (const is of ["=", "!=", "<", ">"] as const) {
        const expected = (held as readonly string[]).includes(is);
        assert.equal(await holds(store, { key, target: "value", is, value: Buffer.from(value) }), expected, value + is);
      }
    }
    assert.equal(await holds(store, { key, target: "lease", is: "=", lease: lease.id }), true);
    assert.equal(await holds(store, { key, target: "lease", is: "=", lease: "0" }), false);
    assert.equal(await holds(store, { key, target: "lease", is: ">", lease: "0" }), true);
  });

  test(
    `${name}: a key that is not there has version, revisions and lease 0, and no value at all`,
    { skip },
    async (t) => {
      const { store } = await open(t);
      const key = keyOf(`${ownPrefix()}none`);
      for (const target of ["version", "create", "mod"] as const) {
        assert.equal(await holds(store, { key, target, is: "=", number: 0 }), true, target);
        assert.equal(await holds(store, { key, target, is: ">", number: 0 }), false, target);
      }
      assert.equal(await holds(store, { key, target: "lease", is: "=", lease: "0" }), true);
      for (const is of ["=", "!=", "<", ">"] as const) {
        assert.equal(await holds(store, { key, target: "value", is, value: Buffer.alloc(0) }), false, is);
      }
    },
  );

  test(`${name}: all compares must hold, and one of a range holds for every key in it`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    await put(store, `${prefix}a`, "x");
    await put(store, `${prefix}b`, "x");
    await put(store, `${prefix}b`, "x");
    const all = prefixRange(keyOf(prefix));
    assert.equal(await holds(store, { ...all, target: "version", is: ">", number: 0 }), true);
    assert.equal(await holds(store, { ...all, target: "version", is: "=", number: 1 }), false);
    assert.equal(await holds(store, { ...all, target: "value", is: "=", value: Buffer.from("x") }), true);
    const none = prefixRange(keyOf(`${prefix}none`));
    assert.equal(await holds(store, { ...none, target: "create", is: "=", number: 0 }), true);
    const good: Compare = { ...all, target: "version", is: "<", number: 3 };
    const bad: Compare = { ...all, target: "version", is: ">", number: 3 };
    assert.deepEqual([await holds(store, good, good), await holds(store, good, bad)], [true, false]);
  });
}

function refusals(name: string, open: OpenStore, skip: string | false): void {
  test(`${name}: a transaction that writes a key twice is refused whole`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    const twice = [putOf(`${prefix}b`, "1"), putOf(`${prefix}b`, "2")];
    const cases: readonly (readonly [string, readonly Operation[]])[] = [
      ["two puts", twice],
      ["a put and a delete of it", [putOf(`${prefix}b`, "1"), deleteOf(`${prefix}b`)]],
      ["a put and a delete of a range with it", [deletePrefixOf(prefix), putOf(`${prefix}b`, "1")]],
      ["one of them within", [putOf(`${prefix}b`, "1"), { type: "txn", txn: { compare: [], then: [twice[0]].flatMap((o) => o ?? []) } }]], // prettier-ignore
    ];
    for (const [what, then] of cases) {
      await assertRefused(store.txn({ compare: [], then }), "invalid").catch((error: unknown) => {
        throw new Error(`${what} is not refused`, { cause: error });
      });
    }
    // Also in the branch that is not taken.
    await assertRefused(store.txn({ compare: [], then: [], otherwise: twice }), "invalid");
    assert.equal(await newestRevision(store), revision);
    // Deletes may overlap, and the two branches may write the same key.
    await write(store, deleteOf(`${prefix}a`), deletePrefixOf(prefix));
    await store.txn({ compare: [], then: [putOf(`${prefix}c`, "1")], otherwise: [putOf(`${prefix}c`, "2")] });
    assert.deepEqual(await contents(store, prefix), ["c=1"]);
  });

  test(`${name}: a transaction has at most 128 operations a branch, and 128 compares`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const many = (count: number): Operation[] => Array.from({ length: count }, (_, n) => putOf(`${prefix}${n}`, "x"));
    const one: Compare = { key: keyOf(prefix), target: "version", is: "=", number: 0 };
    const done = await store.txn({ compare: Array.from({ length: 128 }, () => one), then: many(128) });
    assert.deepEqual([done.succeeded, done.responses.length], [true, 128]);
    assert.equal((await contents(store, prefix)).length, 128);
    await assertRefused(store.txn({ compare: [], then: many(129) }), "too-many-operations");
    await assertRefused(store.txn({ compare: [], then: [], otherwise: many(129) }), "too-many-operations");
    await assertRefused(
      store.txn({ compare: Array.from({ length: 129 }, () => one), then: [] }),
      "too-many-operations",
    );
    assert.equal(await newestRevision(store), done.revision);
  });

  test(`${name}: what is too large or has no key is refused, and nothing of it is done`, { skip }, async (t) => {
    const { store } = await open(t);
    const prefix = ownPrefix();
    const revision = await put(store, `${prefix}a`, "1");
    const large = Buffer.alloc(1_700_000);
    await assertRefused(write(store, putOf(`${prefix}a`, large)), "too-large");
    await assertRefused(write(store, putOf(`${prefix}a`, Buffer.alloc(4_000_000))), "too-large");
    await assertRefused(write(store, putOf("", "1")), "invalid");
    await assertRefused(write(store, putOf(`${prefix}b`, "1"), putOf("", "1")), "invalid");
    await assertRefused(write(store, deleteOf("")), "invalid");
    await assertRefused(
      write(store, putOf(`${prefix}b`, "1"), rangeOf({ key: keyOf(prefix), revision: revision + 9 })),
      "future",
    );
    assert.equal(await newestRevision(store), revision);
    assert.deepEqual(await contents(store, prefix), ["a=1"]);
  });
}
