import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { FakeClock, seededRandom } from "../../../../../../tests/kit/clock.ts";
import { openStore, temporaryDirectory } from "./embedded.fixtures.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { FileError } from "../../exclusive-file.ts";
import type { FileErrorCode } from "../../exclusive-file.ts";

const keysWritten = 400;
const marker = "a value that is looked for in the file";

/** A directory with a closed store of some hundred pages. */
async function writtenDirectory(t: TestContext): Promise<string> {
  const directory = temporaryDirectory(t);
  const store = openStore(t, directory, new FakeClock());
  const value = Buffer.from(marker.repeat(20));
  const puts = Array.from({ length: keysWritten }, (_, n) =>
    store.txn({ compare: [], then: [{ type: "put", put: { key: `/k/${n}`, value } }] }),
  );
  await Promise.all(puts);
  await store.close();
  return directory;
}

function open(t: TestContext, directory: string): EmbeddedStore {
  return openStore(t, directory, new FakeClock());
}

function assertRefused(t: TestContext, directory: string, code: FileErrorCode, named = "store.db"): void {
  assert.throws(
    () => open(t, directory),
    (error: unknown) => {
      assert.ok(error instanceof FileError, String(error));
      assert.equal(error.code, code, error.message);
      assert.ok(error.message.includes(join(directory, named)), error.message);
      return true;
    },
  );
}

test("a store is what it was after closing and opening, with its identity", async (t) => {
  const directory = temporaryDirectory(t);
  const first = open(t, directory);
  const put = { type: "put", put: { key: "a", value: Buffer.from("1") } } as const;
  await first.txn({ compare: [], then: [put] });
  const before = first.rangeNow({ key: "a" });
  const { identity } = first;
  assert.match(identity.clusterId, /^\d+$/);
  assert.notEqual(identity.clusterId, identity.memberId);
  await first.close();
  const second = open(t, directory);
  assert.deepEqual(second.rangeNow({ key: "a" }), before);
  assert.deepEqual(second.identity, identity);
  assert.equal(statSync(join(directory, "store.db")).mode & 0o777, 0o600);
});

test("a file that lost its end is refused, wherever it was cut", async (t) => {
  const directory = await writtenDirectory(t);
  const path = join(directory, "store.db");
  const whole = join(directory, "whole");
  copyFileSync(path, whole);
  const { size } = statSync(path);
  assert.ok(size > 50 * 4096);
  for (const length of [0, 1, 99, 100, 4_095, 4_096, 8_192, size / 2, size / 2 + 17, size - 4_096, size - 1]) {
    copyFileSync(whole, path);
    truncateSync(path, Math.floor(length));
    assertRefused(t, directory, "damaged");
  }
  copyFileSync(whole, path);
  assert.equal(open(t, directory).rangeNow({ key: "/k/", end: "/k0", countOnly: true }).count, keysWritten);
});

test("a file with foreign bytes is refused, wherever they are", async (t) => {
  const directory = await writtenDirectory(t);
  const path = join(directory, "store.db");
  const whole = readFileSync(path);
  const damages: readonly (readonly [string, (bytes: Buffer) => void])[] = [
    ["the first page", (bytes) => bytes.fill(0x55, 0, 200)],
    ["a page in the middle", (bytes) => bytes.fill(0, 40 * 4_096, 41 * 4_096)],
    ["everything", (bytes) => bytes.fill("no database")],
  ];
  for (const [where, damage] of damages) {
    const bytes = Buffer.from(whole);
    damage(bytes);
    writeFileSync(path, bytes);
    t.diagnostic(where);
    assertRefused(t, directory, "damaged");
    assert.deepEqual(readFileSync(path), bytes, "what is left is not touched");
  }
});

test("after one bit of it changed, a file is refused or holds what it held", async (t) => {
  const directory = await writtenDirectory(t);
  const path = join(directory, "store.db");
  const whole = readFileSync(path);
  const before = open(t, directory);
  const expected = before.rangeNow({ key: "\0", end: "\0" });
  await before.close();
  const random = seededRandom(3);
  let refused = 0;
  for (let n = 0; n < 40; n++) {
    const bytes = Buffer.from(whole);
    const at = Math.floor(random() * bytes.length);
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << Math.floor(random() * 8)), at);
    writeFileSync(path, bytes);
    try {
      const store = open(t, directory);
      assert.deepEqual(store.rangeNow({ key: "\0", end: "\0" }), expected, `byte ${at}`);
      await store.close();
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      assert.equal(error.code, "damaged", error.message);
      refused++;
    }
    rmSync(`${path}-wal`, { force: true });
  }
  assert.ok(refused > 10, `${refused} of 40: most of the file is values`);
});

const foreign: readonly (readonly [string, FileErrorCode, string])[] = [
  ["another program's database", "damaged", "PRAGMA application_id = 1"],
  ["a later version's store", "newer", "PRAGMA user_version = 2"],
  ["a store without its identity", "damaged", "DELETE FROM meta"],
  ["a store without its writes", "damaged", "DROP TABLE writes"],
  ["a store in which a value is not what was written", "damaged", "UPDATE writes SET value = x'00' WHERE row = 77"],
  ["a store in which a revision is missing", "damaged", "DELETE FROM writes WHERE revision = 77"],
];

for (const [what, code, change] of foreign) {
  test(`${what} is refused`, async (t) => {
    const directory = await writtenDirectory(t);
    const database = new DatabaseSync(join(directory, "store.db"));
    database.exec(change);
    database.close();
    assertRefused(t, directory, code);
  });
}

test("a log without its file is refused, and not taken for a new store", async (t) => {
  const directory = await writtenDirectory(t);
  rmSync(join(directory, "store.db"));
  writeFileSync(join(directory, "store.db-wal"), "the log of a file that is gone");
  assertRefused(t, directory, "damaged");
});

test("a data directory that cannot be made is named", (t) => {
  const file = join(temporaryDirectory(t), "file");
  writeFileSync(file, "");
  assertRefused(t, join(file, "data"), "unusable", "");
});

test("a second store on one file is refused while the first is open, here and in another process", async (t) => {
  const directory = temporaryDirectory(t);
  const first = open(t, directory);
  assertRefused(t, directory, "in-use");
  assert.throws(() => open(t, directory), new RegExp(`in use by process ${process.pid}`));
  const program = `
    import { openStore } from ${JSON.stringify(new URL("embedded.fixtures.ts", import.meta.url).href)};
    import { FakeClock, seededRandom } from ${JSON.stringify(new URL("../../../../../../tests/kit/clock.ts", import.meta.url).href)};
    try {
      openStore({ after() {} }, ${JSON.stringify(directory)}, new FakeClock());
      console.log("opened");
    } catch (error) {
      console.log(error.code);
    }`;
  const run = (): string =>
    execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" }).trim();
  assert.equal(run(), "in-use");
  await first.txn({ compare: [], then: [{ type: "put", put: { key: "a", value: Buffer.from("1") } }] });
  await first.close();
  assert.equal(run(), "opened");
});
