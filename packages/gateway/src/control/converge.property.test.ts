import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Catalog } from "./catalog/catalog.ts";
import { change, partsOf, running, set, stateOf, table, type Written } from "./catalog/catalog.fixtures.ts";
import { refersTo, type Value } from "./catalog/entry.ts";
import { anyConsumers, anyRevision } from "./catalog/generated.fixtures.ts";
import { converging, documentOf } from "./converge.fixtures.ts";
import { refusalOf } from "./member.fixtures.ts";

const anything: fc.Arbitrary<Written> = fc
  .tuple(anyRevision, anyConsumers)
  .map(([resources, consumers]) => ({ ...resources, ...consumers }));
const step = fc.record({ written: anything, pause: fc.boolean() });
/** Whether every change is told ahead, or none. */
const aheadMin = fc.constantFrom(1, 1_000);

/** References of what a worker runs that lead nowhere. */
function dangling(runs: ReadonlyMap<string, unknown>): string[] {
  return [...runs].flatMap(([id, value]) => {
    const [kind] = partsOf(id);
    // What a worker was sent is what the catalog holds, see ValueOf.
    const references = refersTo(kind, value as Value, table);
    // A step is a named configuration or a plugin: both are named, one must be there.
    return references
      .filter(
        (one) =>
          !runs.has(one) && !runs.has(`middlewares/${partsOf(one)[1]}`) && !runs.has(`plugins/${partsOf(one)[1]}`),
      )
      .map((one) => `${id} -> ${one}`);
  });
}

function sharedKeys(runs: ReadonlyMap<string, unknown>): string[] {
  const keys = [...runs].flatMap(([id, value]) =>
    partsOf(id)[0] === "consumers" ? (value as { keys: string[] }).keys : [],
  );
  return keys.filter((key, index) => keys.indexOf(key) !== index);
}

/** What a catalog says that it runs, as a worker would hold it. */
function runsOf(catalog: Catalog): Map<string, unknown> {
  const entries = running(catalog).map((id): [string, unknown] => {
    const [kind, name] = partsOf(id);
    return [id, kind === "settings" ? catalog.live.global : catalog.live[kind][name]];
  });
  return new Map(entries);
}

test("whatever is written, workers run what the catalog says and nothing that leads nowhere, and merging changes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), aheadMin, async (steps, least) => {
      const { catalog, converger, converged, member, store, lines } = await converging({ aheadMin: least });
      const wrong: unknown[] = [];
      member.onCommit = () => {
        wrong.push(...dangling(member.runs), ...sharedKeys(member.runs));
        if (!isDeepStrictEqual(new Map([...member.runs].sort()), runsOf(catalog))) wrong.push(running(catalog));
      };
      for (const [index, { written, pause }] of steps.entries()) {
        store(index + 1, written);
        if (pause) await converger.settled();
      }
      await converger.settled();
      assert.deepEqual([...wrong, ...lines], []);
      assert.equal(converger.revision, steps.length);
      assert.deepEqual(
        stateOf(catalog),
        stateOf(
          replayed(
            steps,
            converged.map(({ revision }) => revision),
          ),
        ),
      );
    }),
    { numRuns: 300 },
  );
});

/** A catalog that was given the same revisions one group after the other, the newest version of each resource. */
function replayed(steps: readonly { readonly written: Written }[], ends: readonly number[]): Catalog {
  const catalog = new Catalog(table);
  let from = 0;
  for (const end of ends) {
    const newest = new Map<string, [unknown, number]>();
    for (const [index, { written }] of steps.slice(from, end).entries()) {
      for (const [id, value] of Object.entries(written)) newest.set(id, [value, from + index + 1]);
    }
    for (const [id, [value, revision]] of newest) set(catalog, { [id]: value }, "store", revision);
    change(catalog, {});
    from = end;
  }
  return catalog;
}

test("whatever the workers refuse, they and the catalog stay together, and it ends", async () => {
  const ids = ["routes/a", "routes/b", "services/s", "middlewares/m", "plugins/m", "plugins/p", "consumers/x"];
  const refusing = fc.array(fc.constantFrom(...ids, "nobody", undefined), { maxLength: 6 });
  const document = fc.constantFrom({}, { routes: { a: { respond: {} } } }, { services: { s: {} } }, { plugins: {} });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 6 }),
      refusing,
      document,
      aheadMin,
      async (steps, refused, file, least) => {
        const { catalog, converger, member, store, lines } = await converging({ aheadMin: least });
        const left = [...refused];
        member.refuses = () => {
          const id = left.shift();
          return id === undefined ? undefined : id === "nobody" ? { message: "it ended", failures: [] } : refusalOf(id);
        };
        const wrong: string[] = [];
        member.onCommit = () => void wrong.push(...dangling(member.runs));
        for (const [index, { written, pause }] of steps.entries()) {
          store(index + 1, written);
          if (index === 2) void converger.file(documentOf(file), 0, converger.newest);
          if (pause) await converger.settled();
        }
        await converger.settled();
        assert.deepEqual(new Map([...member.runs].sort()), runsOf(catalog));
        assert.deepEqual([...wrong, ...lines, ...sharedKeys(member.runs)], []);
      },
    ),
    { numRuns: 300 },
  );
});
