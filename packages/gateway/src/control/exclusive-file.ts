import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** SQLite's codes; https://sqlite.org/rescode.html */
const busyCode = 5;
const corruptCode = 11;
const fullCode = 13;
const notADatabaseCode = 26;
/** A table or column that is not there. */
const otherCode = 1;
/** No memory, read-only, input or output, damage, cannot be opened. */
const fileCodes: readonly (number | undefined)[] = [7, 8, 10, corruptCode, 14, notADatabaseCode];

/** The log is cut to this after it was merged into the file. */
const logBytesMax = 4 * 1_048_576;
/** Unused pages (4 KiB each) that stay in the file for what is written next. */
const unusedPagesMax = 1_024;
/** Pages given back in one step. */
const pagesPerStep = 256;

/** What is in a file: for messages (`store`), and to tell it from any other database. */
export interface FileKind {
  readonly what: "store" | "queue";
  readonly applicationId: number;
  /** Of the tables; a later one reads all earlier ones. */
  readonly layoutVersion: number;
  /** Statements that make the tables. */
  readonly layout: string;
}

/**
 * Why a file cannot be opened. `damaged`: what is in it was not written like this. `in-use`: another process holds it.
 * `newer`: a later version of the gateway wrote it. `unusable`: the file system refuses.
 */
export type FileErrorCode = "damaged" | "in-use" | "newer" | "unusable";

export class FileError extends Error {
  readonly code: FileErrorCode;
  readonly path: string;

  constructor(code: FileErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FileError";
    this.code = code;
    this.path = path;
  }
}

/** Never started empty in its place: what an operator wants then is his to say. */
export function damaged(what: FileKind["what"], path: string, finding: string, cause?: unknown): FileError {
  const remedy = `put back a backup, or move ${path} and ${path}-wal away to start with an empty ${what}`;
  return new FileError("damaged", path, `The ${what} ${path} is damaged (${finding}): ${remedy}.`, { cause });
}

/**
 * A database that one process writes: SQLite's write-ahead log with `synchronous=FULL` makes a commit survive the loss of
 * power, and its exclusive lock keeps a second process out. Synchronous.
 */
export class ExclusiveFile {
  readonly path: string;
  readonly database: DatabaseSync;
  readonly #kind: FileKind;
  readonly #holderPath: string;

  /** Opens a file or makes it; `fill` adds what a new one begins with. Throws a FileError. */
  constructor(path: string, kind: FileKind, fill: (database: DatabaseSync) => void = () => {}) {
    this.path = path;
    this.#kind = kind;
    this.#holderPath = path.replace(/(\.db)?$/, ".pid");
    if (!existsSync(path)) createFile(path, kind, fill);
    if (statSync(path).size === 0) throw damaged(kind.what, path, "it is empty");
    this.database = openDatabase(path, this.#holderPath, kind);
    try {
      this.#check();
    } catch (error) {
      this.database.close();
      throw this.explained(error);
    }
    writeFileSync(this.#holderPath, `${process.pid}\n`);
  }

  /** All that `action` writes, or nothing of it. */
  transaction<T>(action: () => T): T {
    this.database.exec("BEGIN IMMEDIATE");
    try {
      const result = action();
      this.database.exec("COMMIT");
      return result;
    } catch (error) {
      // After some failures SQLite has rolled back by itself.
      if (this.database.isTransaction) this.database.exec("ROLLBACK");
      throw error;
    }
  }

  /** Gives unused space back to the file system, in steps that take milliseconds. False: nothing is left to do. */
  shrink(): boolean {
    if (this.#pragma("freelist_count") <= unusedPagesMax) return false;
    this.database.exec(`PRAGMA incremental_vacuum(${pagesPerStep})`);
    return true;
  }

  /** What it takes on disk, without the log that is yet to be merged into it. */
  bytes(): number {
    return this.#pragma("page_count") * this.#pragma("page_size");
  }

  /** Errors that mean damage as a FileError; others as they are. */
  explained(error: unknown): unknown {
    const code = sqliteCode(error);
    if (!(error instanceof Error) || (code !== corruptCode && code !== notADatabaseCode && code !== otherCode)) {
      return error;
    }
    return damaged(this.#kind.what, this.path, error.message, error);
  }

  close(): void {
    this.database.close();
    rmSync(this.#holderPath, { force: true });
  }

  #check(): void {
    const { what, applicationId, layoutVersion } = this.#kind;
    if (this.#pragma("application_id") !== applicationId) {
      throw damaged(what, this.path, `it is not a ${what} of this program`);
    }
    if (this.#pragma("user_version") > layoutVersion) {
      const remedy = "start that version, or use another data directory";
      const message = `The ${what} ${this.path} was written by a newer version of Headgate: ${remedy}.`;
      throw new FileError("newer", this.path, message);
    }
    const finding = this.database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    if (finding !== "ok") throw damaged(what, this.path, String(finding));
  }

  #pragma(name: "freelist_count" | "page_count" | "page_size" | "application_id" | "user_version"): number {
    return Number(this.database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
  }
}

/** Whether a write failed because the disk is full. */
export function isDiskFull(error: unknown): boolean {
  return sqliteCode(error) === fullCode;
}

/** Whether an error is about the file as a whole and not about what was asked: what is in memory cannot be trusted then. */
export function isFileFailure(error: unknown): boolean {
  return fileCodes.includes(sqliteCode(error));
}

/** The primary code, without what SQLite adds in the upper bits. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/**
 * Makes a file without content, whole or not at all: a half-made one would look like one that lost everything. Does
 * nothing if another process made it meanwhile.
 */
function createFile(path: string, kind: FileKind, fill: (database: DatabaseSync) => void): void {
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
    throw damaged(kind.what, path, "the file is gone, but its log is there");
  }
  const draft = `${path}.${process.pid}.new`;
  rmSync(draft, { force: true });
  const database = new DatabaseSync(draft);
  try {
    // It holds secrets.
    chmodSync(draft, 0o600);
    database.exec(`
      PRAGMA auto_vacuum = INCREMENTAL;
      PRAGMA application_id = ${kind.applicationId};
      PRAGMA user_version = ${kind.layoutVersion};
      BEGIN;
      ${kind.layout}
    `);
    fill(database);
    database.exec("COMMIT");
  } finally {
    database.close();
  }
  try {
    // Unlike renaming, linking does not replace what is there.
    linkSync(draft, path);
  } catch {
    // Where it is not there because the file system knows no links.
    if (!existsSync(path)) renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
  syncDirectory(dirname(path));
}

/** Without this the loss of power can take the name of the file with it. */
function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function openDatabase(path: string, holderPath: string, { what }: FileKind): DatabaseSync {
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
    if (code === busyCode) throw inUse(what, path, holderPath, error);
    if (code === corruptCode || code === notADatabaseCode) throw damaged(what, path, finding, error);
    const message = `The ${what} ${path} cannot be opened (${finding}): check the directory.`;
    throw new FileError("unusable", path, message, { cause: error });
  }
}

function inUse(what: FileKind["what"], path: string, holderPath: string, cause: unknown): FileError {
  let holder = "another process";
  try {
    holder = `process ${readFileSync(holderPath, "utf8").trim()}`;
  } catch {
    // Between taking the lock and writing its number.
  }
  const message = `The ${what} ${path} is in use by ${holder}: stop that one, or give this one another data directory.`;
  return new FileError("in-use", path, message, { cause });
}
