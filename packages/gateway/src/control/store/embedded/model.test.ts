import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { FakeClock } from "../../../../../../tests/kit/clock.ts";
import { ManualScope } from "../../../../../../tests/kit/scope.ts";
import type { Compare, Delete, KeyRange, KeyValue, Operation, Put, RangeRequest, Txn } from "../store.ts";
import { StoreError } from "../store.ts";
import { everything, openStore, temporaryDirectory } from "./embedded.fixtures.ts";
import { Model } from "./embedded.model.ts";
import type { EmbeddedStore } from "./embedded-store.ts";

const keys = ["a", "a/", "a/b", "b", "b\0", "\x7f", "\xff", "\xff\xff"] as const;
const key = fc.constantFrom(...keys);
const lease = fc.constantFrom("1", "2", "9007199254740993");
const small = fc.nat({ max: 30 });
const value = fc.constantFrom("", "x", "y", "\xff\0").map((text) => Buffer.from(text, "latin1"));
const flag = fc.boolean();

/** Each of the fields is there once in `oneIn` times. */
function sparse<T extends object>(
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
  oneIn: number,
): fc.Arbitrary<Partial<T>> {
  const length = Object.keys(fields).length;
  const dice = fc.array(fc.nat({ max: oneIn - 1 }), { minLength: length, maxLength: length });
  return fc.tuple(fc.record<T>(fields), dice).map(([record, thrown]) => {
    const kept = Object.entries(record).filter((_, index) => thrown[index] === oneIn - 1);
    return Object.fromEntries(kept) as Partial<T>; // some of the record's own entries
  });
}

const range: fc.Arbitrary<KeyRange> = fc.oneof(
  key.map((first) => ({ key: first })),
  fc.tuple(key, fc.constantFrom(...keys, "\0")).map(([first, end]) => ({ key: first, end })),
);

const sort = fc.record({
  by: fc.constantFrom("key" as const, "version" as const, "create" as const, "mod" as const, "value" as const),
  descending: flag,
});

const rangeRequest: fc.Arbitrary<RangeRequest> = fc
  .tuple(
    range,
    sparse(
      {
        revision: small,
        limit: fc.nat({ max: 4 }),
        keysOnly: flag,
        countOnly: flag,
        sort,
        minModRevision: small,
        maxModRevision: fc.integer({ min: 1, max: 30 }),
        minCreateRevision: small,
        maxCreateRevision: fc.integer({ min: 1, max: 30 }),
      },
      4,
    ),
  )
  .map(([keyRange, rest]) => ({ ...keyRange, ...rest }));

const put: fc.Arbitrary<Put> = fc
  .tuple(key, value, sparse({ lease, ignoreValue: flag, ignoreLease: flag }, 5), sparse({ previous: flag }, 2))
  .map(([name, bytes, rare, more]) => ({
    key: name,
    ...rare,
    ...more,
    value: rare.ignoreValue === true ? Buffer.alloc(0) : bytes,
    ...(rare.ignoreLease === true ? { lease: "0" } : {}),
  }));

const remove: fc.Arbitrary<Delete> = fc
  .tuple(range, sparse({ previous: flag }, 2))
  .map(([keyRange, more]) => ({ ...keyRange, ...more }));

const is = fc.constantFrom("=" as const, "!=" as const, "<" as const, ">" as const);
const compare: fc.Arbitrary<Compare> = fc
  .tuple(
    range,
    is,
    fc.oneof(
      fc.record({
        target: fc.constantFrom("version" as const, "create" as const, "mod" as const),
        number: fc.nat({ max: 6 }),
      }),
      fc.record({ target: fc.constant("value" as const), value }),
      fc.record({ target: fc.constant("lease" as const), lease: fc.oneof(lease, fc.constant("0")) }),
    ),
  )
  .map(([keyRange, verdict, target]) => ({ ...keyRange, is: verdict, ...target }));

const plain: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: rangeRequest.map((request) => ({ type: "range" as const, range: request })) },
  { weight: 5, arbitrary: put.map((request) => ({ type: "put" as const, put: request })) },
  { weight: 2, arbitrary: remove.map((request) => ({ type: "delete" as const, delete: request })) },
);

function txnOf(depth: number): fc.Arbitrary<Txn> {
  const operations = fc
    .tuple(
      fc.array(plain, { maxLength: 3, size: "max" }),
      depth === 0 ? fc.constant(undefined) : fc.option(txnOf(depth - 1), { nil: undefined, freq: 3 }),
      fc.nat({ max: 3 }),
    )
    .map(([list, nested, at]): Operation[] =>
      nested === undefined ? list : list.toSpliced(at, 0, { type: "txn", txn: nested }),
    );
  return fc.record(
    { compare: fc.array(compare, { maxLength: 2, size: "max" }), then: operations, otherwise: operations },
    { requiredKeys: ["compare", "then"] },
  );
}

type Command =
  | { readonly do: "txn"; readonly txn: Txn }
  | { readonly do: "range"; readonly request: RangeRequest }
  | { readonly do: "history"; readonly range: KeyRange; readonly from: number; readonly previous: boolean }
  | { readonly do: "compact"; readonly revision: number }
  | { readonly do: "grant"; readonly id: string; readonly ttlSeconds: number }
  | { readonly do: "keepAlive" | "revoke"; readonly id: string }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "restart" };

