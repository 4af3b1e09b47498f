import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { silentLog } from "../core/log.ts";
import { openLastGood } from "./last-good.ts";

/** More than two steps. */
const many = 2_500;

/** Timers that run when they are told to, one after the other. */
function setup(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), "headgate-last-good-"));
  const file = join(dir, "last-good.db");
  const waiting = new Set<() => void>();
  const told: string[] = [];
  const open = () =>
    openLastGood({
      file,
      clock: { now: () => 0, wall: () => 0 },
      timers: {
        after(_delayMs, action) {
          waiting.add(action);
          return () => void waiting.delete(action);
        },
        every: () => () => undefined,
      },
      log: { ...silentLog, warn: (_: object, message: string) => void told.push(message) },
    });
  /** Runs the timer that is first; false where there is none. */
  const next = (): boolean => {
    const [first] = waiting;
    if (first === undefined) return false;
    waiting.delete(first);
    first();
    return true;
  };
  const lastGood = open();
  const loaded = () => {
    const other = open();
    const state = other.load();
    other.close();
    return state;
  };
  t.after(() => {
    lastGood.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { lastGood, loaded, next, told };
}

function numbered(json: string): [string, string][] {
  return Array.from({ length: many }, (_, i) => [`routes/r${i}`, json]);
}

const change = (revision: number, ...set: [string, string][]) => ({ revision, clusterId: "7", set, delete: [] });

test("many records are written in steps, and what comes between follows", (t) => {
  const { lastGood, loaded, next } = setup(t);
  lastGood.save(change(1, ...numbered("{}")));
  assert.ok(next() && next());
  lastGood.save(change(2, ["routes/r0", "[]"], ["routes/late", "{}"]));
  let steps = 2;
  while (next()) steps++;
  assert.ok(steps > 3, String(steps));
  lastGood.close();
  const state = loaded();
  assert.deepEqual([state?.revision, state?.records.size], [2, many + 1]);
  assert.deepEqual(
    ["r0", "r1", "late"].map((name) => state?.records.get(`routes/${name}`)),
    ["[]", "{}", "{}"],
  );
});

for (const [how, end] of [
  ["flushed", "flush"],
  ["closed", "close"],
] as const) {
  test(`what is being written when it is ${how} is written whole, and what came since`, (t) => {
    const { lastGood, loaded, next } = setup(t);
    lastGood.save(change(1, ...numbered("{}")));
    assert.ok(next());
    lastGood.save(change(2, ["routes/late", "{}"]));
    lastGood[end]();
    assert.equal(next(), false);
    if (end === "flush") lastGood.close();
    const state = loaded();
    assert.deepEqual([state?.revision, state?.records.size], [2, many + 1]);
  });
}

test("what fails on the way is not there in part, and is tried again under what came since", (t) => {
  const { lastGood, loaded, next, told } = setup(t);
  lastGood.save(change(1, ["routes/before", "{}"]));
  while (next());
  const unwritable = Symbol("no text") as unknown as string; // SQLite takes none: the step that meets it fails
  lastGood.save(change(2, ...numbered("{}"), ["routes/late", unwritable]));
  while (told.length === 0 && next()) if (told.length === 0) lastGood.save(change(3, ["routes/r1", "[]"]));
  assert.match(told.join(), /cannot be saved/);
  lastGood.save(change(4, ["routes/late", "{}"]));
  while (next());
  lastGood.close();
  const state = loaded();
  assert.deepEqual([state?.revision, state?.records.size], [4, many + 2]);
  assert.deepEqual(
    ["r0", "r1", "late"].map((name) => state?.records.get(`routes/${name}`)),
    ["{}", "[]", "{}"],
  );
});
