import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/platform/log.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { openSqliteSpool } from "../../src/spool/sqlite.ts";
import { type SpoolBackEnd, spoolContract } from "./spool.ts";
import { spoolChangesContract } from "./spool-changes.ts";

const memory: SpoolBackEnd = {
  name: "memory",
  open: async () => createMemorySpool(),
  reopen: undefined,
  cleanUp: async () => {},
};

let folder = "";
const sqlite: SpoolBackEnd = {
  name: "SQLite",
  async open() {
    folder = await mkdtemp(join(tmpdir(), "spool-"));
    return openSqliteSpool({ folder, log: silentLog });
  },
  reopen: () => openSqliteSpool({ folder, log: silentLog }),
  cleanUp: () => rm(folder, { recursive: true, force: true }),
};

for (const backEnd of [memory, sqlite]) {
  spoolContract(backEnd);
  spoolChangesContract(backEnd);
}
