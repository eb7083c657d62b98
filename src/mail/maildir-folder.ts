/**
 * Folders within a mailbox: their names as sinks write them, `Lists/dev`, and as Maildir++ keeps them, `.Lists.dev` beside `new` and `cur`.
 * A name that is taken leads nowhere but into the Maildir. Pure.
 */
import { Fault } from "../platform/fault.ts";

const levelsMax = 8;
const levelLengthMax = 100;
/** Of the name on the disk: below what a file system takes. */
const nameOctetsMax = 200;

/**
 * A folder's name in the form we keep and compare: no blanks around its levels, Unicode composed; null is the inbox, which is called INBOX by itself.
 * @throws {Fault} `folder.invalid`
 */
export function parseFolder(text: string): string | null {
  const fail = (why: string) =>
    new Fault("folder.invalid", `Cannot file into the folder ${JSON.stringify(String(text).slice(0, 100))}: ${why}`);
  if (typeof text !== "string") throw fail("expected a text");
  const levels = text.split("/").map((level) => level.trim().normalize("NFC"));
  // The inbox has this name whatever its case. RFC 3501 §5.1.
  if (levels[0]!.toUpperCase() === "INBOX") {
    if (levels.length === 1) return null;
    throw fail("the inbox has no folders; leave INBOX/ out");
  }
  if (levels.length > levelsMax) throw fail(`expected ${levelsMax} levels at most`);
  for (const level of levels) {
    if (level === "" || level.length > levelLengthMax) throw fail(`expected 1 to ${levelLengthMax} characters a level`);
    // The dot parts the levels on the disk; the others are wildcards of IMAP, quotes, or no characters at all.
    if (/[.*%"\\\p{Cc}\p{Cs}]/u.test(level)) throw fail('expected none of . * % " \\ and no control characters');
  }
  const folder = levels.join("/");
  if (Buffer.byteLength(folderPath(folder)) > nameOctetsMax) throw fail("expected a shorter name");
  return folder;
}

/** The name of the folder's Maildir within that of the mailbox. @param folder as `parseFolder` gives it */
export function folderPath(folder: string): string {
  return folder
    .split("/")
    .map((level) => `.${toModifiedUtf7(level)}`)
    .join("");
}

/** How IMAP servers write names beyond ASCII. RFC 3501 §5.1.3. */
function toModifiedUtf7(text: string): string {
  return text.replace(/&|[^\x20-\x7e]+/g, (piece) => {
    if (piece === "&") return "&-";
    const base64 = Buffer.from(piece, "utf16le").swap16().toString("base64");
    return `&${base64.replaceAll("/", ",").replace(/=+$/, "")}-`;
  });
}
