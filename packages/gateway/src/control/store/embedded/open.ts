import { mkdirSync } from "node:fs";
import type { Clock, Random } from "../../../core/clock.ts";
import type { Log } from "../../../core/log.ts";
import type { Timers } from "../../../core/timers.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { randomId } from "./leases.ts";
import { SqliteFile } from "./sqlite-file.ts";
import { FileError } from "../../exclusive-file.ts";

export interface EmbeddedOptions {
  /** Holds `store.db` and what SQLite puts beside it; made if it is not there. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Newest revisions whose history is kept at least. Default: 10,000. */
  readonly historyRevisionsMin?: number;
  /** History younger than this is kept. Default: an hour. */
  readonly historyAgeMsMin?: number;
  /** Memory for history, which beats both: the oldest goes first. Default: 256 MiB. */
  readonly historyBytesMax?: number;
  /** Newest values with their keys, and 450 bytes for each; a write beyond it is refused with `no-space`. Default: 256 MiB. */
  readonly bytesMax?: number;
}

const hourMs = 3_600_000;
const mebibyte = 1_048_576;

/**
 * Opens or makes the store of this process. Throws a FileError that says what is wrong with the file and what to
 * do. `close()` of the store gives the file free for others.
 */
export function openEmbedded(options: EmbeddedOptions): EmbeddedStore {
  const { dataDir, clock, timers, random, log } = options;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    const finding = error instanceof Error ? error.message : String(error);
    throw new FileError("unusable", dataDir, `The data directory ${dataDir} cannot be made (${finding}).`);
  }
  const identity = (): { clusterId: string; memberId: string } => ({
    clusterId: randomId(random, 64),
    memberId: randomId(random, 64),
  });
  return new EmbeddedStore({
    clock,
    timers,
    random,
    log,
    url: `embedded:${dataDir}`,
    openFile: () => new SqliteFile(dataDir, identity),
    historyRevisionsMin: options.historyRevisionsMin ?? 10_000,
    historyAgeMsMin: options.historyAgeMsMin ?? hourMs,
    historyBytesMax: options.historyBytesMax ?? 256 * mebibyte,
    bytesMax: options.bytesMax ?? 256 * mebibyte,
  });
}
