/**
 * Messages to test with: `.eml` files, folders of them, Maildirs, mbox files, and `-` for standard input. Listed first, so that there is
 * a count to make progress against; read one at a time, so that a mailbox of gigabytes needs no more memory than its largest message.
 */
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { UsageError } from "./failure.ts";

/** Octets of one message; a larger one is not read. */
const messageOctetsMax = 128 * 1024 * 1024;
const readOctets = 1024 * 1024;
const messagesMax = 1_000_000;
const separatorOctetsMax = 512;

export interface MailSource {
  /** As people name it: the path as given, or relative to where they are; `box.mbox#3` for the third of an mbox. */
  readonly name: string;
  /** The file it is in; null for standard input. */
  readonly path: string | null;
  /** The message with CRLF line ends, as a client would send it. @throws {UsageError} where it is too large or gone */
  read(): Promise<Buffer>;
}

/** Every message the arguments name, folders in the order of their names. @throws {UsageError} */
export async function listMail(
  paths: readonly string[],
  options: { readonly cwd: string; readonly stdin: () => Promise<Buffer> },
): Promise<MailSource[]> {
  const sources: MailSource[] = [];
  for (const path of paths) {
    if (path === "-") {
      sources.push(...typedMessages(await options.stdin()));
      continue;
    }
    const file = resolve(options.cwd, path);
    const facts = await stat(file).catch(() => {
      throw new UsageError(`Cannot read ${path}: there is no such file or folder`);
    });
    if (!facts.isDirectory()) sources.push(...(await messagesOf(file, nameOf(file, options.cwd))));
    else
      for (const inner of await listFolder(file))
        sources.push(...(await messagesOf(inner, nameOf(inner, options.cwd))));
    if (sources.length > messagesMax) throw new UsageError(`Cannot test more than ${messagesMax} messages at once`);
  }
  return sources;
}

/** One message, or all of an mbox that has another one behind the first; the same signs as in files. */
function typedMessages(octets: Buffer): MailSource[] {
  const text = octets.toString("latin1");
  const starts = text.startsWith("From ")
    ? [0, ...[...text.matchAll(/(?<=\n\r?\n)From \S+ [^\n]*\d\d:\d\d/g)].map(({ index }) => index)]
    : [];
  if (starts.length < 2) return [{ name: "-", path: null, read: async () => withCrlf(octets) }];
  return starts.map((from, i) => ({
    name: `-#${i + 1}`,
    path: null,
    read: async () => withCrlf(unquoted(octets.subarray(from, starts[i + 1]))),
  }));
}

/** Lone line feeds and carriage returns become CRLF: files of a Unix machine end their lines with LF, what is sent ends them with CRLF. RFC 5321 §2.3.8. */
export function withCrlf(octets: Buffer): Buffer {
  const text = octets.toString("latin1");
  return /(?:^|[^\r])\n|\r(?!\n)/.test(text) ? Buffer.from(text.replace(/\r\n?|\n/g, "\r\n"), "latin1") : octets;
}

/** Files that hold mail: `.eml` and `.mbox` anywhere below, and in a Maildir all of `cur` and `new`. */
async function listFolder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const isMaildir = ["cur", "new", "tmp"].every((name) =>
    entries.some((entry) => entry.name === name && entry.isDirectory()),
  );
  const files: string[] = [];
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (isMaildir && (entry.name === "cur" || entry.name === "new")) {
        const inner = await readdir(path, { withFileTypes: true });
        files.push(
          ...inner
            .filter((mail) => mail.isFile() && !mail.name.startsWith("."))
            .map((mail) => join(path, mail.name))
            .sort(),
        );
      } else if (!entry.name.startsWith(".") || isMaildir) files.push(...(await listFolder(path)));
    } else if (entry.isFile() && /\.(eml|mbox)$/i.test(entry.name)) files.push(path);
  }
  return files;
}

/** One message, or all of an mbox: a file named so, or one that begins with an mbox's `From ` line and has another. */
async function messagesOf(file: string, name: string): Promise<MailSource[]> {
  const handle = await open(file, "r").catch((error: unknown) => {
    throw new UsageError(`Cannot read ${name}: ${error instanceof Error ? error.message : String(error)}`);
  });
  try {
    const start = Buffer.alloc(5);
    await handle.read(start, 0, 5, 0);
    if (start.toString("latin1") === "From ") {
      const ranges = await findMessages(handle);
      if (ranges.length > 1 || /\.mbox$/i.test(file)) {
        return ranges.map(({ from, to }, i) => ({
          name: `${name}#${i + 1}`,
          path: file,
          read: async () => withCrlf(unquoted(await readRange(file, from, to, name))),
        }));
      }
    }
    if (/\.mbox$/i.test(file)) return [];
    return [{ name, path: file, read: async () => withCrlf(await readRange(file, 0, (await stat(file)).size, name)) }];
  } finally {
    await handle.close();
  }
}

/** Where each message of an mbox is: behind a `From ` line that stands at the start or behind an empty line, up to the next one. RFC 4155. */
async function findMessages(handle: FileHandle): Promise<{ readonly from: number; readonly to: number }[]> {
  const starts: number[] = [0];
  const mark = Buffer.from("\nFrom ");
  // What a mark may need from before it: the line feed that ends the empty line, and a carriage return.
  const overlap = mark.length + 2;
  let carried = Buffer.alloc(0);
  let offset = 0;
  const chunk = Buffer.alloc(readOctets);
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset);
    if (bytesRead === 0) break;
    const window = Buffer.concat([carried, chunk.subarray(0, bytesRead)]);
    const base = offset - carried.length;
    for (let at = window.indexOf(mark); at !== -1; at = window.indexOf(mark, at + 1)) {
      const before = window[at - 1] === 0x0d ? window[at - 2] : window[at - 1];
      const start = base + at + 1;
      if (before === 0x0a && start > starts.at(-1)! && (await isSeparator(handle, start))) starts.push(start);
    }
    offset += bytesRead;
    carried = Buffer.from(window.subarray(Math.max(0, window.length - overlap)));
  }
  return starts.map((from, i) => ({ from, to: starts[i + 1] ?? offset }));
}

/** Whether a line that begins with "From " names a time as well: a paragraph that begins with the word does not. RFC 4155 appendix A. */
async function isSeparator(handle: FileHandle, start: number): Promise<boolean> {
  const line = Buffer.alloc(separatorOctetsMax);
  const { bytesRead } = await handle.read(line, 0, line.length, start);
  const text = line.subarray(0, bytesRead).toString("latin1").split("\n")[0]!;
  return /^From \S+ .*\d\d:\d\d/.test(text);
}

async function readRange(file: string, from: number, to: number, name: string): Promise<Buffer> {
  if (to - from > messageOctetsMax)
    throw new UsageError(`Cannot read ${name}: a message of more than ${messageOctetsMax / 1024 / 1024} MiB`);
  const handle = await open(file, "r");
  try {
    const octets = Buffer.alloc(to - from);
    const { bytesRead } = await handle.read(octets, 0, octets.length, from);
    return octets.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The message inside: without the `From ` line, without the empty line the next one needs, quoted `>From ` lines as they were. */
function unquoted(octets: Buffer): Buffer {
  const text = octets.toString("latin1");
  const inner = text.slice(text.indexOf("\n") + 1).replace(/(\r?\n)\r?\n$/, "$1");
  return Buffer.from(inner.replace(/^>(>*From )/gm, "$1"), "latin1");
}

function nameOf(file: string, cwd: string): string {
  const near = relative(cwd, file);
  return near !== "" && !near.startsWith("..") ? near : file;
}
