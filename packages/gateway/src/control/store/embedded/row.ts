import { crc32 } from "node:zlib";
import { keyOfBytes } from "../keys.ts";
import { damaged } from "../../exclusive-file.ts";
import type { Row } from "./store-file.ts";

/** What is told of a row beside its key and value. */
export type RowFacts = Pick<Row, "row" | "revision" | "createRevision" | "version" | "lease">;

/** SQLite finds a broken structure, not a changed byte in a value; this does. */
export function checksumOf(facts: RowFacts, key: Uint8Array, value: Uint8Array): number {
  const { row, revision, createRevision, version, lease } = facts;
  const numbers = `${row} ${revision} ${createRevision} ${version} ${lease} ${key.length}`;
  return crc32(value, crc32(key, crc32(numbers)));
}

/** A row of the file as it was written, or a FileError. */
export function readRow(found: Readonly<Record<string, unknown>>, path: string): Row {
  const { row, revision, key, value, create_revision: createRevision, version, lease, checksum } = found;
  if (
    typeof row === "number" &&
    typeof revision === "number" &&
    key instanceof Uint8Array &&
    value instanceof Uint8Array &&
    typeof createRevision === "number" &&
    typeof version === "number" &&
    typeof lease === "string"
  ) {
    const facts = { row, revision, createRevision, version, lease };
    if (checksumOf(facts, key, value) === checksum) {
      return { ...facts, key: keyOfBytes(key), value: keyOfBytes(value) };
    }
  }
  throw damaged("store", path, `row ${String(row)} is not what was written`);
}
