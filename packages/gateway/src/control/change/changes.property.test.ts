import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../../../../tests/kit/clock.ts";
import type { Txn, TxnResult } from "../store/store.ts";
import {
  anna,
  configuration,
  danglingReferences,
  driven,
  lost,
  rig,
  WatchedStore,
  type Configuration,
} from "./change.fixtures.ts";
import { ChangeError } from "./change-error.ts";

/** Calls take turns in an order that the seed decides, and answers get lost, before or after the write. */
class UnsteadyStore extends WatchedStore {
  readonly #random: () => number;
  readonly #losses: number;

  constructor(seed: number, losses: number) {
    super();
    this.#random = seededRandom(seed);
    this.#losses = losses;
    this.beforeWrite = this.afterWrite = () => {
      if (this.#random() < this.#losses) lost();
    };
  }

  override async txn(txn: Txn): Promise<TxnResult> {
    await this.#turns();
    try {
      return await super.txn(txn);
    } finally {
      await this.#turns();
    }
  }

  async #turns(): Promise<void> {
    for (let left = this.#random() * 20; left > 0; left--) await Promise.resolve();
  }
}

test("concurrent writers with If-Match never lose a change, also when answers are lost", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.integer({ min: 2, max: 4 }),
      fc.constantFrom(0, 0.1, 0.3),
      async (seed, writers, losses) => {
        const store = new UnsteadyStore(seed, losses);
        store.put("/headgate/routes/counter", '{"count":0}');
        let counted = 0;
        let unknown = 0;
        const write = async (writer: number): Promise<void> => {
          const { changes, clock } = rig({ store, seed: seed + writer });
          for (let done = 0; done < 4;) {
            const [held] = store.contents("/headgate/routes/counter").values();
            const { count } = JSON.parse(held?.value.toString() ?? "");
            const ifMatch = [held?.modRevision ?? 0];
            try {
              await driven(clock, changes.put("routes", "counter", { count: count + 1 }, { ...anna, ifMatch }));
              counted++;
              done++;
            } catch (error) {
              assert.ok(error instanceof ChangeError, String(error));
              if (error.code === "unanswered") [unknown, done] = [unknown + 1, done + 1];
              else assert.equal(error.code, "precondition-failed");
            }
          }
        };
        await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
        const { count } = Object(configuration(store)["routes/counter"]);
        assert.ok(count >= counted && count <= counted + unknown, `${count} of ${counted}, ${unknown} unknown`);
      },
    ),
    { numRuns: 40 },
  );
});

const name = fc.constantFrom("a", "b", "c", "d", "e", "f");
// As JSON gives them back.
const plain = { noNullPrototype: true };
const n = fc.integer({ min: 0, max: 2 });
const use = fc.array(name);

/** Routes, services, middlewares and a global chain that refer to nothing that is not there. */
const wholeConfiguration: fc.Arbitrary<Configuration> = fc
  .record({
    middlewares: fc.dictionary(name, fc.record({ n }, plain), plain),
    services: fc.dictionary(name, fc.record({ n, use }, plain), plain),
    routes: fc.dictionary(name, fc.record({ n, to: name, use }, plain), plain),
    global: fc.array(name, { maxLength: 3 }),
  })
  .map(({ middlewares, services, routes, global }) => {
    const known = (use: readonly string[]): string[] => use.filter((step) => step in middlewares);
    const all: [string, unknown][] = Object.entries(middlewares).map(([key, value]) => [`middlewares/${key}`, value]);
    for (const [key, value] of Object.entries(services))
      all.push([`services/${key}`, { ...value, use: known(value.use) }]);
    for (const [key, value] of Object.entries(routes)) {
      if (value.to in services) all.push([`routes/${key}`, { ...value, use: known(value.use) }]);
    }
    if (known(global).length > 0) all.push(["settings/global", known(global)]);
    return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  });

function documentOf(configured: Configuration): Record<string, unknown> {
  const document: Record<string, Record<string, unknown>> = { routes: {} };
  for (const [resource, value] of Object.entries(configured)) {
    const [kind = "", id = ""] = resource.split("/");
    (document[kind] ??= {})[id] = value;
  }
  const { settings, ...sections } = document;
  return { ...sections, ...(settings === undefined ? {} : { global: settings["global"] }) };
}

test("no revision of an apply in several transactions refers to what is not there, and repeating completes it", async () => {
  await fc.assert(
    fc.asyncProperty(
      wholeConfiguration,
      wholeConfiguration,
      fc.integer({ min: 3, max: 8 }),
      fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
      async (before, after, operations, cutAfter) => {
        const { store, changes, clock } = rig({ limits: { operations, bytes: 8_192 } });
        await changes.apply([documentOf(before)], { ...anna, prune: true });
        assert.deepEqual(configuration(store), before);
        const start = store.revision;
        const writesBefore = store.writes;
        if (cutAfter !== undefined) {
          store.afterWrite = (number) => {
            if (number - writesBefore >= cutAfter) store.cut();
          };
          await driven(clock, changes.apply([documentOf(after)], { ...anna, prune: true })).catch(() => undefined);
          store.afterWrite = () => undefined;
          store.mend();
        }
        const result = await changes.apply([documentOf(after)], { ...anna, prune: true });
        assert.deepEqual(configuration(store), after);
        if (cutAfter === undefined) assert.equal(store.revision - start, result.transactions);
        for (let revision = start; revision <= store.revision; revision++) {
          assert.deepEqual(danglingReferences(configuration(store, revision)), [], `at ${revision}`);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test("rolling back to a revision restores what was there, from the store's history or from the records", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(wholeConfiguration, { minLength: 2, maxLength: 6 }),
      fc.nat(),
      fc.boolean(),
      fc.integer({ min: 4, max: 128 }),
      async (configurations, pick, compacted, operations) => {
        const { store, changes } = rig({ limits: { operations, bytes: 16_384 } });
        const revisions: number[] = [];
        for (const wanted of configurations) {
          const { change, revision } = await changes.apply([documentOf(wanted)], { ...anna, prune: true });
          if (change !== null) revisions.push(revision);
        }
        if (revisions.length === 0) return;
        const target = revisions[pick % revisions.length] ?? 0;
        const expected = configuration(store, target);
        if (compacted) store.compactNow();
        const result = await changes.rollback(target, anna);
        assert.deepEqual(configuration(store), expected);
        // Nothing is forgotten when nothing was written since.
        const fromRecords = result.warnings.some(({ message }) => message.includes("recorded changes"));
        assert.equal(fromRecords, compacted && target < (revisions.at(-1) ?? 0));
        if (result.change !== null) assert.equal(changes.history()[0]?.action, "rollback");
      },
    ),
    { numRuns: 150 },
  );
});
