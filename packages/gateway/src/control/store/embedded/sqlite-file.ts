import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { bytesOfKey } from "../keys.ts";
import { StoreError } from "../store.ts";
import { applicationId, createStoreFile, layoutVersion } from "./create-file.ts";
import { checksumOf, readRow } from "./row.ts";
import { damaged, StoreFileError } from "./store-file.ts";
import type { Batch, Identity, Row, StoreFile } from "./store-file.ts";
import type { Version } from "./version.ts";

/** SQLite's codes; https://sqlite.org/rescode.html */
const busyCode = 5;
const corruptCode = 11;
const fullCode = 13;
const notADatabaseCode = 26;

/** Unused pages (4 KiB each) that stay in the file for what is written next. */
const unusedPagesMax = 1_024;
/** Pages given back in one step. */
const pagesPerStep = 256;
/** The log is cut to this after it was merged into the file. */
const logBytesMax = 4 * 1_048_576;

/** The primary code, without what SQLite adds in the upper bits. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/**
 * `<dataDir>/store.db`: a row for each write, appended; what nobody can read any more is deleted. SQLite's write-ahead
 * log with `synchronous=FULL` makes a commit survive the loss of power, and its exclusive lock keeps a second process out.
 */
export class SqliteFile implements StoreFile {
  readonly path: string;
  readonly identity: Identity;
  readonly compactedRevision: number;
  readonly leases: StoreFile["leases"];
  readonly #database: DatabaseSync;
  readonly #holderPath: string;
  readonly #append: StatementSync;
  readonly #drop: StatementSync;
  readonly #grant: StatementSync;
  readonly #end: StatementSync;
  readonly #setMeta: StatementSync;

  /** Opens or makes the store of a directory. Throws a StoreFileError. `identity`: that of a new store. */
  constructor(dataDir: string, identity: () => Identity) {
    this.path = join(dataDir, "store.db");
    this.#holderPath = join(dataDir, "store.pid");
    if (!existsSync(this.path)) createStoreFile(this.path, identity);
    if (statSync(this.path).size === 0) throw damaged(this.path, "it is empty");
    this.#database = openDatabase(this.path, this.#holderPath);
    try {
      check(this.#database, this.path);
      const meta = this.#meta();
      this.identity = { clusterId: meta.get("cluster_id") ?? "", memberId: meta.get("member_id") ?? "" };
      this.compactedRevision = Number(meta.get("compacted_revision") ?? "NaN");
      if (this.identity.clusterId === "" || !Number.isSafeInteger(this.compactedRevision)) {
        throw damaged(this.path, "its identity is missing");
      }
      this.leases = this.#readLeases();
      this.#append = this.#database.prepare("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
      this.#drop = this.#database.prepare("DELETE FROM writes WHERE row = ?");
      this.#grant = this.#database.prepare("INSERT OR REPLACE INTO leases VALUES (?, ?)");
      this.#end = this.#database.prepare("DELETE FROM leases WHERE id = ?");
      this.#setMeta = this.#database.prepare("UPDATE meta SET value = ? WHERE name = ?");
    } catch (error) {
      this.#database.close();
      throw this.#explained(error);
    }
    writeFileSync(this.#holderPath, `${process.pid}\n`);
  }

  *rows(): Iterable<Row> {
    try {
      for (const row of this.#database.prepare("SELECT * FROM writes ORDER BY row").iterate()) {
        yield readRow(row, this.path);
      }
    } catch (error) {
      throw this.#explained(error);
    }
  }

  commit(batch: Batch): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const version of batch.written) this.#write(version);
      for (const row of batch.dropped) this.#drop.run(row);
      for (const [id, ttlSeconds] of batch.leases) {
        if (ttlSeconds === undefined) this.#end.run(id);
        else this.#grant.run(id, ttlSeconds);
      }
      if (batch.compactedRevision !== undefined) {
        this.#setMeta.run(String(batch.compactedRevision), "compacted_revision");
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      // After some failures SQLite has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  shrink(): boolean {
    if (this.#pragma("freelist_count") <= unusedPagesMax) return false;
    this.#database.exec(`PRAGMA incremental_vacuum(${pagesPerStep})`);
    return true;
  }

  bytes(): number {
    return this.#pragma("page_count") * this.#pragma("page_size");
  }

  failureOf(error: unknown): StoreError {
    const finding = error instanceof Error ? error.message : String(error);
    return sqliteCode(error) === fullCode
      ? new StoreError("no-space", `The disk is full: ${this.path} cannot grow.`, { cause: error })
      : new StoreError("unreachable", `The store ${this.path} cannot be written to (${finding}).`, { cause: error });
  }

  close(): void {
    this.#database.close();
    rmSync(this.#holderPath, { force: true });
  }

  #write(written: Version): void {
    const { row, modRevision: revision, createRevision, version, lease } = written;
    const key = bytesOfKey(written.entry.key);
    const value = bytesOfKey(written.value);
    const checksum = checksumOf({ row, revision, createRevision, version, lease }, key, value);
    this.#append.run(row, revision, key, value, createRevision, version, lease, checksum);
  }

  #meta(): Map<string, string> {
    const rows = this.#database.prepare("SELECT name, value FROM meta").all();
    return new Map(rows.map(({ name, value }) => [String(name), String(value)]));
  }

  #readLeases(): StoreFile["leases"] {
    const rows = this.#database.prepare("SELECT id, ttl_seconds FROM leases").all();
    return rows.map((row) => ({ id: String(row["id"]), ttlSeconds: Number(row["ttl_seconds"]) }));
  }

