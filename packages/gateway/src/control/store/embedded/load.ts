import type { Leases } from "./leases.ts";
import { Mvcc } from "./mvcc.ts";
import { damaged } from "../../exclusive-file.ts";
import type { Row, StoreFile } from "./store-file.ts";

/**
 * Builds what is in memory from the file. Throws a FileError if a revision is missing. `dropped`: rows of history
 * that was compacted but not yet forgotten when the process ended.
 */
export function loadMvcc(file: StoreFile, leases: Leases): { mvcc: Mvcc; dropped: number[] } {
  for (const { id, ttlSeconds } of file.leases) leases.restore(id, ttlSeconds);
  const mvcc = new Mvcc(leases, file.compactedRevision);
  const dropped: number[] = [];
  let group: Row[] = [];
  const restoreGroup = (): void => {
    const revision = group[0]?.revision;
    if (revision === undefined) return;
    const rows = mvcc.restore(revision, group);
    if (rows === undefined) throw damaged("store", file.path, `revision ${revision - 1} is missing`);
    for (const row of rows) dropped.push(row);
    group = [];
  };
  for (const row of file.rows()) {
    if (row.revision !== group[0]?.revision) restoreGroup();
    group.push(row);
  }
  restoreGroup();
  if (mvcc.revision < file.compactedRevision)
    throw damaged("store", file.path, `revision ${file.compactedRevision} is missing`);
  return { mvcc, dropped };
}
