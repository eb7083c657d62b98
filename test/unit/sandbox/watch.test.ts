import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ScriptChange, watchScripts } from "../../../sandbox/watch.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

let folder: ScriptFolder;
let changes: ScriptChange[];
let watch: { close(): Promise<void> };
beforeEach(async () => {
  folder = await createScriptFolder();
  await folder.write({ "a.ts": "1", "lib/x.ts": "1" });
  changes = [];
  watch = await watchScripts({ root: folder.root, onChange: (change) => changes.push(change) });
});
afterEach(async () => {
  await watch.close();
  await folder.remove();
});

const path = (name: string) => join(folder.root, name);

async function expectTold(expected: { changed?: readonly string[]; removed?: readonly string[] }): Promise<void> {
  await vi.waitFor(
    () => {
      const told = {
        changed: new Set(changes.flatMap(({ changed }) => changed)),
        removed: new Set(changes.flatMap(({ removed }) => removed)),
      };
      expect({ changed: [...told.changed].sort(), removed: [...told.removed].sort() }).toEqual({
        changed: (expected.changed ?? []).map(path).sort(),
        removed: (expected.removed ?? []).map(path).sort(),
      });
    },
    { timeout: 5_000, interval: 20 },
  );
}

describe("watchScripts", () => {
  it("tells of a saved file, a new one, and one in a folder", async () => {
    await folder.write({ "a.ts": "2", "b.js": "1", "lib/x.ts": "2", "lib/deep/y.json": "{}" });
    await expectTold({ changed: ["a.ts", "b.js", "lib/x.ts", "lib/deep/y.json"] });
  });

  it("tells of a file that was renamed into its place", async () => {
    await writeFile(path(".a.ts.tmp"), "2");
    await rename(path(".a.ts.tmp"), path("a.ts"));
    await expectTold({ changed: ["a.ts"] });
  });

  it("tells of a file that was deleted and written again as changed", async () => {
    await rm(path("a.ts"));
    await writeFile(path("a.ts"), "2");
    await expectTold({ changed: ["a.ts"] });
  });

  it("tells of a deleted file", async () => {
    await rm(path("a.ts"));
    await expectTold({ removed: ["a.ts"] });
  });

  it("tells once of many files saved at once", async () => {
    await folder.write(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`many-${i}.ts`, "1"])));
    await expectTold({ changed: Array.from({ length: 50 }, (_, i) => `many-${i}.ts`) });
    expect(changes.length).toBeLessThan(10);
  });

  it("tells of a file that became a link as removed, and follows neither it nor a linked folder", async () => {
    const outside = join(dirname(folder.root), "outside");
    await mkdir(outside);
    await writeFile(join(outside, "secret.ts"), "1");
    await rm(path("a.ts"));
    await symlink(join(outside, "secret.ts"), path("a.ts"));
    await symlink(outside, path("linked"));
    await expectTold({ removed: ["a.ts"] });
    changes.length = 0;
    await writeFile(join(outside, "secret.ts"), "2");
    await writeFile(path("end.ts"), "1");
    await expectTold({ changed: ["end.ts"] });
  });

  it("does not tell of what is no part of a script", async () => {
    await folder.write({
      ".hidden.ts": "1",
      "notes.txt": "1",
      "types.d.ts": "1",
      "a.test/x.ts": "1",
      "node_modules/p/x.js": "1",
      "end.ts": "1",
    });
    await expectTold({ changed: ["end.ts"] });
  });

  it("tells nothing after it was closed", async () => {
    await folder.write({ "a.ts": "2" });
    await watch.close();
    const told = changes.length;
    await folder.write({ "b.ts": "1" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(changes).toHaveLength(told);
  });

  it("rejects where there is no folder", async () => {
    await expect(watchScripts({ root: path("nowhere"), onChange: () => {} })).rejects.toThrow("ENOENT");
  });
});
