/**
 * The tables of the scripts' store, and what can be done with them. Runs on the store's own thread (kv-worker.ts); each function is one step that
 * nothing comes in between.
 */
import { DatabaseSync } from "node:sqlite";
import { Fault } from "../platform/fault.ts";

/** Counts up with every change of the tables; a store of a later version is refused, never guessed at. */
const schemaVersion = 1;
/** What an entry costs beside its key and value: an estimate, in octets. */
const entryOctets = 64;
/** Entries out of time that one purge takes away. */
const purgedMax = 1_000;

const schema = `
CREATE TABLE entry (
  script TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,      -- JSON
  expires_at INTEGER,       -- ms since the Unix epoch; NULL: never
  PRIMARY KEY (script, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
`;

export type KvOperation = { readonly script: string } & (
  | { readonly kind: "get" | "delete"; readonly key: string }
  | {
      readonly kind: "set";
      readonly key: string;
      /** JSON. */
      readonly value: string;
      readonly ttlMs: number | null;
      readonly ifAbsent: boolean;
      readonly octetsMax: number;
    }
  | {
      readonly kind: "increment";
      readonly key: string;
      readonly by: number;
      readonly ttlMs: number | null;
      readonly octetsMax: number;
    }
  | { readonly kind: "list"; readonly prefix: string; readonly after: string; readonly limit: number }
  | { readonly kind: "clear" }
  | { readonly kind: "usage" }
);

/** Of `get` the JSON, or null; of `set`, `delete` whether; of `increment` the sum; of `list` the keys; of `clear`, `usage` the entries. */
export type KvResult = string | number | boolean | null | readonly string[] | KvUsage;

export interface KvUsage {
  readonly entries: number;
  readonly sizeOctets: number;
}

export interface KvTables {
  /** @throws {Fault} `kv.full`, `script.action-invalid`; then nothing of it was done. Anything else thrown is SQLite's. */
  apply(operation: KvOperation, nowMs: number): KvResult;
  /** Takes away what is out of time, a part of it where it is much. */
  purge(nowMs: number): void;
}

/**
 * Opens the store for this process alone. Its log is synced when it is folded in and not at each commit (synchronous = NORMAL): a killed server loses
 * nothing, a power cut at most the last moments, and in no case does the store come apart. That is enough for counters and caches.
 */
export function openKvDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;",
    );
    database.exec("BEGIN IMMEDIATE");
    const version = Number(database.prepare("PRAGMA user_version").get()!.user_version);
    if (version > schemaVersion)
      throw new Fault(
        "kv.failed",
        `its version is ${version}, expected ${schemaVersion} at most; a later release wrote it`,
      );
    if (version === 0) database.exec(`${schema} PRAGMA user_version = ${schemaVersion}`);
    database.exec("COMMIT");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

interface Row {
  readonly value: string;
  readonly expiresAt: number | null;
}

