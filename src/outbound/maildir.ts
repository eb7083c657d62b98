/**
 * Delivery into Maildirs, `<root>/<domain>/<user>/{tmp,new,cur}`: a message is whole in `new` or not there at all, and durable before it counts as
 * delivered. Octets are kept as they came, CRLF line ends too: a message is the same wherever it goes, and signatures over it stay true.
 * Each delivery makes a new file, so one that is repeated after a crash gives a second copy and never replaces another message.
 */
import { link, open, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { syncFolder, writeFully } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { FolderSync } from "./folder-sync.ts";

/** Maildirs known to be there and durable; more are looked at again. */
const knownMax = 10_000;

export class MaildirStore {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #folders = new FolderSync();
  readonly #known = new Map<string, Promise<void>>();
  readonly #hostPart: string;
  #count = 0;

  constructor(options: { readonly root: string; readonly clock: Clock }) {
    this.#root = options.root;
    this.#clock = options.clock;
    // The writer's name may hold neither the separator of folders nor that of flags.
    this.#hostPart = hostname().replaceAll("/", "\\057").replaceAll(":", "\\072") || "localhost";
  }

  /** Delivers to one mailbox; resolves with the file's path once it is durable. Throws what the disk says. */
  async deliver(message: Message, mailbox: Mailbox): Promise<string> {
    const maildir = maildirPath(this.#root, mailbox);
    await this.#ensure(maildir);
    try {
      return await this.#write(maildir, message, mailbox);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      // Somebody removed the Maildir behind our back: once more from the start.
      this.#known.delete(maildir);
      await this.#ensure(maildir);
      return this.#write(maildir, message, mailbox);
    }
  }

  async #write(maildir: string, message: Message, mailbox: Mailbox): Promise<string> {
    const name = this.#createName(message.id);
    const aside = join(maildir, "tmp", name);
    const file = await open(aside, "wx", 0o600);
    try {
      try {
        await writeFully(file, traceOctets(message, mailbox));
        for await (const chunk of message.chunks()) await writeFully(file, chunk);
        await file.datasync();
      } finally {
        await file.close();
      }
      const path = join(maildir, "new", name);
      await link(aside, path);
      await this.#folders.sync(join(maildir, "new"));
      return path;
    } finally {
      // Under its own name by now, or of no use.
      await unlink(aside).catch(() => {});
    }
  }

  /** Unique on this host: time, message, process and a count. */
  #createName(messageId: string): string {
    this.#count += 1;
    return `${Math.floor(this.#clock.now() / 1_000)}.${messageId}P${process.pid}Q${this.#count}.${this.#hostPart}`;
  }

  /** The Maildir is there, and so are the entries of the folders above it, durably: also those an earlier process made and did not sync. */
  #ensure(maildir: string): Promise<void> {
    const known = this.#known.get(maildir);
    if (known) return known;
    if (this.#known.size >= knownMax) this.#known.clear();
    const ready = this.#prepare(maildir).catch((error: unknown) => {
      this.#known.delete(maildir);
      throw error;
    });
    this.#known.set(maildir, ready);
    return ready;
  }

  async #prepare(maildir: string): Promise<void> {
    for (const name of ["tmp", "new", "cur"]) await makeFolderDurably(join(maildir, name));
    await syncFolder(maildir);
    await syncFolder(join(maildir, ".."));
    await syncFolder(this.#root);
  }
}

/**
 * The Maildir of a mailbox. Local parts are folded to lower case, as mailboxes compare (mailbox.ts); every octet that is not a letter, a digit or one of
 * `_ + = - .` is written `%XX`, and so is a dot in front: two mailboxes never share a folder, and none leads out of the root.
 */
export function maildirPath(root: string, { localPart, domain }: Mailbox): string {
  return join(root, encodeFolderName(domain.toLowerCase()), encodeFolderName(localPart.toLowerCase()));
}

function encodeFolderName(text: string): string {
  let name = "";
  for (const octet of Buffer.from(text)) {
    const character = String.fromCharCode(octet);
    const plain = /[a-z0-9_+=-]/.test(character) || (character === "." && name !== "");
    name += plain ? character : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  // Never the folder itself; a mailbox has no empty local part.
  return name === "" ? "%" : name;
}

/** The fields that final delivery puts above the message. RFC 5321 §4.4. */
function traceOctets(message: Message, mailbox: Mailbox): Buffer {
  const { reversePath } = message.envelope;
  const path = reversePath === null ? formatReversePath(null) : `<${formatMailbox(reversePath)}>`;
  return Buffer.from(`Return-Path: ${path}\r\nDelivered-To: ${formatMailbox(mailbox)}\r\n`);
}
