/** Claims on pickup files where the system refuses something on the way. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { claimFile } from "../../../src/inbound/pickup-claim.ts";
import { syncFolder } from "../../../src/platform/durable-file.ts";

vi.mock(import("../../../src/platform/durable-file.ts"), async (original) => ({
  ...(await original()),
  syncFolder: vi.fn<typeof syncFolder>(),
}));

test("claimFile holds what it renamed, where the folder cannot be synced: nobody else would look for it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "claim-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "a.eml"), "To: a@example.test\n\nx\n");
  vi.mocked(syncFolder).mockRejectedValue(Object.assign(new Error("too many open files"), { code: "EMFILE" }));
  const claim = await claimFile(folder, "a.eml", "0123456789ABCDEF");
  expect(readdirSync(join(folder, ".claimed")).map((name) => join(folder, ".claimed", name))).toEqual([claim.path]);
});
