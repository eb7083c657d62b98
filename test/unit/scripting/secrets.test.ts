/** Secrets of scripts: who may read the files, and what is told where they cannot be read. */
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretFolder } from "../../../src/scripting/secrets.ts";

let folder: string;
let secrets: SecretFolder;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "onarrival-secrets-"));
  secrets = new SecretFolder(() => folder);
});
afterEach(() => rm(folder, { recursive: true }));

const put = async (name: string, text: string | Buffer, mode = 0o600) => {
  await writeFile(join(folder, name), text);
  await chmod(join(folder, name), mode);
};

describe("SecretFolder", () => {
  it.each([
    ["a text", "s3cret", "s3cret"],
    ["one line end less", "s3cret\n\n", "s3cret\n"],
    ["one line end of Windows less", "s3cret\r\n", "s3cret"],
    ["an empty file", "", ""],
    ["65,536 octets", "x".repeat(65_536), "x".repeat(65_536)],
  ])("reads %s", async (_why, text, value) => {
    await put("token", text);
    expect(await secrets.read("token")).toEqual({ ok: true, value });
  });

  it("reads a file that is written anew, and one behind a link", async () => {
    await put("token", "one");
    await utimes(join(folder, "token"), 1, 1);
    await symlink(join(folder, "token"), join(folder, "link"));
    expect([await secrets.read("token"), await secrets.read("link")]).toEqual([
      { ok: true, value: "one" },
      { ok: true, value: "one" },
    ]);
    await put("token", "two");
    expect(await secrets.read("token")).toEqual({ ok: true, value: "two" });
    await rm(join(folder, "token"));
    expect(await secrets.read("token")).toMatchObject({ ok: false, code: "unreadable" });
  });

  it.each([
    ["one its group can read", 0o640],
    ["one others can read", 0o604],
    ["one others can write", 0o602],
  ])("refuses %s, and does not say what is in it", async (_why, mode) => {
    await put("token", "s3cret", mode);
    const answer = await secrets.read("token");
    expect(answer).toMatchObject({ ok: false, code: "unreadable", message: expect.stringContaining("0600") });
    expect(JSON.stringify(answer)).not.toContain("s3cret");
  });

  it("refuses one of 65,537 octets, and a folder", async () => {
    await put("token", "x".repeat(65_537));
    await mkdir(join(folder, "sub"));
    expect(await secrets.read("token")).toMatchObject({ ok: false, code: "unreadable" });
    expect(await secrets.read("sub")).toMatchObject({ ok: false, code: "unreadable" });
  });

  it.each(["", ".", "..", "../token", "a/b", "a\0b", "x".repeat(65)])("reads nothing called %j", async (name) => {
    expect(await secrets.read(name)).toMatchObject({ ok: false, code: "invalid" });
  });

  it("reads one whose name has 64 characters", async () => {
    await put("x".repeat(64), "s");
    expect(await secrets.read("x".repeat(64))).toEqual({ ok: true, value: "s" });
  });
});