export function createKvTables(database: DatabaseSync): KvTables {
  const find = database.prepare("SELECT value, expires_at AS expiresAt FROM entry WHERE script = ? AND key = ?");
  const put = database.prepare(
    "INSERT INTO entry (script, key, value, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
  );
  const remove = database.prepare("DELETE FROM entry WHERE script = ? AND key = ?");
  const removeAll = database.prepare("DELETE FROM entry WHERE script = ?");
  const keysFrom = database.prepare(
    "SELECT key FROM entry WHERE script = ? AND key >= ? AND key > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key",
  );
  const sumOf = database.prepare(
    `SELECT count(*) AS entries, coalesce(sum(octet_length(key) + octet_length(value) + ${entryOctets}), 0) AS sizeOctets FROM entry WHERE script = ?`,
  );
  const outOfTime = database.prepare(
    `DELETE FROM entry WHERE (script, key) IN (SELECT script, key FROM entry WHERE expires_at <= ? LIMIT ${purgedMax})`,
  );
  const outOfTimeOf = database.prepare("DELETE FROM entry WHERE script = ? AND expires_at <= ?");
  /** Octets of each script that was written since they were forgotten. */
  const sizes = new Map<string, number>();

  const usage = (script: string): KvUsage => {
    // Our own query: its columns are these.
    const { entries, sizeOctets } = sumOf.get(script) as unknown as KvUsage;
    return { entries, sizeOctets };
  };
  const sizeOf = (script: string): number => {
    const known = sizes.get(script);
    if (known !== undefined) return known;
    const { sizeOctets } = usage(script);
    sizes.set(script, sizeOctets);
    return sizeOctets;
  };
  const rowOf = (script: string, key: string) => find.get(script, key) as unknown as Row | undefined;
  const isPresent = (row: Row | undefined, nowMs: number): row is Row =>
    row !== undefined && (row.expiresAt === null || row.expiresAt > nowMs);

  function write(
    { script, key, octetsMax }: { readonly script: string; readonly key: string; readonly octetsMax: number },
    { value, expiresAt }: Row,
    nowMs: number,
  ): void {
    const change = () => {
      const before = rowOf(script, key);
      return octetsOf(key, value) - (before ? octetsOf(key, before.value) : 0);
    };
    if (sizeOf(script) + change() > octetsMax) {
      outOfTimeOf.run(script, nowMs);
      sizes.delete(script);
    }
    const size = sizeOf(script) + change();
    // What makes the store smaller is always taken: the quota may have been lowered.
    if (size > octetsMax && size > sizeOf(script)) {
      throw new Fault(
        "kv.full",
        `The store of ${script} has ${sizeOf(script)} octets, and one entry more would be over its ${octetsMax}: delete keys, or set a ttl`,
      );
    }
    put.run(script, key, value, expiresAt);
    sizes.set(script, size);
  }

  return {
    apply(operation, nowMs) {
      const { script } = operation;
      switch (operation.kind) {
        case "get": {
          const row = rowOf(script, operation.key);
          return isPresent(row, nowMs) ? row.value : null;
        }
        case "set": {
          if (operation.ifAbsent && isPresent(rowOf(script, operation.key), nowMs)) return false;
          write(operation, { value: operation.value, expiresAt: endOf(operation.ttlMs, nowMs) }, nowMs);
          return true;
        }
        case "increment": {
          const row = rowOf(script, operation.key);
          const present = isPresent(row, nowMs) ? row : undefined;
          const sum = add(operation.key, present, operation.by);
          const expiresAt = present ? present.expiresAt : endOf(operation.ttlMs, nowMs);
          write(operation, { value: JSON.stringify(sum), expiresAt }, nowMs);
          return sum;
        }
        case "delete": {
          const row = rowOf(script, operation.key);
          if (!row) return false;
          remove.run(script, operation.key);
          sizes.set(script, sizeOf(script) - octetsOf(operation.key, row.value));
          return isPresent(row, nowMs);
        }
        case "list": {
          const keys: string[] = [];
          for (const row of keysFrom.iterate(script, operation.prefix, operation.after, nowMs)) {
            const key = String(row.key);
            if (keys.length >= operation.limit || !key.startsWith(operation.prefix)) break;
            keys.push(key);
          }
          return keys;
        }
        case "clear": {
          const { entries } = usage(script);
          removeAll.run(script);
          sizes.delete(script);
          return entries;
        }
        case "usage":
          return usage(script);
      }
    },
    purge(nowMs) {
      if (Number(outOfTime.run(nowMs).changes) > 0) sizes.clear();
    },
  };
}

function endOf(ttlMs: number | null, nowMs: number): number | null {
  return ttlMs === null ? null : Math.round(nowMs + ttlMs);
}

function octetsOf(key: string, value: string): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value) + entryOctets;
}

function add(key: string, row: Row | undefined, by: number): number {
  const before: unknown = row ? JSON.parse(row.value) : 0;
  if (typeof before !== "number")
    throw new Fault("script.action-invalid", `Cannot increment ${JSON.stringify(key)}: it holds no number`);
  const sum = before + by;
  if (!Number.isFinite(sum))
    throw new Fault("script.action-invalid", `Cannot increment ${JSON.stringify(key)}: the sum is no finite number`);
  return sum;
}
