/** The spool's database: how it is opened, what is in it, which version of that this program knows. */
import { closeSync, fsyncSync, ftruncateSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describeThrown, Fault } from "../platform/fault.ts";

/** Counts up with every change of the tables; a database of a later version is refused, never guessed at. */
const schemaVersion = 3;

/** Answers listings by itself, so that no page of bodies is read for them. */
const listingIndex =
  "CREATE INDEX message_listing ON message (received_at, id, size_octets, reverse_domain, reverse_local);";

const schema = `
CREATE TABLE message (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  received_at INTEGER NOT NULL,      -- ms since the Unix epoch
  size_octets INTEGER NOT NULL,
  reverse_local TEXT,                -- both NULL: the null reverse-path
  reverse_domain TEXT,
  options TEXT,                      -- JSON; NULL: the client asked for nothing
  origin TEXT NOT NULL,              -- JSON
  notes TEXT NOT NULL,               -- JSON
  body_octets INTEGER NOT NULL,
  body_file TEXT,                    -- NULL: the body is in this row
  header BLOB,                       -- NULL: no octets
  separator BLOB,
  body BLOB
) STRICT;
CREATE INDEX message_body_file ON message (body_file) WHERE body_file IS NOT NULL;
CREATE TABLE recipient (
  message_key INTEGER NOT NULL REFERENCES message (key) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  local_part TEXT NOT NULL,
  domain TEXT NOT NULL,
  options TEXT,                      -- JSON; NULL: the client asked for nothing
  state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'failed')),
  attempts INTEGER NOT NULL,
  next_attempt_at INTEGER NOT NULL,  -- ms since the Unix epoch
  last_outcome TEXT NOT NULL,
  held_by TEXT,                      -- 'operator', 'route'; NULL: nobody
  delay_told INTEGER NOT NULL DEFAULT 0,
  categorized INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (message_key, place)
) STRICT, WITHOUT ROWID;
${listingIndex}
`;

/** What makes a database of the version before it one of this version; its rows stay. */
const migrations: Readonly<Record<number, string>> = {
  2: "ALTER TABLE message ADD COLUMN options TEXT; ALTER TABLE recipient ADD COLUMN options TEXT;",
  // What was there before was tried under the rules of its time: it is not resolved anew. What a route held was known by its words.
  3: `
    ALTER TABLE recipient ADD COLUMN held_by TEXT;
    ALTER TABLE recipient ADD COLUMN delay_told INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE recipient ADD COLUMN categorized INTEGER NOT NULL DEFAULT 1;
    UPDATE recipient SET held_by = 'route' WHERE state = 'queued' AND substr(last_outcome, 1, 6) = 'held: ';
    ${listingIndex}
  `,
};

/** SQLite's primary result codes that we tell apart. https://www.sqlite.org/rescode.html */
const busy = 5;
const locked = 6;
const ioError = 10;
const full = 13;

/**
 * Opens the database for this process alone; makes its tables where there are none, and brings those of an earlier version up to this one.
 * @throws {Fault} `data.unusable` where it is in use, damaged, or of a later version; `spool.full`, `spool.failed`
 */
export function openDatabase(path: string, describeHolder: () => string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true });
    // Exclusive before WAL: the lock is the kernel's, gone with the process, and no shared memory file is needed.
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;",
    );
    database.exec("BEGIN IMMEDIATE");
    const version = readVersion(database);
    if (version > schemaVersion) {
      throw new Fault(
        "data.unusable",
        `Cannot open the spool ${path}: its version is ${version}, expected ${schemaVersion} at most; a later release wrote it`,
      );
    }
    if (version === 0) database.exec(schema);
    else for (let next = version + 1; next <= schemaVersion; next++) database.exec(migrations[next]!);
    if (version < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`);
    // All of it or nothing: a server killed on the way finds the version it had.
    database.exec("COMMIT");
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Fault) throw error;
    const code = resultCode(error);
    if (code === busy || code === locked) {
      throw new Fault(
        "data.unusable",
        `Cannot open the spool ${path}: ${describeHolder()}, expected nobody to use it`,
        { cause: error },
      );
    }
    if (code === full) throw databaseFault("open the spool", error);
    throw new Fault("data.unusable", `Cannot open the spool ${path}: ${describeThrown(error)}`, { cause: error });
  }
}

/** What SQLite threw, as a fault. */
export function databaseFault(work: string, error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault(
    resultCode(error) === full ? "spool.full" : "spool.failed",
    `Cannot ${work}: ${describeThrown(error)}`,
    { cause: error },
  );
}

/** Whether the disk failed us: nothing this process read or wrote through the database can be trusted from then on. */
export function isIoError(error: unknown): boolean {
  return resultCode(error) === ioError;
}

/** The log's header, and what stands before each page in it, in octets. https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const walHeaderOctets = 32;
const walFrameOctets = 24;

/**
 * Ends the use of a database whose disk failed, without a trace of the commit that failed: its pages may stand in the log, commit mark and all, and the
 * next start would take them for committed though their sender was told they were not (RELIABILITY P1). What was committed before stays. Never throws.
 */
export function abandonDatabase(database: DatabaseSync, path: string): void {
  for (const step of [
    () => database.isTransaction && database.exec("ROLLBACK"),
    () => cutLog(database, path),
    // Folds the log in and removes it, if the disk lets it.
    () => database.close(),
  ]) {
    try {
      step();
    } catch {}
  }
}

/** Cuts the log behind its last page that is committed. The log is no file with locks on it, so another descriptor does no harm. */
function cutLog(database: DatabaseSync, path: string): void {
  const committed = Number(database.prepare("PRAGMA wal_checkpoint(NOOP)").get()!.log);
  const pageOctets = Number(database.prepare("PRAGMA page_size").get()!.page_size);
  const log = openSync(`${path}-wal`, "r+");
  try {
    ftruncateSync(log, committed <= 0 ? 0 : walHeaderOctets + committed * (walFrameOctets + pageOctets));
    fsyncSync(log);
  } finally {
    closeSync(log);
  }
}

function readVersion(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()!.user_version);
}

/** The primary result code, or -1 where it is no error of SQLite. */
function resultCode(error: unknown): number {
  const code = error instanceof Error ? (error as Error & { errcode?: unknown }).errcode : undefined;
  return typeof code === "number" ? code & 0xff : -1;
}
