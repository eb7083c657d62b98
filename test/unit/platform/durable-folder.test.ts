import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeFolderDurably } from "../../../src/platform/durable-folder.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "onarrival-folder-"));
});
afterEach(() => rmSync(root, { recursive: true }));

describe("makeFolderDurably", () => {
  test("makes what is missing above it, with its mode, and is content where it is there", async () => {
    await makeFolderDurably(join(root, "a", "b", "c"));
    await makeFolderDurably(join(root, "a", "b", "c"));
    expect(statSync(join(root, "a", "b", "c")).mode & 0o777).toBe(0o700);
  });

  test("makes neighbours at the same time, though each finds the folders above them missing", async () => {
    const names = Array.from({ length: 20 }, (_, place) => `n${place}`);
    await Promise.all(names.map((name) => makeFolderDurably(join(root, "a", "b", "c", name, "d"))));
    for (const name of names) expect(statSync(join(root, "a", "b", "c", name, "d")).isDirectory()).toBe(true);
  });

  test("lets who needs a folder wait for who makes it: it is there before it is durable", async () => {
    const path = join(root, "a", "b");
    const made = makeFolderDurably(path);
    expect(makeFolderDurably(path)).toBe(made);
    await made;
    expect(makeFolderDurably(path)).not.toBe(made);
    await makeFolderDurably(path);
  });

  test("throws where a file has the name, or one above it", async () => {
    writeFileSync(join(root, "file"), "");
    await expect(makeFolderDurably(join(root, "file"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(makeFolderDurably(join(root, "file", "a"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  test.runIf(process.platform === "linux")(
    "throws, and ends, where the folder above is there and takes none",
    async () => {
      await expect(makeFolderDurably("/proc/onarrival")).rejects.toMatchObject({ code: "ENOENT" });
    },
  );
});
