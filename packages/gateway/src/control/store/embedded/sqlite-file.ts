import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { damaged, ExclusiveFile, isDiskFull, type FileKind } from "../../exclusive-file.ts";
import { bytesOfKey } from "../keys.ts";
import { StoreError } from "../store.ts";
import { checksumOf, readRow } from "./row.ts";
import type { Batch, Identity, Row, StoreFile } from "./store-file.ts";
import type { Version } from "./version.ts";

const kind: FileKind = {
  what: "store",
  // "HGst"
  applicationId: 0x48477374,
  layoutVersion: 1,
  layout: `
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE leases (id TEXT PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
    CREATE TABLE writes (
      row INTEGER PRIMARY KEY,
      revision INTEGER NOT NULL,
      key BLOB NOT NULL,
      value BLOB NOT NULL,
      create_revision INTEGER NOT NULL,
      version INTEGER NOT NULL,
      lease TEXT NOT NULL,
      checksum INTEGER NOT NULL
    );
  `,
};

/**
 * `<dataDir>/store.db`: a row for each write, appended; what nobody can read any more is deleted.
 */
export class SqliteFile implements StoreFile {
  readonly path: string;
  readonly identity: Identity;
  readonly compactedRevision: number;
  readonly leases: StoreFile["leases"];
  readonly #file: ExclusiveFile;
  readonly #database: DatabaseSync;
  readonly #append: StatementSync;
  readonly #drop: StatementSync;
  readonly #grant: StatementSync;
  readonly #end: StatementSync;
  readonly #setMeta: StatementSync;

  /** Opens or makes the store of a directory. Throws a FileError. `identity`: that of a new store. */
  constructor(dataDir: string, identity: () => Identity) {
    this.path = join(dataDir, "store.db");
    this.#file = new ExclusiveFile(this.path, kind, fillWith(identity));
    this.#database = this.#file.database;
    try {
      const meta = this.#meta();
      this.identity = { clusterId: meta.get("cluster_id") ?? "", memberId: meta.get("member_id") ?? "" };
      this.compactedRevision = Number(meta.get("compacted_revision") ?? "NaN");
      if (this.identity.clusterId === "" || !Number.isSafeInteger(this.compactedRevision)) {
        throw damaged("store", this.path, "its identity is missing");
      }
      this.leases = this.#readLeases();
      this.#append = this.#database.prepare("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
      this.#drop = this.#database.prepare("DELETE FROM writes WHERE row = ?");
      this.#grant = this.#database.prepare("INSERT OR REPLACE INTO leases VALUES (?, ?)");
      this.#end = this.#database.prepare("DELETE FROM leases WHERE id = ?");
      this.#setMeta = this.#database.prepare("UPDATE meta SET value = ? WHERE name = ?");
    } catch (error) {
      this.#file.close();
      throw this.#file.explained(error);
    }
  }

  *rows(): Iterable<Row> {
    try {
      for (const row of this.#database.prepare("SELECT * FROM writes ORDER BY row").iterate()) {
        yield readRow(row, this.path);
      }
    } catch (error) {
      throw this.#file.explained(error);
    }
  }

  commit(batch: Batch): void {
    this.#file.transaction(() => {
      for (const version of batch.written) this.#write(version);
      for (const row of batch.dropped) this.#drop.run(row);
      for (const [id, ttlSeconds] of batch.leases) {
        if (ttlSeconds === undefined) this.#end.run(id);
        else this.#grant.run(id, ttlSeconds);
      }
      if (batch.compactedRevision !== undefined) {
        this.#setMeta.run(String(batch.compactedRevision), "compacted_revision");
      }
    });
  }

  shrink(): boolean {
    return this.#file.shrink();
  }

  bytes(): number {
    return this.#file.bytes();
  }

  failureOf(error: unknown): StoreError {
    const finding = error instanceof Error ? error.message : String(error);
    return isDiskFull(error)
      ? new StoreError("no-space", `The disk is full: ${this.path} cannot grow.`, { cause: error })
      : new StoreError("unreachable", `The store ${this.path} cannot be written to (${finding}).`, { cause: error });
  }

  close(): void {
    this.#file.close();
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
}

function fillWith(identity: () => Identity): (database: DatabaseSync) => void {
  return (database) => {
    const insert = database.prepare("INSERT INTO meta VALUES (?, ?)");
    const { clusterId, memberId } = identity();
    insert.run("cluster_id", clusterId);
    insert.run("member_id", memberId);
    insert.run("compacted_revision", "-1");
  };
}
