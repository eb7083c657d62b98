/** Files the configuration names. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Config } from "../../src/config/schema.ts";
import { readSmarthost } from "../../src/main-files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-files-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const configured = (smarthost: object): Config =>
  // Only the smarthost is looked at.
  ({ delivery: { smarthost: { host: "relay.example.org", port: 25, tls: "required", ...smarthost } } }) as Config;

describe("readSmarthost", () => {
  test("takes the first line of the file for the password, whatever its line end", async () => {
    const passwordFile = join(folder, "password");
    for (const text of ["secret", "secret\n", "secret\r\nmore\n"]) {
      writeFileSync(passwordFile, text);
      expect(await readSmarthost(configured({ user: "ann", passwordFile }))).toMatchObject({ password: "secret" });
    }
  });

  test("says so where there is no password in it, and where there is no file", async () => {
    const passwordFile = join(folder, "password");
    const read = () => readSmarthost(configured({ user: "ann", passwordFile }));
    await expect(read()).rejects.toMatchObject({ code: "config.unreadable" });
    writeFileSync(passwordFile, "\nsecret\n");
    await expect(read()).rejects.toThrow(/its first line is empty/);
  });
});
