import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/platform/log.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { openSqliteSpool } from "../../src/spool/sqlite.ts";
import { spoolContract } from "./spool.ts";

spoolContract({ name: "memory", open: async () => createMemorySpool(), reopen: undefined, cleanUp: async () => {} });

let folder = "";
spoolContract({
  name: "SQLite",
  async open() {
    folder = await mkdtemp(join(tmpdir(), "spool-"));
    return openSqliteSpool({ folder, log: silentLog });
  },
  reopen: () => openSqliteSpool({ folder, log: silentLog }),
  cleanUp: () => rm(folder, { recursive: true, force: true }),
});
