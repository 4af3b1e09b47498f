/** Processes that are killed while they save, and files cut short or with other bytes in them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { seededRandom } from "../../../../tests/kit/clock.ts";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { systemTimers } from "../core/timers.ts";
import { assertState, saveStep } from "./last-good.fixtures.ts";
import { openLastGood, type LastGood } from "./last-good.ts";

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "headgate-last-good-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function open(file: string): LastGood {
  return openLastGood({ file, clock: systemClock, timers: systemTimers, log: silentLog });
}

test("a process killed while it saves leaves a state that was saved as a whole, and what it had written", async (t) => {
  const file = join(temporary(t), "last-good.db");
  const random = seededRandom(20);
  const program = join(import.meta.dirname, "last-good.fixtures.ts");
  for (let kill = 1; kill <= 20; kill++) {
    const child = spawn(process.execPath, [program, file], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const exited = once(child, "exit");
    let written = 0;
    let lines = Math.floor(1 + random() * 60);
    for await (const line of createInterface(child.stdout)) {
      written = Number(line);
      if (--lines <= 0) child.kill("SIGKILL");
    }
    await exited;
    const lastGood = open(file);
    const loaded = lastGood.load();
    lastGood.close();
    assert.ok(loaded !== undefined && loaded.revision >= written, `kill ${kill}: ${loaded?.revision} after ${written}`);
    assertState(loaded.records, loaded.revision, `kill ${kill}`);
  }
});

interface Specimen {
  readonly file: string;
  readonly bytes: { readonly file: Buffer; readonly log: Buffer };
}

/** A file and its log as a killed process leaves them: state 40 in the file, those up to 60 in the log. */
function specimen(dir: string): Specimen {
  const live = join(dir, "live.db");
  const lastGood = open(live);
  for (let n = 1; n <= 60; n++) {
    saveStep(lastGood, n);
    lastGood.flush();
    if (n !== 40) continue;
    const other = new DatabaseSync(live);
    other.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    other.close();
  }
  const file = join(dir, "specimen.db");
  copyFileSync(live, file);
  copyFileSync(`${live}-wal`, `${file}-wal`);
  lastGood.close();
  return { file, bytes: { file: readFileSync(file), log: readFileSync(`${file}-wal`) } };
}

/** What is loaded is whole: none, or one of the states saved. Returns its revision. */
function revisionOf(file: string, what: string): number | undefined {
  const lastGood = open(file);
  const loaded = lastGood.load();
  lastGood.close();
  if (loaded !== undefined) assertState(loaded.records, loaded.revision, what);
  return loaded?.revision;
}

/** Which bytes are spoiled: those of the file without a log, of the file under its log, or of the log. */
const parts = ["alone", "under its log", "log"] as const;

/** Writes a spoiled copy and loads it. */
function loadSpoiled(
  bytes: Specimen["bytes"],
  part: (typeof parts)[number],
  file: string,
  spoil: (whole: Buffer) => Buffer,
): number | undefined {
  writeFileSync(file, part === "log" ? bytes.file : spoil(bytes.file));
  if (part !== "alone") writeFileSync(`${file}-wal`, part === "log" ? spoil(bytes.log) : bytes.log);
  return revisionOf(file, `${file} (${part})`);
}

test("a file or its log cut short anywhere is loaded whole or not at all", (t) => {
  const dir = temporary(t);
  const { file, bytes } = specimen(dir);
  const random = seededRandom(1);
  for (const part of parts) {
    const { length } = part === "log" ? bytes.log : bytes.file;
    const offsets = [0, 1, 31, 32, 33, 99, 100, 4_095, 4_096, 4_097, length - 4_096, length - 1];
    for (let i = 0; i < 40; i++) offsets.push(Math.floor(random() * length));
    const outcomes = new Set<number | undefined>();
    for (const offset of offsets) {
      outcomes.add(loadSpoiled(bytes, part, join(dir, `${part} ${offset}.db`), (whole) => whole.subarray(0, offset)));
    }
    if (part === "alone") assert.ok(outcomes.has(undefined), "a shorter file is none");
    if (part === "log") assert.ok(outcomes.size > 10 && outcomes.has(40), "a shorter log is an earlier state");
  }
  assert.equal(revisionOf(file, "untouched"), 60);
});

test("a file or its log with other bytes in it is loaded whole or not at all", (t) => {
  const dir = temporary(t);
  const { bytes } = specimen(dir);
  const random = seededRandom(2);
  const outcomes: (number | undefined)[] = [];
  for (let i = 0; i < 240; i++) {
    const part = parts[i % 3] ?? "log";
    // Every other one hits the head of the file, where its structure is described.
    const spoil = (whole: Buffer): Buffer => {
      const copy = Buffer.from(whole);
      const offset = Math.floor(random() * (i % 2 === 0 ? 200 : copy.length));
      const end = Math.min(copy.length, offset + 1 + Math.floor(random() * 4));
      for (let at = offset; at < end; at++) copy[at] = (copy[at] ?? 0) ^ (1 + Math.floor(random() * 255));
      return copy;
    };
    outcomes.push(loadSpoiled(bytes, part, join(dir, `${part} ${i}.db`), spoil));
  }
  const lost = outcomes.filter((revision) => revision === undefined).length;
  assert.ok(lost > 20 && lost < 200, `${lost} of ${outcomes.length} were set aside`);
});
