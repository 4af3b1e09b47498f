import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { FakeClock } from "../../../../tests/kit/clock.ts";
import { fakeTimers } from "../../../../tests/kit/fake-timers.ts";
import { silentLog } from "../core/log.ts";
import { assertState, saveStep, stateAt } from "./last-good.fixtures.ts";
import { openLastGood, type LastGood } from "./last-good.ts";

const inUse = new Set<LastGood>();

function place(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "headgate-last-good-"));
  t.after(() => {
    // Closing may write, and make the directory again.
    for (const lastGood of inUse) lastGood.close();
    inUse.clear();
    rmSync(dir, { recursive: true, force: true });
  });
  return join(dir, "data", "last-good.db");
}

interface Opened {
  readonly lastGood: LastGood;
  readonly clock: FakeClock;
  readonly told: string[];
  damaged: number;
}

function open(file: string): Opened {
  const clock = new FakeClock();
  const told: string[] = [];
  const log = {
    ...silentLog,
    info: (_: object, message: string) => void told.push(message),
    warn: (_: object, message: string) => void told.push(message),
  };
  const onDamaged = (): void => void opened.damaged++;
  const lastGood = openLastGood({ file, clock, timers: fakeTimers(clock), log, onDamaged });
  inUse.add(lastGood);
  const opened: Opened = { lastGood, clock, told, damaged: 0 };
  return opened;
}

test("a new place holds nothing, and the file and its directory are for the owner alone", (t) => {
  const file = place(t);
  const { lastGood, told } = open(file);
  assert.equal(lastGood.load(), undefined);
  saveStep(lastGood, 1);
  lastGood.flush();
  assert.equal(statSync(dirname(file)).mode & 0o777, 0o700);
  for (const suffix of ["", "-wal", "-shm"]) assert.equal(statSync(file + suffix).mode & 0o777, 0o600, suffix);
  assert.deepEqual(told, []);
});

test("what was saved is loaded, once", (t) => {
  const file = place(t);
  const first = open(file);
  for (let n = 1; n <= 120; n++) {
    saveStep(first.lastGood, n);
    if (n % 7 === 0) first.lastGood.flush();
  }
  first.lastGood.close();
  const { lastGood, told } = open(file);
  assert.deepEqual(lastGood.load(), {
    revision: 120,
    clusterId: "7",
    savedWallMs: first.clock.wall(),
    records: stateAt(120),
  });
  assert.equal(lastGood.load(), undefined);
  assert.deepEqual(told, []);
});

test("texts with any characters come back as they were", (t) => {
  const file = place(t);
  const first = open(file);
  const records = new Map([
    ["a\0b", "x\0y"],
    ["ä\u00ff\u0001", "\u{1f600}\u2028"],
    ["", ""],
  ]);
  first.lastGood.replaceAll({ revision: 1, clusterId: "18446744073709551615", records });
  first.lastGood.close();
  assert.deepEqual(open(file).lastGood.load()?.records, records);
});

test("the first change is written at once, and what follows within 100 milliseconds together", (t) => {
  const file = place(t);
  const { lastGood, clock } = open(file);
  saveStep(lastGood, 1);
  clock.advance(0);
  assert.equal(revisionIn(file), 1);
  for (let n = 2; n <= 10; n++) {
    saveStep(lastGood, n);
    clock.advance(10);
  }
  assert.equal(revisionIn(file), 1);
  clock.advance(10);
  assert.equal(revisionIn(file), 10);
  assert.equal(clock.pending, 0);
});

test("a whole state replaces what was saved and what waits", (t) => {
  const file = place(t);
  const first = open(file);
  saveStep(first.lastGood, 1);
  first.lastGood.flush();
  saveStep(first.lastGood, 2);
  first.lastGood.replaceAll({ revision: 9, clusterId: "8", records: [["routes/a", "{}"]] });
  first.lastGood.save({ revision: 10, clusterId: "8", set: [["routes/b", "{}"]], delete: [] });
  first.lastGood.close();
  const loaded = open(file).lastGood.load();
  assert.deepEqual(
    [loaded?.revision, loaded?.clusterId, [...(loaded?.records.keys() ?? [])]],
    [10, "8", ["routes/a", "routes/b"]],
  );
});

test("a small change of many records writes little", (t) => {
  const file = place(t);
  const { lastGood } = open(file);
  const records = Array.from({ length: 20_000 }, (_, i) => [`routes/r${i}`, "x".repeat(200)] as const);
  lastGood.replaceAll({ revision: 1, clusterId: "7", records });
  lastGood.flush();
  // The log is begun anew by the next write after it was merged.
  const database = new DatabaseSync(file);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  lastGood.save({ revision: 2, clusterId: "7", set: [["routes/r777", "y"]], delete: ["routes/r778"] });
  lastGood.flush();
  const bytes = statSync(`${file}-wal`).size;
  assert.ok(bytes < 40_000, `${bytes} bytes of ${statSync(file).size}`);
});

