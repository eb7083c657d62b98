import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { offeredKeywords } from "../../src/smtp/extensions.ts";
import { extensions, renderRfcPage, rfcPage, sectionsOf } from "./rfc-table.ts";

test("docs/rfc.md is what the transcripts say; else run `node test/transcripts/rfc-table.ts --write`", () => {
  expect(readFileSync(rfcPage, "utf8")).toBe(renderRfcPage());
});

test("every transcript names a section of an RFC in its first line", () => {
  const files = globSync("**/*.smtp", { cwd: import.meta.dirname });
  const silent = files.filter(
    (file) => sectionsOf(readFileSync(join(import.meta.dirname, file), "utf8").split("\n", 1)[0]!).length === 0,
  );
  expect(silent).toEqual([]);
});

test("the page has every keyword that EHLO can be answered with", () => {
  const yes = () => true;
  const settings = {
    hostname: "mx.example.test",
    protocol: "smtp",
    sizeOctetsMax: 1,
    recipientsMax: 1,
    startTls: true,
    binaryMime: true,
    xclient: true,
    xforward: true,
    mechanisms: () => ["PLAIN"],
    errorsMax: 1,
    idleCommandsMax: 1,
    watchesCommands: yes,
    watchesReplies: yes,
  } as const;
  const offered = [true, false].flatMap((secure) => offeredKeywords(settings, { secure, authenticated: false }));
  const keywords = new Set(offered.map((line) => line.split(" ", 1)[0]!));
  expect(new Set(extensions.map(([keyword]) => keyword))).toEqual(keywords);
});

test("sectionsOf reads sections, lists of them, whole RFCs and appendices", () => {
  expect(sectionsOf("# No. RFC 5321 §4.1.4, §4.2; RFC 2920 §3.1, RFC 6152. RFC 5321 appendix C.")).toEqual([
    "5321 §4.1.4",
    "5321 §4.2",
    "2920 §3.1",
    "6152",
    "5321 appendix C",
  ]);
  expect(sectionsOf("# Nothing here")).toEqual([]);
});
