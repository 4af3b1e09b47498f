import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { RecordText } from "../last-good-record.ts";

/** What was saved as a whole. */
export interface SavedState {
  /** The store's revision that it is. */
  readonly revision: number;
  readonly clusterId: string;
  readonly savedWallMs: number;
  /** Opaque texts by id. */
  readonly records: Map<string, string>;
}

/** One transaction. */
export interface RecordWrite {
  readonly revision: number;
  readonly clusterId: string;
  readonly wallMs: number;
  /** Whether `changes` is everything: what it does not name goes. */
  readonly all: boolean;
  /** Undefined: deleted. */
  readonly changes: ReadonlyMap<string, RecordText | undefined>;
}

/** The file is not what this wrote, or no longer. */
export class DamagedFileError extends Error {}

/** A newer process opened the file: what this one knows is older. */
export class OwnedByAnotherError extends Error {}

/** "HGlg": tells the file from any other database. */
const applicationId = 0x48476c67;
const layoutVersion = 1;

// The single row of `state` says what the rows of `records` must add up to: a page that is missing or out of date is
// noticed even where the database as such is sound.
const layout = `
  CREATE TABLE records (id TEXT PRIMARY KEY, json TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL, cluster_id TEXT NOT NULL,
    saved_wall_ms INTEGER NOT NULL, records INTEGER NOT NULL, sum INTEGER NOT NULL, checksum INTEGER NOT NULL);
  CREATE TABLE owner (only INTEGER PRIMARY KEY CHECK (only = 1), token TEXT NOT NULL);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${layoutVersion};
`;

/** For another process's transaction to end; at the start there is time, later everything else would wait too. */
const openBusyMs = 1_000;
const busyMs = 50;
/** The log is cut to this after it was merged into the file. */
const logBytesMax = 4 * 1_048_576;

/** Some milliseconds. */
const recordsPerStep = 1_000;

interface StateRow {
  readonly revision: number;
  readonly clusterId: string;
  readonly savedWallMs: number;
  readonly count: number;
  /** Of the checksums of all records; below 2^53 for two million of them. */
  readonly sum: number;
}

/**
 * Records in a file of SQLite, in write-ahead mode: a transaction writes the pages it changes, however many records
 * there are, and a process that is killed leaves the transactions it had committed. Synchronous.
 */
export class RecordFile {
  readonly #path: string;
  readonly #token: string;
  readonly #database: DatabaseSync;
  readonly #inode: number;
  readonly #statements: ReturnType<typeof prepare>;
  #owned = false;

  /** Opens the file or makes it. `token`: this process, for the rule that the newest one writes. */
  constructor(path: string, token: string) {
    this.#path = path;
    this.#token = token;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Configuration holds secrets. SQLite gives its log the mode of the file.
    closeSync(openSync(path, "a", 0o600));
    this.#inode = statSync(path).ino;
    this.#database = new DatabaseSync(path, { timeout: openBusyMs });
    try {
      this.#initialize();
      this.#statements = prepare(this.#database);
    } catch (error) {
      this.#database.close();
      throw asDamage(error);
    }
  }

