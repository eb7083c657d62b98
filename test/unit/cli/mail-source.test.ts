/** Messages from files, folders, Maildirs, mboxes and standard input. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { listMail, withCrlf } from "../../../src/cli/mail-source.ts";

const cwd = mkdtempSync(join(tmpdir(), "mail-"));
afterAll(() => rmSync(cwd, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(join(cwd, path, ".."), { recursive: true });
  writeFileSync(join(cwd, path), text, "latin1");
}

async function list(...paths: string[]): Promise<[name: string, text: string][]> {
  const sources = await listMail(paths, { cwd, stdin: async () => Buffer.from("Subject: typed\n\nx\n") });
  return await Promise.all(
    sources.map(async (source): Promise<[string, string]> => [source.name, (await source.read()).toString("latin1")]),
  );
}

write("one.eml", "Subject: one\n\nbody\n");
write("crlf.eml", "Subject: crlf\r\n\r\nbody\r\n");
write("folder/b.eml", "Subject: b\n\n");
write("folder/a.EML", "Subject: a\n\n");
write("folder/inner/c.eml", "Subject: c\n\n");
write("folder/.hidden/d.eml", "Subject: d\n\n");
write("folder/readme.txt", "no mail");
write("box/cur/1.host:2,S", "Subject: read\n\n");
write("box/new/2.host", "Subject: unread\n\n");
write("box/tmp/3.host", "Subject: half");
write(
  "two.mbox",
  "From a@example.com Mon Nov  2 09:30:00 2026\nSubject: first\n\nFrom here on\n>From quoted\n>>From twice\n\nFrom b@example.com Mon Nov  2 09:31:00 2026\nSubject: second\n\nx\n",
);
write("single.mbox", "From a@example.com Mon Nov  2 09:30:00 2026\nSubject: only\n\nx\n");
write("unix.eml", "From a@example.com Mon Nov  2 09:30:00 2026\nSubject: with a From line\n\nx\n");
write("empty.mbox", "");
write(
  "crlf.mbox",
  "From a Mon Nov  2 09:30:00 2026\r\nSubject: first\r\n\r\nx\r\n\r\nFrom b Mon Nov  2 09:30:00 2026\r\nSubject: second\r\n\r\ny\r\n",
);

describe("listMail", () => {
  test("takes an mbox from standard input apart, and leaves one message with a From line as it is", async () => {
    const from = (text: string) => listMail(["-"], { cwd, stdin: async () => Buffer.from(text) });
    const two = await from(
      "From a Mon Nov  2 09:30:00 2026\nSubject: one\n\n>From x\n\nFrom here on\n\nFrom b Mon Nov  2 09:31:00 2026\nSubject: two\n\ny\n",
    );
    expect(two.map(({ name }) => name)).toEqual(["-#1", "-#2"]);
    expect((await two[0]!.read()).toString()).toBe("Subject: one\r\n\r\nFrom x\r\n\r\nFrom here on\r\n");
    expect((await two[1]!.read()).toString()).toBe("Subject: two\r\n\r\ny\r\n");
    const single = await from("From a Mon Nov  2 09:30:00 2026\nSubject: one\n\nx\n");
    expect(single.map(({ name }) => name)).toEqual(["-"]);
  });

  test.each<[why: string, paths: string[], found: [string, string][]]>([
    ["a file", ["one.eml"], [["one.eml", "Subject: one\r\n\r\nbody\r\n"]]],
    ["a file with CRLF, untouched", ["crlf.eml"], [["crlf.eml", "Subject: crlf\r\n\r\nbody\r\n"]]],
    ["standard input", ["-"], [["-", "Subject: typed\r\n\r\nx\r\n"]]],
    [
      "a folder, in order, what is hidden or no mail left out",
      ["folder"],
      [
        ["folder/a.EML", "Subject: a\r\n\r\n"],
        ["folder/b.eml", "Subject: b\r\n\r\n"],
        ["folder/inner/c.eml", "Subject: c\r\n\r\n"],
      ],
    ],
    [
      "a Maildir, what is not finished left out",
      ["box"],
      [
        ["box/cur/1.host:2,S", "Subject: read\r\n\r\n"],
        ["box/new/2.host", "Subject: unread\r\n\r\n"],
      ],
    ],
    [
      "an mbox, quoted lines as they were",
      ["two.mbox"],
      [
        ["two.mbox#1", "Subject: first\r\n\r\nFrom here on\r\nFrom quoted\r\n>From twice\r\n"],
        ["two.mbox#2", "Subject: second\r\n\r\nx\r\n"],
      ],
    ],
    ["an mbox of one message", ["single.mbox"], [["single.mbox#1", "Subject: only\r\n\r\nx\r\n"]]],
    [
      "an mbox with CRLF",
      ["crlf.mbox"],
      [
        ["crlf.mbox#1", "Subject: first\r\n\r\nx\r\n"],
        ["crlf.mbox#2", "Subject: second\r\n\r\ny\r\n"],
      ],
    ],
    [
      "a message with a From line, which is no mbox",
      ["unix.eml"],
      [["unix.eml", "From a@example.com Mon Nov  2 09:30:00 2026\r\nSubject: with a From line\r\n\r\nx\r\n"]],
    ],
    ["an empty mbox", ["empty.mbox"], []],
    [
      "several, in the order given",
      ["crlf.eml", "one.eml"],
      [
        ["crlf.eml", "Subject: crlf\r\n\r\nbody\r\n"],
        ["one.eml", "Subject: one\r\n\r\nbody\r\n"],
      ],
    ],
  ])("finds %s", async (_why, paths, found) => {
    expect(await list(...paths)).toEqual(found);
  });

  test("finds a From line that lies across the pieces a large mbox is read in", async () => {
    // Pieces are 1 MiB; every message begins at another offset to that.
    const first = `From a Mon Nov  2 09:30:00 2026\nSubject: big\n\n${"x".repeat(1024 * 1024 - 90)}\n`;
    for (let shift = 0; shift < 60; shift++) {
      write("large.mbox", `${first}${"y".repeat(shift)}\n\nFrom b Mon Nov  2 09:30:00 2026\nSubject: next\n\nz\n`);
      const found = await list("large.mbox");
      expect(found.map(([name]) => name)).toEqual(["large.mbox#1", "large.mbox#2"]);
      expect(found[1]![1]).toBe("Subject: next\r\n\r\nz\r\n");
    }
  });

  test("says what is not there", async () => {
    await expect(list("missing.eml")).rejects.toThrow("Cannot read missing.eml: there is no such file or folder");
  });
});

test.each([
  ["line feeds", "a\nb\n", "a\r\nb\r\n"],
  ["carriage returns", "a\rb\r", "a\r\nb\r\n"],
  ["a mixture", "a\r\nb\nc\r\r\nd", "a\r\nb\r\nc\r\n\r\nd"],
  ["a line feed at the very start", "\na", "\r\na"],
  ["what is right already", "a\r\nb", "a\r\nb"],
  ["octets that are no ASCII", "\xe9\n\xff", "\xe9\r\n\xff"],
])("withCrlf turns %s into CRLF", (_why, before, after) => {
  expect(withCrlf(Buffer.from(before, "latin1")).toString("latin1")).toBe(after);
});
