/** Files that are whole or absent. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeDurably } from "../../../src/platform/durable-file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-file-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("writeDurably", () => {
  test("writes over what a server with the same process id left half written", async () => {
    const path = join(folder, "file");
    writeFileSync(`${path}.${process.pid}.tmp`, "half of something longer");
    await writeDurably(path, [Buffer.from("whole"), Buffer.from("!")]);
    expect(readFileSync(path, "utf8")).toBe("whole!");
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("leaves what was there, and nothing beside it, where it fails", async () => {
    const path = join(folder, "file");
    writeFileSync(path, "before");
    const failing = (function* () {
      yield Buffer.from("half");
      throw new Error("no more");
    })();
    await expect(writeDurably(path, failing)).rejects.toThrow("no more");
    expect(readFileSync(path, "utf8")).toBe("before");
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});