  #pragma(name: "freelist_count" | "page_count" | "page_size"): number {
    return Number(this.#database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
  }

  #explained(error: unknown): unknown {
    const code = sqliteCode(error);
    if (error instanceof Error && (code === corruptCode || code === notADatabaseCode)) {
      return damaged(this.path, error.message, error);
    }
    // A table or column that is not there.
    return error instanceof Error && code === 1 ? damaged(this.path, error.message, error) : error;
  }
}

function openDatabase(path: string, holderPath: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: false });
    // Without shared memory for other processes; the lock is held until the file is closed or the process ends.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec(`PRAGMA journal_size_limit = ${logBytesMax}`);
    // The lock is taken by the first one who reads or writes, not by the settings.
    database.exec("BEGIN EXCLUSIVE; COMMIT");
    return database;
  } catch (error) {
    database?.close();
    const code = sqliteCode(error);
    const finding = error instanceof Error ? error.message : String(error);
    if (code === busyCode) throw inUse(path, holderPath, error);
    if (code === corruptCode || code === notADatabaseCode) throw damaged(path, finding, error);
    throw new StoreFileError(
      "unusable",
      path,
      `The store ${path} cannot be opened (${finding}): check the directory.`,
      {
        cause: error,
      },
    );
  }
}

function inUse(path: string, holderPath: string, cause: unknown): StoreFileError {
  let holder = "another process";
  try {
    holder = `process ${readFileSync(holderPath, "utf8").trim()}`;
  } catch {
    // Between taking the lock and writing its number.
  }
  const message = `The store ${path} is in use by ${holder}: stop that one, or give this one another data directory.`;
  return new StoreFileError("in-use", path, message, { cause });
}

function check(database: DatabaseSync, path: string): void {
  const application = database.prepare("PRAGMA application_id").get()?.["application_id"];
  if (application !== applicationId) throw damaged(path, "it is not a store of this program");
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version > layoutVersion) {
    const message = `The store ${path} was written by a newer version of Headgate: start that version, or use another data directory.`;
    throw new StoreFileError("newer", path, message);
  }
  const finding = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
  if (finding !== "ok") throw damaged(path, String(finding));
}
