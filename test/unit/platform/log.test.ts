import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Log, silentLog, withListener } from "../../../src/platform/log.ts";

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

describe("withListener", () => {
  test("tells of warnings and errors with the fields of every log they went through, and of nothing else", () => {
    const heard: unknown[] = [];
    const log = withListener(silentLog, (level, event, fields) => heard.push([level, event, fields]));
    log.with({ binding: "x" }).warn("a.happened", { n: 1 });
    log.error("b.happened");
    log.info("c.happened");
    log.debug("d.happened");
    expect(heard).toEqual([
      ["warn", "a.happened", { binding: "x", n: 1 }],
      ["error", "b.happened", {}],
    ]);
  });

  test("writes the line whatever the listener does, and does not tell it of what it writes itself", () => {
    const lines: string[] = [];
    const inner: Log = { ...silentLog, warn: (event) => void lines.push(event), with: () => inner };
    const log: Log = withListener(inner, (_level, event) => {
      log.warn(`${event} again`);
      throw new Error("broken listener");
    });
    log.warn("a.happened");
    expect(lines).toEqual(["a.happened", "a.happened again"]);
  });
});