for (const [what, spoil] of [
  ["is no database", (file: string) => writeFileSync(file, "not a database ".repeat(1_000))],
  ["is another program's database", (file: string) => makeForeign(file)],
  ["belongs to a later version", (file: string) => exec(file, "PRAGMA user_version = 99")],
  [
    "has a record that was changed",
    (file: string) => exec(file, "UPDATE records SET json = 'z' WHERE id = 'routes/r5'"),
  ],
  ["lacks a record", (file: string) => exec(file, "DELETE FROM records WHERE id = 'routes/r5'")],
  ["lacks its state", (file: string) => exec(file, "DELETE FROM state")],
  ["has another revision written over its own", (file: string) => exec(file, "UPDATE state SET revision = 77")],
  ["lacks a table", (file: string) => exec(file, "DROP TABLE owner")],
] as const) {
  test(`a file that ${what} is set aside with a warning, and the gateway starts without`, (t) => {
    const file = place(t);
    const first = open(file);
    saveStep(first.lastGood, 1);
    first.lastGood.close();
    spoil(file);
    const second = open(file);
    assert.equal(second.lastGood.load(), undefined);
    assert.equal(second.told.length, 1);
    assert.match(second.told[0] ?? "", /last-good\.db is damaged; it was renamed to .+last-good\.db\.damaged-1\.$/);
    assert.ok(existsSync(`${file}.damaged-1`));
    saveStep(second.lastGood, 1);
    second.lastGood.close();
    assertState(open(file).lastGood.load()?.records, 1);
  });
}

test("three damaged files are kept, the newest ones", (t) => {
  const file = place(t);
  for (let i = 1; i <= 5; i++) {
    open(file).lastGood.close();
    writeFileSync(file, `damage ${i} `.repeat(200));
  }
  open(file).lastGood.close();
  const kept = readdirSync(dirname(file)).filter((name) => name.includes("damaged"));
  assert.deepEqual(kept.sort(), ["last-good.db.damaged-3", "last-good.db.damaged-4", "last-good.db.damaged-5"]);
  assert.match(readFileSync(`${file}.damaged-5`, "utf8"), /^damage 5/);
});

test("a place that cannot be written to is told once, tried again, and gets everything when it can be", (t) => {
  const file = place(t);
  // A file stands where the directory should be.
  writeFileSync(dirname(file), "");
  const { lastGood, clock, told } = open(file);
  assert.equal(lastGood.load(), undefined);
  for (let n = 1; n <= 20; n++) {
    saveStep(lastGood, n);
    clock.advance(1_500);
  }
  assert.equal(told.length, 2, told.join("\n"));
  assert.match(told[0] ?? "", /^The last good configuration cannot be read from .+; starting without it\.$/);
  assert.match(
    told[1] ?? "",
    /^The configuration cannot be saved to .+; serving goes on, and saving is tried again\.$/,
  );
  rmSync(dirname(file));
  clock.advance(30_000);
  assert.match(told[2] ?? "", /^The configuration is saved to .+ again\.$/);
  lastGood.close();
  assertState(open(file).lastGood.load()?.records, 20);
});

test("another process's transaction is waited for, and nothing is lost", (t) => {
  const file = place(t);
  const { lastGood, clock, told } = open(file);
  const other = new DatabaseSync(file);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  saveStep(lastGood, 1);
  lastGood.flush();
  saveStep(lastGood, 2);
  assert.equal(told.length, 1);
  other.exec("ROLLBACK");
  clock.advance(1_000);
  assert.equal(revisionIn(file), 2);
  assert.equal(told.length, 2);
});

test("the newest process with the file writes, an older one stops", (t) => {
  const file = place(t);
  const older = open(file);
  saveStep(older.lastGood, 1);
  older.lastGood.flush();
  const newer = open(file);
  assert.equal(newer.lastGood.load()?.revision, 1);
  saveStep(older.lastGood, 2);
  older.lastGood.flush();
  saveStep(older.lastGood, 3);
  older.lastGood.flush();
  assert.equal(older.told.length, 1);
  assert.match(older.told[0] ?? "", /written by a newer process now/);
  saveStep(newer.lastGood, 2);
  newer.lastGood.close();
  assertState(open(file).lastGood.load()?.records, 2);
});

for (const [what, spoil] of [
  ["deleted", (file: string) => ["", "-wal", "-shm"].forEach((suffix) => rmSync(file + suffix, { force: true }))],
  ["changed by somebody", (file: string) => exec(file, "DROP TABLE records")],
] as const) {
  test(`a file that is ${what} while in use is written anew, whole`, (t) => {
    const file = place(t);
    const opened = open(file);
    const { lastGood, clock } = opened;
    saveStep(lastGood, 1);
    lastGood.flush();
    spoil(file);
    saveStep(lastGood, 2);
    lastGood.flush();
    assert.equal(opened.damaged, 1);
    saveStep(lastGood, 3);
    lastGood.replaceAll({ revision: 3, clusterId: "7", records: stateAt(3) });
    saveStep(lastGood, 4);
    clock.advance(100);
    lastGood.close();
    const loaded = open(file).lastGood.load();
    assert.equal(loaded?.revision, 4);
    assertState(loaded.records, 4);
  });
}

function exec(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

function makeForeign(file: string): void {
  rmSync(file);
  exec(file, "CREATE TABLE cookies (name TEXT); INSERT INTO cookies VALUES ('a')");
}

/** What another reader of the file finds in it. */
function revisionIn(file: string): number | undefined {
  const database = new DatabaseSync(file, { readOnly: true });
  const revision = database.prepare("SELECT revision FROM state").get()?.revision;
  database.close();
  return typeof revision === "number" ? revision : undefined;
}
