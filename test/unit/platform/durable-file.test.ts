/** Files that are whole or absent. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeAllFully, writeDurably } from "../../../src/platform/durable-file.ts";

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

describe("writeAllFully", () => {
  test.each([
    ["all at once", 100],
    ["in the middle of a piece", 4],
    ["at the end of a piece", 3],
    ["nothing", 0],
  ])("loses nothing where the system takes %s", async (_why, takenMax) => {
    const written: number[] = [];
    const take = (octets: Uint8Array) => {
      written.push(...octets);
      return octets.length;
    };
    // The two functions of a file handle that are used.
    const file = {
      writev: async (chunks: readonly Uint8Array[]) => ({
        bytesWritten: take(Buffer.concat(chunks).subarray(0, takenMax)),
      }),
      write: async (chunk: Uint8Array, offset: number, length: number) => ({
        bytesWritten: take(chunk.subarray(offset, offset + Math.min(length, 2))),
      }),
    } as unknown as FileHandle;
    await writeAllFully(file, [Buffer.from("abc"), Buffer.from("d"), Buffer.from("efgh")]);
    expect(Buffer.from(written).toString()).toBe("abcdefgh");
  });
});
