/** Real and odd messages to send: where they lie, and their octets as a client must send them. */
import { globSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

export interface CorpusMail {
  /** Folder of the collection, for the table. */
  readonly collection: string;
  readonly name: string;
  /** Octets with CRLF line ends, the last line ended. A lone CR stays: it is part of what the message is. */
  readonly data: Buffer;
}

/** CPython's messages for its own parser; the pictures and sounds beside them are no messages. */
export function readPythonCorpus(folder: string): CorpusMail[] {
  return globSync(join(folder, "msg_*.txt"))
    .sort()
    .map((file) => ({
      collection: "CPython test_email",
      name: basename(file),
      data: toClientOctets(readFileSync(file)),
    }));
}

/** Every `.eml` below a folder. */
export function readExamples(folder: string): CorpusMail[] {
  return globSync(join(folder, "**/*.eml"))
    .sort()
    .map((file) => ({
      collection: "examples in scripts/",
      name: relative(folder, file),
      data: toClientOctets(readFileSync(file)),
    }));
}

/** RFC 5321 §2.3.8: lines end with CRLF. A lone LF is how Unix stores a line end; a lone CR is not. */
export function toClientOctets(octets: Buffer): Buffer {
  const text = octets.toString("latin1").replace(/(?<!\r)\n/g, "\r\n");
  return Buffer.from(text.endsWith("\r\n") || text === "" ? text : `${text}\r\n`, "latin1");
}

/** What the server may refuse a message for at end-of-data, or undefined where it must take it. */
export function reasonToRefuse(data: Buffer): RegExp | undefined {
  const text = data.toString("latin1");
  if (/\r(?!\n)|(?<!\r)\n/.test(text)) return /^550 5\.6\.0 .*(CR|LF|line end)/i;
  if (text.includes("\0")) return /^550 5\.6\.0 .*NUL/i;
  return undefined;
}
