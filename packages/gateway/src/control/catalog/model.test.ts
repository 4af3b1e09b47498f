import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Catalog } from "./catalog.ts";
import { change, errors, partsOf, running, set, stateOf, table, type Written } from "./catalog.fixtures.ts";
import { wantedOf, type CatalogKind, type Entry, type Version } from "./entry.ts";
import { anyRevision } from "./generated.fixtures.ts";
import { Model } from "./naive.model.ts";

/** The errors of a trial or a plan, by id. */
function errorsOf(problems: ReadonlyMap<Entry, Version["problems"]>): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [{ id }, all] of problems) {
    const messages = all.filter(({ severity }) => severity === "error").map((one) => JSON.stringify(one));
    if (messages.length > 0) found[id] = messages.sort();
  }
  return found;
}

test("whatever is written in whatever order, what runs is what looking at everything each time comes to", () => {
  const layer = fc.constantFrom("store", "store", "store", "file");
  fc.assert(
    fc.property(fc.array(fc.tuple(anyRevision, layer), { maxLength: 12 }), (revisions) => {
      const catalog = new Catalog(table);
      const model = new Model();
      for (const [written, source] of revisions) {
        change(catalog, written, source);
        model.change(written, source);
        assert.deepEqual(running(catalog), model.running());
        assert.deepEqual(Object.keys(errors(catalog)).sort(), model.wrong());
        for (const id of model.running()) assert.deepEqual(liveValue(catalog, id), model.live(id), id);
      }
    }),
    { numRuns: 600 },
  );
});

function liveValue({ live }: Catalog, id: string): unknown {
  const [kind, name] = partsOf(id);
  return kind === "settings" ? live.global : live[kind][name];
}

test("a trial changes nothing, and says what the same change would come to", () => {
  fc.assert(
    fc.property(fc.array(anyRevision, { maxLength: 6 }), anyRevision, (revisions, written) => {
      const catalog = new Catalog(table);
      for (const one of revisions) change(catalog, one);
      const before = stateOf(catalog);
      const { plan, written: entries } = catalog.trial(versionsOf(written));
      assert.deepEqual(stateOf(catalog), before);
      assert.equal(catalog.isTouched, false);
      assert.deepEqual([...entries].map(({ id }) => id).sort(), Object.keys(written).sort());
      const real = change(catalog, written);
      assert.deepEqual(plan.change, real.change);
      assert.deepEqual(errorsOf(plan.problems), errorsOf(real.problems));
    }),
    { numRuns: 600 },
  );
});

/** What a change would set, read as it would be. */
function versionsOf(written: Written): { kind: CatalogKind; name: string; version: Version | undefined }[] {
  const reader = new Catalog(table);
  set(reader, written);
  return Object.keys(written).map((id) => {
    const [kind, name] = partsOf(id);
    const entry = reader.entry(kind, name);
    return { kind, name, version: entry === undefined ? undefined : wantedOf(entry) };
  });
}

test("nothing is kept of what was written and deleted", () => {
  fc.assert(
    fc.property(fc.array(anyRevision, { maxLength: 8 }), (revisions) => {
      const catalog = new Catalog(table);
      for (const written of revisions) change(catalog, written);
      const ids = new Set(revisions.flatMap((written) => Object.keys(written)));
      change(catalog, Object.fromEntries([...ids].map((id) => [id, undefined])));
      assert.deepEqual(running(catalog), []);
      assert.deepEqual(stateOf(catalog), stateOf(new Catalog(table)));
      assert.deepEqual([...catalog.troubled()], []);
    }),
    { numRuns: 200 },
  );
});
