import { describe, expect, test } from "vitest";
import { folderPath, parseFolder } from "../../../src/mail/maildir-folder.ts";
import { faultOf } from "../../support/fault-of.ts";

describe("parseFolder", () => {
  const taken: { why: string; text: string; folder: string | null; path?: string }[] = [
    { why: "a name", text: "Junk", folder: "Junk", path: ".Junk" },
    { why: "two levels", text: "Lists/dev", folder: "Lists/dev", path: ".Lists.dev" },
    {
      why: "blanks around levels go, blanks within stay",
      text: " My lists / dev ",
      folder: "My lists/dev",
      path: ".My lists.dev",
    },
    { why: "the inbox by its name, whatever its case", text: "inbox", folder: null },
    { why: "letters beyond ASCII, as RFC 3501 has them", text: "台北", folder: "台北", path: ".&U,BTFw-" },
    { why: "an ampersand", text: "R&D", folder: "R&D", path: ".R&-D" },
    { why: "a letter made of two is one", text: "Entwu\u0308rfe", folder: "Entwürfe", path: ".Entw&APw-rfe" },
    { why: "eight levels", text: "a/b/c/d/e/f/g/h", folder: "a/b/c/d/e/f/g/h", path: ".a.b.c.d.e.f.g.h" },
    { why: "100 characters", text: "x".repeat(100), folder: "x".repeat(100), path: `.${"x".repeat(100)}` },
  ];
  test.each(taken)("$why", ({ text, folder, path }) => {
    expect(parseFolder(text)).toBe(folder);
    if (folder !== null) expect(folderPath(folder)).toBe(path);
  });

  const refused: { why: string; text: unknown }[] = [
    { why: "nothing", text: "" },
    { why: "blanks", text: "  " },
    { why: "an empty level", text: "a//b" },
    { why: "a path from the root", text: "/etc" },
    { why: "the folder above", text: ".." },
    { why: "the folder above, in a level", text: "a/../../b" },
    { why: "a dot within", text: "a.b" },
    { why: "a backslash", text: "a\\b" },
    { why: "a wildcard", text: "a*" },
    { why: "NUL", text: "a\0b" },
    { why: "a line end", text: "a\nb" },
    { why: "half a character", text: "a\ud800" },
    { why: "folders of the inbox", text: "INBOX/a" },
    { why: "nine levels", text: "a/b/c/d/e/f/g/h/i" },
    { why: "101 characters", text: "x".repeat(101) },
    { why: "more octets than a file name has", text: `${"é".repeat(90)}/${"é".repeat(90)}` },
    { why: "no text", text: 7 },
  ];
  test.each(refused)("refuses $why", ({ text }) => {
    expect(faultOf(() => parseFolder(text as string)).code).toBe("folder.invalid");
  });
});
