/** The tables of the spool from version to version. */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLog } from "../../../src/platform/log.ts";
import type { Spool } from "../../../src/spool/spool.ts";
import { openSqliteSpool } from "../../../src/spool/sqlite.ts";
import { openDatabase } from "../../../src/spool/sqlite-schema.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

/** The tables as version 1 made them. */
const schema1 = `
CREATE TABLE message (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  received_at INTEGER NOT NULL,      -- ms since the Unix epoch
  size_octets INTEGER NOT NULL,
  reverse_local TEXT,                -- both NULL: the null reverse-path
  reverse_domain TEXT,
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
  state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'failed')),
  attempts INTEGER NOT NULL,
  next_attempt_at INTEGER NOT NULL,  -- ms since the Unix epoch
  last_outcome TEXT NOT NULL,
  PRIMARY KEY (message_key, place)
) STRICT, WITHOUT ROWID;
`;

let folder = "";
let path = "";
let spool: Spool | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "schema-"));
  path = join(folder, "spool.db");
});
afterEach(async () => {
  await spool?.close();
  spool = undefined;
  rmSync(folder, { recursive: true });
});

async function makeVersion1(): Promise<void> {
  await mkdir(join(folder, "bodies"));
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = WAL; ${schema1} PRAGMA user_version = 1;`);
  database.exec(
    `
    INSERT INTO message VALUES (7, '01OLDMESSAGE0000', 1767614400000, 36, 'ada', 'sender.example',
      '{"sessionId":"0123456789ABCDEF","listener":"mx","ip":"192.0.2.7","host":null,"helo":"client.example","user":null,"tls":null}',
      '{"score":3}', 6, NULL, CAST('Subject: old\r\nTo: b@example.test\r\n' AS BLOB), CAST('\r\n' AS BLOB), CAST('body\r\n' AS BLOB));
    INSERT INTO recipient VALUES (7, 0, 'a', 'example.test', 'delivered', 1, 5, '250 taken');
    INSERT INTO recipient VALUES (7, 1, 'b', 'example.test', 'queued', 3, 1767614460000, '451 later');
  `.replaceAll("\\r\\n", "\r\n"),
  );
  database.close();
}

function describeTables(database: DatabaseSync) {
  const columns = database
    .prepare(
      "SELECT m.name AS table_name, c.name, c.type, c.\"notnull\" AS required, c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.name",
    )
    .all();
  return { version: database.prepare("PRAGMA user_version").get()!.user_version, columns };
}

describe("openDatabase", () => {
  test("brings a database of version 1 up to what a new one is", async () => {
    const fresh = openDatabase(join(folder, "fresh.db"), () => "");
    await makeVersion1();
    const old = openDatabase(path, () => "");
    const wanted = describeTables(fresh);
    expect(wanted.version).toBe(3);
    expect(describeTables(old)).toEqual(wanted);
    fresh.close();
    old.close();
    const again = openDatabase(path, () => "");
    expect(describeTables(again)).toEqual(wanted);
    again.close();
  });

  test("a migration that fails leaves the database at the version it had", async () => {
    await makeVersion1();
    const before = new DatabaseSync(path);
    // The second step of the migration finds its column there; the first must not stand then.
    before.exec("ALTER TABLE recipient ADD COLUMN options TEXT");
    const tables = describeTables(before);
    before.close();
    expect(() => openDatabase(path, () => "")).toThrow(expect.objectContaining({ code: "data.unusable" }));
    const after = new DatabaseSync(path);
    expect(describeTables(after)).toEqual(tables);
    after.close();
  });
});

describe("openSqliteSpool", () => {
  test("goes on with the mail of a spool of version 1, and takes mail with options beside it", async () => {
    await makeVersion1();
    spool = await openSqliteSpool({ folder, log: silentLog });
    expect(await spool.list()).toMatchObject([
      {
        messageId: "01OLDMESSAGE0000",
        reversePath: "ada@sender.example",
        recipients: [
          { index: 0, state: "delivered" },
          { index: 1, state: "queued", attempts: 3, lastOutcome: "451 later" },
        ],
      },
    ]);
    const old = (await spool.load("01OLDMESSAGE0000"))!;
    expect(old.envelope).toStrictEqual({
      reversePath: { localPart: "ada", domain: "sender.example" },
      recipients: ["a", "b"].map((localPart) => ({ mailbox: { localPart, domain: "example.test" } })),
    });
    expect((await readMessage(old)).toString()).toBe("Subject: old\r\nTo: b@example.test\r\n\r\nbody\r\n");
    const message = createSampleMessage({ options: { ret: "HDRS" }, toOptions: [{ notify: ["never"] }] });
    await spool.accept([message], 0);
    expect((await spool.load(message.id))!.envelope).toEqual(message.envelope);
  });

  test("takes what version 2 held by its words for held, and all of it for resolved", async () => {
    await makeVersion1();
    const database = new DatabaseSync(path);
    database.exec(`
      ALTER TABLE message ADD COLUMN options TEXT; ALTER TABLE recipient ADD COLUMN options TEXT;
      UPDATE recipient SET last_outcome = 'held: no smarthost is configured', attempts = 0 WHERE place = 1;
      PRAGMA user_version = 2;`);
    database.close();
    spool = await openSqliteSpool({ folder, log: silentLog });
    const [entry] = await spool.list();
    expect(entry).toMatchObject({ categorized: true, recipients: [{ state: "delivered" }, { heldBy: "route" }] });
    expect(entry!.recipients[0]).not.toHaveProperty("heldBy");
  });

  test("writes no options where nothing was asked", async () => {
    spool = await openSqliteSpool({ folder, log: silentLog });
    await spool.accept([createSampleMessage(), createSampleMessage({ options: {}, toOptions: [{}] })], 0);
    await spool.close();
    spool = undefined;
    const database = new DatabaseSync(path);
    for (const table of ["message", "recipient"])
      expect(database.prepare(`SELECT options FROM ${table}`).all()).toEqual([{ options: null }, { options: null }]);
    database.close();
  });
});
