import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { FakeClock, seededRandom } from "../../../../../../tests/kit/clock.ts";
import { everything, openStore, temporaryDirectory } from "./embedded.fixtures.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { FileError } from "../../exclusive-file.ts";

const program = fileURLToPath(new URL("durability.fixtures.ts", import.meta.url));

/** Runs the writing process until it acknowledged so many, and kills it there; what it acknowledged, by number. */
async function writeAndKill(directory: string, first: number, until: number): Promise<Map<number, number>> {
  const child = spawn(process.execPath, [program, directory, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const acknowledged = new Map<number, number>();
  for await (const line of createInterface({ input: child.stdout })) {
    // The kill can cut the last line in half.
    const [, number, revision] = /^(\d+) (\d+)$/.exec(line) ?? [];
    if (number !== undefined) acknowledged.set(Number(number), Number(revision));
    if (acknowledged.size === until) child.kill("SIGKILL");
  }
  await ended;
  assert.equal(child.signalCode, "SIGKILL", "it wrote until it was killed");
  return acknowledged;
}

function numberIn(value: Buffer | undefined): number {
  return Number.parseInt(value?.toString() ?? "", 10);
}

/** Every revision is a whole transaction; returns their numbers by revision. */
function wholeRevisions(store: EmbeddedStore): Map<number, number> {
  const found = new Map<number, number>();
  let from = Math.max(2, store.status.compactedRevision);
  while (from <= store.revision) {
    const page = store.history({ ...everything, from, revisionsMax: 1_000 });
    for (const { revision, events } of page.revisions) {
      const numbers = events.map(({ kv }) => numberIn(kv.value));
      assert.equal(numbers.length, 3, `revision ${revision}`);
      assert.equal(new Set(numbers).size, 1, `revision ${revision}`);
      found.set(revision, numbers[0] ?? NaN);
    }
    from = page.next;
  }
  return found;
}

test("killed at any moment, it loses nothing that was acknowledged and keeps nothing by halves", async (t) => {
  const directory = temporaryDirectory(t);
  const random = seededRandom(11);
  const acknowledged = new Map<number, number>();
  let next = 1;
  for (let round = 0; round < 10; round++) {
    for (const [number, revision] of await writeAndKill(directory, next, 20 + Math.floor(random() * 150))) {
      acknowledged.set(number, revision);
    }
    const store = openStore(t, directory, new FakeClock(), { historyRevisionsMin: 100_000 });
    const byRevision = wholeRevisions(store);
    const present = new Set(store.rangeNow({ key: "c/", end: "c0" }).kvs.map((kv) => numberIn(kv.value)));
    for (const [number, revision] of acknowledged) {
      assert.ok(present.has(number), `${number} was acknowledged and is gone`);
      if (revision >= store.status.compactedRevision) assert.equal(byRevision.get(revision), number);
    }
    assert.equal(numberIn(store.rangeNow({ key: "b" }).kvs[0]?.value), byRevision.get(store.revision));
    next = Math.max(...present) + 1;
    await store.close();
  }
  assert.ok(acknowledged.size > 300);
});

/** A log that loses what was being merged into the file takes the file with it; that is rare, and said. */
function openOrDamaged(t: TestContext, directory: string): EmbeddedStore | undefined {
  try {
    return openStore(t, directory, new FakeClock());
  } catch (error) {
    if (error instanceof FileError && error.code === "damaged") return undefined;
    throw error;
  }
}

test("a log that was cut or overwritten at its end gives whole revisions without a gap", async (t) => {
  const random = seededRandom(5);
  let opened = 0;
  for (let round = 0; round < 4; round++) {
    const directory = temporaryDirectory(t);
    const acknowledged = await writeAndKill(directory, 1, 150);
    const log = join(directory, "store.db-wal");
    const { size } = statSync(log);
    const at = Math.floor(size * (0.3 + 0.7 * random()));
    if (round % 2 === 0) {
      truncateSync(log, at);
    } else {
      const file = openSync(log, "r+");
      writeSync(file, Buffer.alloc(Math.min(500, size - at), 0x5a), 0, undefined, at);
      closeSync(file);
    }
    const store = openOrDamaged(t, directory);
    if (store === undefined) continue;
    opened++;
    const byRevision = wholeRevisions(store);
    const revisions = [...byRevision.keys()];
    assert.deepEqual(
      revisions,
      revisions.map((_, n) => (revisions[0] ?? 0) + n),
    );
    for (const [number, revision] of acknowledged) {
      if (revision <= store.revision && byRevision.has(revision)) assert.equal(byRevision.get(revision), number);
    }
    await store.close();
  }
  assert.ok(opened > 0);
});
