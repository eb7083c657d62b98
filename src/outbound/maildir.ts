/**
 * Delivery into Maildirs, `<root>/<domain>/<user>/{tmp,new,cur}`, and into their folders (Maildir++): a message is whole in `new` or not there at all, and
 * durable before it counts as delivered. Octets are kept as they came, CRLF line ends too: a message is the same wherever it goes, and signatures over it
 * stay true. A delivery that is repeated after a crash finds the copy it made, and makes no second one.
 */
import { link, open, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { folderPath } from "../mail/maildir-folder.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { syncFolder, writeFully } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { copyMark } from "./copy-mark.ts";
import { FolderRoom } from "./folder-room.ts";
import { FolderSync } from "./folder-sync.ts";
import { countMaildir, hasBeenRead, staleMs, sweepMaildir } from "./maildir-files.ts";

/** Maildirs known to be there and durable; more are looked at again. */
const knownMax = 10_000;
/** Marks a folder within a Maildir as one. Maildir++. */
const folderMark = "maildirfolder";

export interface MaildirDelivery {
  /** Whose Maildir it is, where that is another than the recipient: `ann+news` has the one of `ann`. */
  readonly owner?: Mailbox;
  /** As `parseFolder` gives it; null is the inbox. */
  readonly folder?: string | null;
}

/** The mailbox has no room for a message. */
export class MailboxFull extends Error {
  /** It could not have any: the message alone is larger than a mailbox may be. */
  readonly never: boolean;

  constructor(sizeOctets: number, octetsMax: number) {
    super(`the mailbox may hold ${octetsMax} octets and has no room for the ${sizeOctets} of the message`);
    this.name = "MailboxFull";
    this.never = sizeOctets > octetsMax;
  }
}

interface Known {
  readonly ready: Promise<void>;
  /** When its `tmp` was looked through, by the clock. */
  readonly sweptAt: number;
}

export class MaildirStore {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #folders = new FolderSync();
  readonly #known = new Map<string, Known>();
  readonly #room: FolderRoom;
  readonly #hostPart: string;
  /** Messages from before may have been delivered by a server that was killed since. */
  readonly #startedAt: number;
  #count = 0;
  /** Octets of a mailbox, its folders included; 0 is no limit. Another value holds for the next delivery. */
  mailboxOctetsMax: number;

  constructor(options: { readonly root: string; readonly clock: Clock; readonly mailboxOctetsMax?: number }) {
    this.#root = options.root;
    this.#clock = options.clock;
    this.#startedAt = options.clock.now();
    this.mailboxOctetsMax = options.mailboxOctetsMax ?? 0;
    this.#room = new FolderRoom({ clock: options.clock, count: countMaildir });
    // The writer's name may hold neither the separator of folders nor that of flags.
    this.#hostPart = hostname().replaceAll("/", "\\057").replaceAll(":", "\\072") || "localhost";
  }

  /** Delivers to one mailbox; resolves with the file's path once it is durable. Throws what the disk says. @throws {MailboxFull} */
  async deliver(message: Message, recipient: Mailbox, how: MaildirDelivery = {}): Promise<string> {
    const maildir = maildirPath(this.#root, how.owner ?? recipient);
    const inbox = how.folder === undefined || how.folder === null;
    const folder = inbox ? maildir : join(maildir, folderPath(how.folder!));
    const octets = finalForm(message, recipient);
    const sizeOctets = octets.length + message.body.sizeOctets;
    const { mailboxOctetsMax } = this;
    const reservation =
      mailboxOctetsMax > 0 ? await this.#room.reserve(maildir, sizeOctets, mailboxOctetsMax) : undefined;
    if (mailboxOctetsMax > 0 && !reservation) throw new MailboxFull(sizeOctets, mailboxOctetsMax);
    const deliver = async () => {
      await this.#ensure(maildir);
      if (!inbox) await this.#ensure(folder, folderMark);
      return this.#write(folder, message, recipient, octets);
    };
    try {
      const path = await deliver().catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        // Somebody removed the Maildir behind our back: once more from the start.
        this.#known.delete(maildir);
        this.#known.delete(folder);
        return deliver();
      });
      reservation?.used();
      return path;
    } catch (error) {
      reservation?.free();
      throw error;
    }
  }

  async #write(maildir: string, message: Message, recipient: Mailbox, top: Buffer): Promise<string> {
    const name = this.#nameOf(message, recipient, top.length + message.body.sizeOctets);
    const path = join(maildir, "new", name);
    if (message.receivedAt < this.#startedAt && (await hasBeenRead(maildir, name))) {
      await this.#folders.sync(join(maildir, "cur"));
      return path;
    }
    this.#count += 1;
    const aside = join(maildir, "tmp", `${name}.P${process.pid}Q${this.#count}`);
    const file = await open(aside, "wx", 0o600);
    try {
      try {
        await writeFully(file, top);
        for await (const chunk of message.body.chunks()) await writeFully(file, chunk);
        await file.datasync();
      } finally {
        await file.close();
      }
      crashPoint("maildir.before-rename");
      await link(aside, path).catch((error: unknown) => {
        // It was delivered, and nobody lived to say so.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      });
      await this.#folders.sync(join(maildir, "new"));
      crashPoint("maildir.written");
      return path;
    } finally {
      // Under its own name by now, or of no use.
      await unlink(aside).catch(() => {});
    }
  }

  /** Unique on this host, and the same for the same copy: when it came, message and recipient; with the size, so that nobody has to look for it (Maildir++). */
  #nameOf({ id, receivedAt }: Message, recipient: Mailbox, sizeOctets: number): string {
    const seconds = Math.floor(receivedAt / 1_000);
    return `${seconds}.${id}R${copyMark([recipient])}.${this.#hostPart},S=${sizeOctets}`;
  }

  /** The Maildir is there, and so are the entries of the folders above it, durably: also those an earlier process made and did not sync. */
  #ensure(maildir: string, mark?: string): Promise<void> {
    const now = this.#clock.now();
    const known = this.#known.get(maildir);
    if (known && known.sweptAt + staleMs > now) return known.ready;
    if (this.#known.size >= knownMax) this.#known.clear();
    const ready = (known ? known.ready : this.#prepare(maildir, mark))
      .then(async () => void (await sweepMaildir(maildir, now)))
      .catch((error: unknown) => {
        this.#known.delete(maildir);
        throw error;
      });
    this.#known.set(maildir, { ready, sweptAt: now });
    return ready;
  }

  async #prepare(maildir: string, mark: string | undefined): Promise<void> {
    for (const name of ["tmp", "new", "cur"]) await makeFolderDurably(join(maildir, name));
    if (mark !== undefined) await (await open(join(maildir, mark), "a", 0o600)).close();
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

/**
 * The message's header with what final delivery puts above it, and the line that ends it. RFC 5321 §4.4: there is one Return-Path, and it is the last
 * server's; one that came along is somebody's claim, and goes. Delivered-To is not said twice in a row.
 */
function finalForm({ envelope, header, separator }: Message, recipient: Mailbox): Buffer {
  const address = formatMailbox(recipient);
  const path = envelope.reversePath === null ? "<>" : `<${formatMailbox(envelope.reversePath)}>`;
  const delivered = header.get("Delivered-To") === address ? "" : `Delivered-To: ${address}\r\n`;
  const own = header.has("Return-Path") ? header.remove("Return-Path") : header;
  return Buffer.concat([Buffer.from(`Return-Path: ${path}\r\n${delivered}`), own.octets, separator]);
}
