/**
 * What greylisting remembers: triplets, and clients that are known to come again. One SQLite file; a power cut may cost the last moments of it and
 * nothing else, for which some client waits once more. Several sinks may share the file.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

export interface Seen {
  /** Milliseconds since the Unix epoch, as all times here. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly passed: boolean;
}

export interface SeenClient {
  /** Triplets of it that passed. */
  readonly passes: number;
  readonly lastAt: number;
}

const schema = `
  CREATE TABLE IF NOT EXISTS triplet (key TEXT PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, passed INTEGER NOT NULL)
    WITHOUT ROWID, STRICT;
  CREATE INDEX IF NOT EXISTS triplet_last ON triplet (passed, last_at);
  CREATE TABLE IF NOT EXISTS client (network TEXT PRIMARY KEY, passes INTEGER NOT NULL, last_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
  CREATE INDEX IF NOT EXISTS client_last ON client (last_at);
`;

export class GreylistStore {
  readonly #database: DatabaseSync;
  readonly #entriesMax: number;
  readonly #statements: Readonly<
    Record<
      "triplet" | "client" | "first" | "pass" | "credit" | "touch" | "count" | "shorten" | "shortenClients",
      StatementSync
    >
  >;
  #entries: number;

  /** @throws what SQLite says where the file cannot be opened */
  constructor(path: string, { entriesMax }: { readonly entriesMax: number }) {
    this.#entriesMax = entriesMax;
    this.#database = new DatabaseSync(path, { timeout: 1_000 });
    try {
      // RFC 6647 asks for no more than a good memory: what the last moments wrote need not be on disk.
      this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
      this.#database.exec(schema);
      const prepare = (sql: string) => this.#database.prepare(sql);
      this.#statements = {
        triplet: prepare("SELECT first_at AS firstAt, last_at AS lastAt, passed FROM triplet WHERE key = ?"),
        client: prepare("SELECT passes, last_at AS lastAt FROM client WHERE network = ?"),
        first: prepare(
          "INSERT INTO triplet VALUES (?1, ?2, ?2, 0) ON CONFLICT (key) DO UPDATE SET first_at = ?2, last_at = ?2, passed = 0",
        ),
        pass: prepare("UPDATE triplet SET last_at = ?, passed = 1 WHERE key = ?"),
        credit: prepare(
          "INSERT INTO client VALUES (?1, 1, ?2) ON CONFLICT (network) DO UPDATE SET passes = passes + 1, last_at = ?2",
        ),
        touch: prepare("UPDATE client SET last_at = ? WHERE network = ?"),
        count: prepare("SELECT count(*) AS entries FROM triplet"),
        // Those that wait go before those that passed, in the order of the index.
        shorten: prepare("DELETE FROM triplet WHERE key IN (SELECT key FROM triplet ORDER BY passed, last_at LIMIT ?)"),
        shortenClients: prepare(
          "DELETE FROM client WHERE network IN (SELECT network FROM client ORDER BY last_at DESC LIMIT -1 OFFSET ?)",
        ),
      };
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.#entries = this.#count();
  }

  triplet(key: string): Seen | null {
    const row = this.#statements.triplet.get(key) as
      | { readonly firstAt: number; readonly lastAt: number; readonly passed: number }
      | undefined;
    return row ? { firstAt: row.firstAt, lastAt: row.lastAt, passed: row.passed === 1 } : null;
  }

  client(network: string): SeenClient | null {
    return (this.#statements.client.get(network) as SeenClient | undefined) ?? null;
  }

  /** A triplet's first attempt, or one that counts as the first again. */
  first(key: string, now: number): void {
    if (this.#entries >= this.#entriesMax) this.#shorten();
    this.#statements.first.run(key, now);
    // One that was there already is counted twice until the next count, which is soon enough.
    this.#entries++;
  }

  /** A triplet passed; for the first time where `creditTo` names the client's network. */
  pass(key: string, now: number, creditTo: string | null): void {
    this.#statements.pass.run(now, key);
    if (creditTo !== null) this.#statements.credit.run(creditTo, now);
  }

  /** A client is here again. */
  touchClient(network: string, now: number): void {
    this.#statements.touch.run(now, network);
  }

  /** Forgets what nobody came back for, and who has not been here for long. */
  purge(times: { readonly waitingBefore: number; readonly passedBefore: number }): void {
    this.#database.prepare("DELETE FROM triplet WHERE passed = 0 AND last_at < ?").run(times.waitingBefore);
    this.#database.prepare("DELETE FROM triplet WHERE passed = 1 AND last_at < ?").run(times.passedBefore);
    this.#database.prepare("DELETE FROM client WHERE last_at < ?").run(times.passedBefore);
    this.#statements.shortenClients.run(this.#entriesMax);
    this.#entries = this.#count();
  }

  close(): void {
    this.#database.close();
  }

  /** Makes room for some more at once, so that the cost is not each newcomer's. */
  #shorten(): void {
    this.#entries = this.#count();
    const tooMany = this.#entries - this.#entriesMax + Math.max(1, Math.floor(this.#entriesMax / 100));
    if (tooMany > 0) this.#statements.shorten.run(tooMany);
    this.#entries = this.#count();
  }

  #count(): number {
    return (this.#statements.count.get() as { readonly entries: number }).entries;
  }
}