/** One write without a condition. Of the others more than half are refused or do nothing. */
const write = fc
  .oneof(
    { weight: 3, arbitrary: fc.record({ type: fc.constant("put" as const), put }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("delete" as const), delete: remove }) },
  )
  .map((operation) => ({ do: "txn" as const, txn: { compare: [], then: [operation] } }));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 14, arbitrary: write },
  { weight: 12, arbitrary: fc.record({ do: fc.constant("txn" as const), txn: txnOf(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("range" as const), request: rangeRequest }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("history" as const), range, from: small, previous: flag }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact" as const), revision: small }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("grant" as const), id: lease, ttlSeconds: fc.integer({ min: 2, max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("keepAlive" as const, "revoke" as const), id: lease }) },
  // Whole steps of the store's ticks: it may end a lease a tick late, and the model never does.
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat({ max: 50 }).map((n) => n * 100) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

/** What a call came to, comparable. */
async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return { value: await call() };
  } catch (error) {
    if (error instanceof StoreError) return { refused: error.code, message: error.message };
    throw error;
  }
}

const historyRevisionsMin = 8;

/** Runs commands against both and compares every answer, then everything that can be read. */
async function agree(commands: readonly Command[]): Promise<void> {
  const scope = new ManualScope();
  try {
    const clock = new FakeClock();
    const directory = temporaryDirectory(scope);
    const open = (): EmbeddedStore => openStore(scope, directory, clock, { historyRevisionsMin, historyAgeMsMin: 0 });
    let store = open();
    const model = new Model(store.clusterId);
    for (const step of commands) {
      if (step.do === "restart") {
        await store.close();
        store = open();
        model.restart();
      } else if (step.do === "advance") {
        clock.advance(step.ms);
        model.advance(step.ms);
        // What ended, and what was compacted on the way, is committed with the next write.
        await store.txn({ compare: [], then: [] });
        const { compactedRevision } = store.status;
        assert.ok(compactedRevision <= Math.max(0, model.compacted, model.revision - historyRevisionsMin + 1));
        model.compacted = Math.max(model.compacted, compactedRevision === 0 ? -1 : compactedRevision);
      } else {
        const expected = await outcome(() => carryOut(model, step));
        assert.deepEqual(await outcome(() => carryOut(store, step)), expected, step.do);
      }
      assert.equal(store.revision, model.revision, step.do);
    }
    await compareAll(store, model);
    // Opening finishes what compaction had begun; then the file holds what can be read and nothing else.
    await store.close();
    store = open();
    await store.close();
    const told = model.events.filter((_, revision) => revision >= model.compacted).flat().length;
    const older = [...(model.states[Math.max(0, model.compacted)] ?? new Map<string, KeyValue>()).values()];
    const base = older.filter((kv) => kv.modRevision < model.compacted).length;
    assert.equal(rowsOf(directory), told + base);
  } finally {
    await scope.close();
  }
}

function rowsOf(directory: string): number {
  const database = new DatabaseSync(join(directory, "store.db"));
  try {
    return Number(database.prepare("SELECT count(*) AS rows FROM writes").get()?.["rows"]);
  } finally {
    database.close();
  }
}

function carryOut(store: EmbeddedStore | Model, step: Exclude<Command, { do: "restart" | "advance" }>): unknown {
  switch (step.do) {
    case "txn":
      return store.txn(step.txn);
    case "range":
      return store.range(step.request);
    case "history":
      return store.history({ ...step.range, from: step.from, previous: step.previous, revisionsMax: 1_000 });
    case "compact":
      return store.compact(step.revision);
    case "grant":
      // The model answers nothing: what is granted is in `leases`.
      return store instanceof Model ? store.grant(step.ttlSeconds, step.id) : store.grant(step.ttlSeconds, step.id).then(() => undefined); // prettier-ignore
    case "keepAlive":
      return store.keepAlive(step.id);
    case "revoke":
      return store.revoke(step.id);
  }
}

async function compareAll(store: EmbeddedStore, model: Model): Promise<void> {
  for (let revision = Math.max(1, model.compacted); revision <= model.revision; revision++) {
    assert.deepEqual(store.rangeNow({ ...everything, revision }), model.range({ ...everything, revision }));
  }
  const from = Math.max(0, model.compacted);
  const request = { ...everything, from, previous: true, revisionsMax: 1_000 };
  assert.deepEqual(store.history(request), model.history(request));
  assert.deepEqual(store.leases().sort(), [...model.leases.keys()].sort());
  for (const [id, { ttlSeconds, deadlineMs }] of model.leases) {
    const held = [...model.state.values()].filter((kv) => kv.lease === id).map((kv) => kv.key);
    assert.deepEqual(await store.lease(id), {
      ttlSeconds: Math.floor((deadlineMs - model.nowMs) / 1000),
      grantedSeconds: ttlSeconds,
      keys: held.sort(),
    });
  }
}

test("the store answers as a plain model does, over compactions, leases that end and restarts", async () => {
  await fc.assert(fc.asyncProperty(fc.array(command, { maxLength: 100, size: "max" }), agree), { numRuns: 40 });
});