  /** The last state that was saved; undefined where none was. Throws a DamagedFileError. */
  read(): SavedState | undefined {
    try {
      const found = this.#database.prepare("PRAGMA quick_check(1)").get();
      if (found?.quick_check !== "ok") throw new DamagedFileError(String(found?.quick_check));
      const state = this.#state();
      const records = new Map<string, string>();
      let sum = 0;
      // Arrays rather than objects: half the time for a hundred thousand rows.
      for (const row of this.#statements.all.iterate()) {
        const [id, json, checksum] = row as unknown as [string, string, number]; // the columns that the statement names
        if (checksumOf(id, json) !== checksum) throw new DamagedFileError(`the checksum of record ${id} is wrong`);
        records.set(id, json);
        sum += checksum;
      }
      if (records.size !== (state?.count ?? 0) || sum !== (state?.sum ?? 0)) {
        throw new DamagedFileError("records are missing or out of date");
      }
      if (state === undefined) return undefined;
      const { revision, clusterId, savedWallMs } = state;
      return { revision, clusterId, savedWallMs, records };
    } catch (error) {
      throw asDamage(error);
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${busyMs}`);
    }
  }

  /** Makes this process the one that writes; others get an OwnedByAnotherError from their next write. */
  claim(): void {
    this.#transaction(() => this.#own());
  }

  /**
   * Saves a state in one transaction, in steps between which the caller may do something else, but with this file. It is
   * saved when there is no further step; what is ended before is undone. A step throws SQLite's error, an
   * OwnedByAnotherError or a DamagedFileError.
   */
  *write(write: RecordWrite): Generator<void, void, void> {
    // A file that was deleted or replaced can still be written to, and nobody would ever read it.
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino !== this.#inode) {
      throw new DamagedFileError("it was deleted or replaced while it was open");
    }
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      this.#own();
      yield* this.#save(write);
      this.#database.exec("COMMIT");
    } catch (error) {
      throw asDamage(error);
    } finally {
      // After some failures SQLite has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    }
  }

  close(): void {
    this.#database.close();
  }

  #initialize(): void {
    const database = this.#database;
    const pragma = (name: string): unknown => database.prepare(`PRAGMA ${name}`).get()?.[name];
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = ${logBytesMax}`);
    this.#transaction(() => {
      const id = pragma("application_id");
      if (id === applicationId && pragma("user_version") === layoutVersion) return;
      const foreign = id !== 0 || database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.n !== 0;
      if (foreign) throw new DamagedFileError("it was not written by this version of the gateway");
      database.exec(layout);
    });
  }

  #transaction(action: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      action();
      this.#database.exec("COMMIT");
    } catch (error) {
      // After some failures SQLite has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #own(): void {
    if (!this.#owned) this.#statements.setOwner.run(this.#token);
    else if (this.#statements.owner.get()?.token !== this.#token) {
      throw new OwnedByAnotherError("another gateway uses the same data directory");
    }
    this.#owned = true;
  }

  *#save({ revision, clusterId, wallMs, all, changes }: RecordWrite): Generator<void, void, void> {
    const { clear, checksum, remove, put, setState } = this.#statements;
    if (all) clear.run();
    const before = all ? undefined : this.#state();
    let count = before?.count ?? 0;
    let sum = before?.sum ?? 0;
    let written = 0;
    for (const [id, text] of changes) {
      if (++written % recordsPerStep === 0) yield;
      const known = all ? undefined : checksum.get(id)?.checksum;
      if (typeof known === "number") {
        count--;
        sum -= known;
      }
      if (text === undefined) {
        if (known !== undefined) remove.run(id);
        continue;
      }
      const json = typeof text === "function" ? text() : text;
      const fresh = checksumOf(id, json);
      put.run(id, json, fresh);
      count++;
      sum += fresh;
    }
    const state = { revision, clusterId, savedWallMs: Math.round(wallMs), count, sum };
    setState.run(revision, clusterId, state.savedWallMs, count, sum, stateChecksum(state));
  }

  #state(): StateRow | undefined {
    const row = this.#statements.state.get();
    if (row === undefined) return undefined;
    const { revision, cluster_id: clusterId, saved_wall_ms: savedWallMs, records: count, sum, checksum } = row;
    if (
      typeof revision !== "number" ||
      typeof clusterId !== "string" ||
      typeof savedWallMs !== "number" ||
      typeof count !== "number" ||
      typeof sum !== "number"
    ) {
      throw new DamagedFileError("its state is unreadable");
    }
    const state = { revision, clusterId, savedWallMs, count, sum };
    if (stateChecksum(state) !== checksum) throw new DamagedFileError("the checksum of its state is wrong");
    return state;
  }
}

function prepare(database: DatabaseSync) {
  const all: StatementSync = database.prepare("SELECT id, json, checksum FROM records");
  all.setReturnArrays(true);
  return {
    all,
    state: database.prepare("SELECT * FROM state"),
    setState: database.prepare("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?)"),
    owner: database.prepare("SELECT token FROM owner"),
    setOwner: database.prepare("INSERT OR REPLACE INTO owner VALUES (1, ?)"),
    clear: database.prepare("DELETE FROM records"),
    checksum: database.prepare("SELECT checksum FROM records WHERE id = ?"),
    remove: database.prepare("DELETE FROM records WHERE id = ?"),
    put: database.prepare("INSERT OR REPLACE INTO records VALUES (?, ?, ?)"),
  };
}

function checksumOf(id: string, json: string): number {
  return crc32(json, crc32(`${id}\0`));
}

function stateChecksum({ revision, clusterId, savedWallMs, count, sum }: StateRow): number {
  return crc32([revision, clusterId, savedWallMs, count, sum].join(" "));
}

/**
 * The codes of SQLite that waiting does not mend: a damaged or a foreign file, a page that cannot be read, a table that
 * is not there. https://sqlite.org/rescode.html
 */
const damageCodes = new Set([1, 11, 26]);
const readError = 266;

function asDamage(error: unknown): unknown {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") {
    // A value that no number or text can hold is not ours either.
    return error instanceof RangeError ? new DamagedFileError(error.message, { cause: error }) : error;
  }
  const damaged = damageCodes.has(error.errcode & 0xff) || error.errcode === readError;
  return damaged ? new DamagedFileError(error.message, { cause: error }) : error;
}
