import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ConsumerResource } from "@headgate/schema";
import { Catalog } from "./catalog.ts";
import { catalogOf, change, errors, running, set, table } from "./catalog.fixtures.ts";

const keys = (...own: string[]): object => ({ keys: own });
const subject = (text: string): object => ({ keys: [], jwt: { subject: text } });

/** Who has which keys and subjects, of those that run. */
function claims(catalog: Catalog): Record<string, string[]> {
  return Object.fromEntries(Object.entries(catalog.live.consumers).map(([name, one]) => [name, claimsOf(one)]));
}

function claimsOf({ keys: own, jwt }: ConsumerResource): string[] {
  return [...own, ...(jwt === undefined ? [] : [`subject ${jwt.subject}`])];
}

for (const [what, claim, message] of [
  ["key", keys("one"), "the key is also that of consumer"],
  ["subject", subject("one"), "the subject is also that of consumer"],
] as const) {
  test(`a ${what} that two claim stays the first's; the second gets it when that lets go`, () => {
    const catalog = catalogOf({ "consumers/first": claim });
    change(catalog, { "consumers/second": claim });
    assert.deepEqual(running(catalog), ["consumers/first"]);
    assert.deepEqual(errors(catalog), { "consumers/second": [`${message} "first"`] });
    change(catalog, { "consumers/first": keys("other") });
    assert.deepEqual(running(catalog), ["consumers/first", "consumers/second"]);
    assert.deepEqual(errors(catalog), {});
  });

  test(`a ${what} that two claim in one revision is the first's, and the second's once that is deleted`, () => {
    const catalog = catalogOf({ "consumers/first": claim, "consumers/second": claim });
    assert.deepEqual(running(catalog), ["consumers/first"]);
    change(catalog, { "consumers/first": undefined });
    assert.deepEqual(running(catalog), ["consumers/second"]);
    assert.deepEqual(errors(catalog), {});
  });
}

test("a key and a subject of one text are two things", () => {
  const catalog = catalogOf({ "consumers/a": keys("one"), "consumers/b": subject("one") });
  assert.deepEqual(errors(catalog), {});
});

test("no key stands in a message", () => {
  const catalog = catalogOf({ "consumers/a": keys("hush-hush"), "consumers/b": keys("hush-hush") });
  assert.doesNotMatch(JSON.stringify([...catalog.troubled()].map(({ problems }) => problems)), /hush/);
});

test("two consumers swap their keys in one revision, in both orders", () => {
  for (const names of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    const catalog = catalogOf({ "consumers/a": keys("1"), "consumers/b": keys("2") });
    const wanted = { a: keys("2"), b: keys("1") };
    change(catalog, Object.fromEntries(names.map((name) => [`consumers/${name}`, wanted[name]])));
    assert.deepEqual(claims(catalog), { a: ["2"], b: ["1"] });
    assert.deepEqual(errors(catalog), {});
  }
});

test("a newcomer does not get a key of who is written in the same revision and goes on claiming it", () => {
  const catalog = catalogOf({ "consumers/owner": keys("1") });
  change(catalog, { "consumers/new": keys("1"), "consumers/owner": { ...keys("1", "2"), groups: ["gold"] } });
  assert.deepEqual(claims(catalog), { owner: ["1", "2"] });
});

test("a newcomer does not get a key of who would let it go and cannot", () => {
  for (const wanted of ["no JSON", keys("taken")]) {
    const catalog = catalogOf({ "consumers/owner": keys("1"), "consumers/other": keys("taken") });
    change(catalog, { "consumers/owner": wanted, "consumers/new": keys("1") });
    assert.deepEqual(claims(catalog), { owner: ["1"], other: ["taken"] });
    assert.deepEqual(Object.keys(errors(catalog)), ["consumers/owner", "consumers/new"]);
  }
});

test("a swap of which one half cannot be is none", () => {
  const catalog = catalogOf({ "consumers/a": keys("1"), "consumers/b": keys("2"), "consumers/c": keys("3") });
  change(catalog, { "consumers/a": keys("2"), "consumers/b": keys("1", "3") });
  assert.deepEqual(claims(catalog), { a: ["1"], b: ["2"], c: ["3"] });
  change(catalog, { "consumers/c": undefined });
  assert.deepEqual(claims(catalog), { a: ["2"], b: ["1", "3"] });
});

test("who is held back by somebody that is held back too gets what it wants", () => {
  const catalog = catalogOf({ "consumers/c": keys("3") });
  change(catalog, { "consumers/a": keys("1", "3"), "consumers/b": keys("1") });
  assert.deepEqual(claims(catalog), { c: ["3"], b: ["1"] });
});

test("of those who wait for a key the one that waits longest gets it, before who comes now", () => {
  const catalog = catalogOf({ "consumers/owner": keys("1") });
  change(catalog, { "consumers/w1": keys("1") });
  change(catalog, { "consumers/w2": keys("1") });
  change(catalog, { "consumers/owner": undefined, "consumers/now": keys("1") });
  assert.deepEqual(claims(catalog), { w1: ["1"] });
});

test("whatever is written, nobody shares a key, who has one keeps it, and nobody waits in vain", () => {
  const name = fc.constantFrom("a", "b", "c", "d");
  const claim = fc.uniqueArray(fc.constantFrom("1", "2", "3", "4"), { minLength: 1, maxLength: 3 });
  const wanted = fc.oneof(
    { weight: 6, arbitrary: claim.map((own) => keys(...own)) },
    { weight: 1, arbitrary: claim.map(([own = ""]) => subject(own)) },
    fc.constantFrom("no JSON", undefined),
  );
  const revision = fc.array(fc.tuple(name, wanted), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(revision, { maxLength: 8 }), (revisions) => {
      const catalog = new Catalog(table);
      for (const writes of revisions) {
        const before = claims(catalog);
        set(catalog, Object.fromEntries(writes.map(([one, value]) => [`consumers/${one}`, value])));
        catalog.commit(catalog.plan());
        checkClaims(catalog, before);
      }
    }),
    { numRuns: 500 },
  );
});

function checkClaims(catalog: Catalog, before: Record<string, string[]>): void {
  const owners = new Map<string, string>();
  for (const [name, own] of Object.entries(claims(catalog))) {
    for (const claim of own) {
      assert.equal(owners.get(claim), undefined, `${claim} belongs to two`);
      owners.set(claim, name);
    }
  }
  for (const { name, store, live, problems } of catalog.entries("consumers")) {
    const value = store?.value as ConsumerResource | undefined; // of this kind
    if (value === undefined) continue;
    const wanted = claimsOf(value);
    for (const kept of wanted.filter((claim) => before[name]?.includes(claim))) assert.equal(owners.get(kept), name);
    const others = wanted.filter((claim) => owners.has(claim) && owners.get(claim) !== name);
    assert.equal(live === store, others.length === 0, `${name} waits in vain, or does not wait`);
    assert.equal(problems.length, others.length);
  }
}
