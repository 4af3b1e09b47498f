import { chmodSync, closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { damaged } from "./store-file.ts";
import type { Identity } from "./store-file.ts";

/** "HGst": tells the file from any other database. */
export const applicationId = 0x48477374;
/** Of the tables below; a later one reads all earlier ones. */
export const layoutVersion = 1;

const layout = `
  PRAGMA auto_vacuum = INCREMENTAL;
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${layoutVersion};
  BEGIN;
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
`;

/**
 * Makes a store without content, whole or not at all: a half-made file would look like a store that lost everything.
 * Does nothing if another process made it meanwhile.
 */
export function createStoreFile(path: string, identity: () => Identity): void {
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
    throw damaged(path, "the file is gone, but its log is there");
  }
  const draft = `${path}.${process.pid}.new`;
  rmSync(draft, { force: true });
  const database = new DatabaseSync(draft);
  try {
    // Configuration holds secrets.
    chmodSync(draft, 0o600);
    database.exec(layout);
    const insert = database.prepare("INSERT INTO meta VALUES (?, ?)");
    const { clusterId, memberId } = identity();
    insert.run("cluster_id", clusterId);
    insert.run("member_id", memberId);
    insert.run("compacted_revision", "-1");
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
