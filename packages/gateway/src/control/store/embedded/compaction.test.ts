import assert from "node:assert/strict";
import { test } from "node:test";
import { compactionTarget, marksWith } from "./compaction.ts";
import type { Mark } from "./compaction.ts";

const hourMs = 3_600_000;
const calm = { nowMs: 10 * hourMs, revision: 50_000, revisionsMin: 10_000, ageMinMs: hourMs, revisionWithinLimit: 0 };
const old = (revision: number): readonly Mark[] => [{ atMs: 8 * hourMs, revision }];

const cases = [
  { rule: "nothing is known to be old enough", state: { ...calm, marks: [] }, target: 0 },
  { rule: "the newest revisions stay, however old", state: { ...calm, marks: old(50_000) }, target: 40_001 },
  { rule: "the newest hour stays, however many", state: { ...calm, marks: old(7) }, target: 7 },
  { rule: "memory beats both", state: { ...calm, marks: old(7), revisionWithinLimit: 49_990 }, target: 49_990 },
  {
    rule: "the present is never forgotten",
    state: { ...calm, marks: [], revisionWithinLimit: 60_000 },
    target: 50_000,
  },
  { rule: "a young store keeps all", state: { ...calm, revision: 9_000, marks: old(9_000) }, target: 0 },
];

for (const { rule, state, target } of cases) {
  test(`compaction: ${rule}`, () => {
    assert.equal(Math.max(0, compactionTarget(state)), target);
  });
}

test("marks are kept while they are young, and the newest of the old ones", () => {
  let marks: readonly Mark[] = [];
  for (let minute = 0; minute <= 180; minute++) {
    marks = marksWith(marks, { atMs: minute * 60_000, revision: minute }, hourMs);
  }
  assert.equal(marks[0]?.revision, 120);
  assert.equal(marks.length, 61);
});
