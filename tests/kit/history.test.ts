import assert from "node:assert/strict";
import test from "node:test";
import type { KeyValue, StoreEvent } from "../../packages/gateway/src/control/store/store.ts";
import { checkHistory, eventsBetween, type History, type Told, type Violation } from "./history.ts";

const kv = (key: string, value: string, create: number, mod: number, version: number): KeyValue => ({
  key,
  value: Buffer.from(value),
  createRevision: create,
  modRevision: mod,
  version,
  lease: "0",
});

const snapshot = (...kvs: readonly KeyValue[]): ReadonlyMap<string, KeyValue> =>
  new Map(kvs.map((one) => [one.key, one]));

/** Snapshots of revisions 1 to 6: a is made, a and b are put together, b is deleted, x is put, a is put. */
const snapshots = [
  snapshot(),
  snapshot(kv("a", "1", 2, 2, 1)),
  snapshot(kv("a", "2", 2, 3, 2), kv("b", "1", 3, 3, 1)),
  snapshot(kv("a", "2", 2, 3, 2)),
  snapshot(kv("a", "2", 2, 3, 2), kv("x", "1", 5, 5, 1)),
  snapshot(kv("a", "3", 2, 6, 3), kv("x", "1", 5, 5, 1)),
];

const revisions = new Map<number, readonly StoreEvent[]>();
for (const [index, now] of snapshots.entries()) {
  const before = snapshots[index - 1];
  if (before !== undefined) revisions.set(index + 1, eventsBetween(before, now, index + 1));
}
const history: History = { after: 1, through: 6, compacted: 0, revisions };

/** What a faultless watch of a to c from revision 2 is told. */
function faultless(previous: boolean): Extract<Told, { kind: "revision" }>[] {
  return [2, 3, 4, 6].map((revision) => {
    const events = (revisions.get(revision) ?? []).map((event) =>
      previous ? event : { type: event.type, kv: event.kv },
    );
    return { kind: "revision", revision, events };
  });
}

function check(told: readonly Told[], previous = true): Violation[] {
  const request = { key: "a", end: "d", from: 2, clusterId: "1", previous };
  return checkHistory(history, [{ name: "watch", request, told }]);
}

const broken = (violations: readonly Violation[]): string[] => [...new Set(violations.map((one) => one.broken))].sort();

const [two, three, four, six] = faultless(true);
assert.ok(two !== undefined && three !== undefined && four !== undefined && six !== undefined);
const progress = (revision: number): Told => ({ kind: "progress", revision });
const changed = (told: typeof six, change: (event: StoreEvent) => StoreEvent): Told => ({
  ...told,
  events: told.events.map(change),
});

test("a faultless history has no violation, with previous values and without", () => {
  assert.deepEqual(check(faultless(true)), []);
  assert.deepEqual(check(faultless(false), false), []);
  assert.deepEqual(check([two, progress(2), three, four, progress(5), six, progress(6)]), []);
});

const faults: readonly (readonly [name: string, told: readonly Told[], broken: readonly string[]])[] = [
  ["an event before one that was told", [two, four, three, six], ["ordered", "reliable"]],
  ["a revision told twice", [two, three, three, four, six], ["atomic", "unique"]],
  [
    "a revision in two pieces",
    [two, { ...three, events: three.events.slice(0, 1) }, { ...three, events: three.events.slice(1) }, four, six],
    ["atomic", "reliable"],
  ],
  [
    "two revisions in one piece",
    [two, { ...three, events: [...three.events, ...four.events] }, six],
    ["atomic", "reliable"],
  ],
  ["a revision left out", [two, four, six], ["reliable"]],
  ["an event of a revision left out", [two, { ...three, events: three.events.slice(0, 1) }, four, six], ["reliable"]],
  ["the end left out", [two, three, four], ["reliable"]],
  [
    "an event that did not happen",
    [
      two,
      three,
      four,
      { ...six, revision: 5, events: six.events.map((event) => ({ ...event, kv: { ...event.kv, modRevision: 5 } })) },
      six,
    ],
    ["reliable"],
  ],
  [
    "another value",
    [two, three, four, changed(six, (event) => ({ ...event, kv: { ...event.kv, value: Buffer.from("!") } }))],
    ["reliable"],
  ],
  [
    "another lease",
    [two, three, four, changed(six, (event) => ({ ...event, kv: { ...event.kv, lease: "7" } }))],
    ["reliable"],
  ],
  ["a deletion told as a put", [two, three, changed(four, (event) => ({ ...event, type: "put" })), six], ["reliable"]],
  ["the first event left out", [three, four, six], ["resumable"]],
  ["an event after progress past it", [two, progress(3), three, four, six], ["bookmarkable"]],
  ["progress that hides an event", [two, progress(3), four, six], ["bookmarkable"]],
  [
    "a previous value that was not",
    [two, three, four, changed(six, (event) => ({ ...event, previous: kv("a", "9", 2, 3, 2) }))],
    ["previous"],
  ],
  ["a previous value left out", [two, three, four, changed(six, ({ type, kv }) => ({ type, kv }))], ["previous"]],
  [
    "a put told as the first of its key",
    [two, three, four, changed(six, (event) => ({ ...event, kv: kv("a", "3", 6, 6, 1) }))],
    ["create"],
  ],
  [
    "a key outside the range",
    [two, three, four, { kind: "revision", revision: 5, events: revisions.get(5) ?? [] }, six],
    ["filtered"],
  ],
];

for (const [name, told, expected] of faults) {
  test(`the checker finds ${name}`, () => assert.deepEqual(broken(check(told)), expected));
}

test("the checker finds a previous value that nobody asked for", () => {
  assert.deepEqual(broken(check(faultless(true), false)), ["previous"]);
});

test("a previous value from before a compaction may be missing", () => {
  const told = [two, three, four, changed(six, ({ type, kv }) => ({ type, kv }))];
  const request = { key: "a", end: "d", from: 2, clusterId: "1", previous: true };
  assert.deepEqual(checkHistory({ ...history, compacted: 6 }, [{ name: "watch", request, told }]), []);
});

test("a watch that was lost owes nothing from there on", () => {
  assert.deepEqual(check([two, { kind: "lost", reason: "compacted" }]), []);
});

test("the checker finds an acknowledged write that is not there", () => {
  const acknowledged = (writes: readonly (readonly [string, string | undefined])[], revision: number) =>
    broken(checkHistory(history, [], [{ revision, writes: new Map(writes) }]));
  assert.deepEqual(
    acknowledged(
      [
        ["a", "2"],
        ["b", "1"],
      ],
      3,
    ),
    [],
  );
  assert.deepEqual(acknowledged([["b", undefined]], 4), []);
  assert.deepEqual(acknowledged([["a", "1"]], 3), ["durable"]);
  assert.deepEqual(acknowledged([["a", "2"]], 4), ["durable"]);
  assert.deepEqual(acknowledged([["b", "1"]], 4), ["durable"]);
});
