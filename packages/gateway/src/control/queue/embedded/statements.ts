import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { FileKind } from "../../exclusive-file.ts";

/** The file's kind and tables. What is large lies apart from what is changed at each try, or each would write it anew. */
export const kind: FileKind = {
  what: "queue",
  // "HGqu"
  applicationId: 0x48477175,
  layoutVersion: 1,
  layout: `
    CREATE TABLE messages (
      seq INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      route TEXT NOT NULL,
      service TEXT NOT NULL,
      first_ms INTEGER NOT NULL,
      deadline_ms INTEGER NOT NULL,
      next_ms INTEGER NOT NULL,
      window_ms INTEGER NOT NULL,
      backoff_ms INTEGER NOT NULL,
      backoff_max_ms INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      once TEXT,
      request TEXT,
      attempts INTEGER NOT NULL DEFAULT 0,
      errors TEXT NOT NULL DEFAULT '[]',
      dead INTEGER NOT NULL DEFAULT 0,
      cause TEXT
    );
    CREATE INDEX due ON messages (service, next_ms, seq) WHERE dead = 0;
    CREATE INDEX deadlines ON messages (deadline_ms) WHERE dead = 0;
    CREATE INDEX deaths ON messages (next_ms, seq) WHERE dead = 1;
    CREATE TABLE payloads (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB);
    CREATE TABLE once (scope TEXT PRIMARY KEY, request TEXT NOT NULL, id TEXT NOT NULL, until_ms INTEGER) WITHOUT ROWID;
    CREATE INDEX forgotten ON once (until_ms) WHERE until_ms IS NOT NULL;
  `,
};

/** A message without what is large. `next_ms` of a dead one: when it died. */
export interface MessageRow {
  readonly seq: number;
  readonly id: string;
  readonly route: string;
  readonly service: string;
  readonly first_ms: number;
  readonly deadline_ms: number;
  readonly next_ms: number;
  readonly window_ms: number;
  readonly backoff_ms: number;
  readonly backoff_max_ms: number;
  readonly bytes: number;
  readonly once: string | null;
  readonly request: string | null;
  readonly attempts: number;
  /** JSON. */
  readonly errors: string;
  readonly dead: number;
  readonly cause: string | null;
}

export interface PayloadRow {
  readonly head: Uint8Array;
  readonly body: Uint8Array | null;
}

export interface OnceRow {
  readonly request: string;
  readonly id: string;
}

/** A prepared statement and what its rows are. */
export interface Query<Row> {
  get(...values: SQLInputValue[]): Row | undefined;
  all(...values: SQLInputValue[]): Row[];
  iterate(...values: SQLInputValue[]): IterableIterator<Row>;
}

export type Statements = ReturnType<typeof statementsOf>;

/** Every statement of the queue, prepared. */
export function statementsOf(database: DatabaseSync) {
  // The columns are those of the tables above, which the file was checked to have.
  const query = <Row>(sql: string): Query<Row> => database.prepare(sql) as unknown as Query<Row>;
  return {
    insert: database.prepare(`
      INSERT INTO messages (id, route, service, first_ms, deadline_ms, next_ms, window_ms, backoff_ms, backoff_max_ms,
        bytes, once, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    insertPayload: database.prepare("INSERT INTO payloads VALUES (?, ?, ?)"),
    find: query<MessageRow>("SELECT * FROM messages WHERE id = ?"),
    payload: query<PayloadRow>("SELECT head, body FROM payloads WHERE seq = ?"),
    head: query<Pick<PayloadRow, "head">>("SELECT head FROM payloads WHERE seq = ?"),
    /** Of a service, the longest due first. */
    due: query<MessageRow>(
      "SELECT * FROM messages WHERE dead = 0 AND service = ? AND next_ms <= ? ORDER BY next_ms, seq LIMIT ?",
    ),
    expired: query<MessageRow>(
      "SELECT * FROM messages WHERE dead = 0 AND deadline_ms <= ? ORDER BY deadline_ms LIMIT ?",
    ),
    /** Empty text: any. */
    newest: query<MessageRow>(`
      SELECT * FROM messages WHERE seq < ?1 AND (?2 = '' OR route = ?2) AND (?3 = '' OR service = ?3)
        AND (?4 < 0 OR dead = ?4) ORDER BY seq DESC`),
    oldestDead: query<MessageRow>("SELECT * FROM messages WHERE dead = 1 ORDER BY next_ms, seq LIMIT 1"),
    oldestWaiting: query<Pick<MessageRow, "first_ms">>(
      "SELECT first_ms FROM messages WHERE dead = 0 ORDER BY seq LIMIT 1",
    ),
    retry: database.prepare("UPDATE messages SET next_ms = ?, errors = ?, attempts = attempts + 1 WHERE seq = ?"),
    bury: database.prepare(
      "UPDATE messages SET dead = 1, next_ms = ?, cause = ?, errors = ?, attempts = attempts + ? WHERE seq = ?",
    ),
    revive: database.prepare(
      "UPDATE messages SET dead = 0, next_ms = ?1, deadline_ms = ?1 + window_ms, cause = NULL, attempts = 0 WHERE seq = ?2",
    ),
    hurry: database.prepare("UPDATE messages SET next_ms = ? WHERE seq = ?"),
    remove: database.prepare("DELETE FROM messages WHERE seq = ?"),
    removePayload: database.prepare("DELETE FROM payloads WHERE seq = ?"),
    findOnce: query<OnceRow>("SELECT request, id FROM once WHERE scope = ?"),
    insertOnce: database.prepare("INSERT OR IGNORE INTO once VALUES (?, ?, ?, NULL)"),
    keepOnce: database.prepare("UPDATE once SET until_ms = ? WHERE scope = ? AND id = ?"),
    dropOnce: database.prepare("DELETE FROM once WHERE scope = ? AND id = ?"),
    forgetOnce: database.prepare(
      "DELETE FROM once WHERE scope IN (SELECT scope FROM once WHERE until_ms <= ? ORDER BY until_ms LIMIT ?)",
    ),
    /** Of the delivered ones all but the newest so many. */
    forgetOnceBeyond: database.prepare(
      "DELETE FROM once WHERE scope IN (SELECT scope FROM once WHERE until_ms IS NOT NULL ORDER BY until_ms DESC LIMIT 1000 OFFSET ?)",
    ),
  };
}
