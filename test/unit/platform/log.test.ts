import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { describe, expect, test } from "vitest";

const full = "/dev/full";
if (!existsSync(full)) console.log(`not run, as there is no ${full}: a log on a disk that is full`);

describe("createLog", () => {
  test.skipIf(!existsSync(full))("stops nobody where it cannot be written", () => {
    const program = `
      import { createLog } from "./src/platform/log.ts";
      const log = createLog({ level: "info" });
      for (let i = 0; i < 3; i++) log.info("message.accepted", { i });
      process.stderr.write("went on");
    `;
    const out = openSync(full, "w");
    const { stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", out, "pipe"],
      encoding: "utf8",
    });
    closeSync(out);
    expect(stderr).toBe("went on");
  });
});
