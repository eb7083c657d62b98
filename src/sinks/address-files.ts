/**
 * The address book: the files of aliases and mailboxes, read at the start and again when they change, and what an address is by them (address-table.ts). A file
 * that is broken later leaves what was read before in force.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { type AliasEntry, type AliasMember, parseAliasFile, parseMemberFile } from "../mail/alias-file.ts";
import type { LineProblem } from "../mail/alias-lines.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { parseMailboxFile } from "../mail/mailbox-file.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type AddressDomains, AddressTable, type Found } from "./address-table.ts";

/** Absolute paths; null: there is none. */
export interface AddressPaths {
  readonly aliases: string | null;
  readonly mailboxes: string | null;
}

/** A problem of one file, in the shape of the configuration's. */
export interface AddressProblem {
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly key: string;
  readonly message: string;
  readonly nearest: null;
}

export interface AddressBookOptions {
  readonly paths: AddressPaths;
  /** Read anew at each look-up: a reload may change it. */
  readonly domains: AddressDomains;
  readonly clock: Clock;
  readonly log: Log;
}

/** Files are looked at again after this time, when somebody is looked up. */
const lookAgainMs = 1_000;
/** A file that was written to within this time may be written to still: half of it, or nothing, reads like a good one with few addresses. */
const settledMs = 1_000;
/** A file is read in one piece, while nothing else is done. */
const fileOctetsMax = 16 * 1024 * 1024;
const includesMax = 200;
/** Problems told of all files. */
const problemsMax = 100;

interface Read {
  readonly table: AddressTable;
  /** Of every file that was read, or could not be. */
  readonly stamps: ReadonlyMap<string, string>;
  readonly problems: readonly AddressProblem[];
  readonly aliases: number;
  readonly mailboxes: number | null;
}

export class AddressBook {
  readonly #options: AddressBookOptions;
  #paths: AddressPaths;
  #read: Read;
  #lookedAt: number;

  /** @throws {Fault} `config.invalid` with every problem of the files in `facts.problems` */
  constructor(options: AddressBookOptions) {
    this.#options = options;
    this.#paths = options.paths;
    this.#read = readWell(options.paths);
    this.#lookedAt = options.clock.monotonicMs();
  }

  /** Other files from now on, or the same read again. @throws {Fault} `config.invalid`; then nothing changed */
  reload(paths: AddressPaths): void {
    this.#read = readWell(paths);
    this.#paths = paths;
    this.#lookedAt = this.#options.clock.monotonicMs();
  }

  /** What an address is; see `AddressTable.resolve`. */
  resolve(mailbox: Mailbox, expandedFrom: readonly Mailbox[] = []): Found {
    return this.#present().resolve(mailbox, this.#options.domains, expandedFrom);
  }

  /** Why mail for an address of a local domain is not taken; null where it is. */
  refusal(mailbox: Mailbox): string | null {
    return this.#present().refusal(mailbox, this.#options.domains);
  }

  /** Whose mailbox gets the mail of an address that is delivered here. */
  mailboxOf(mailbox: Mailbox): Mailbox {
    return this.#present().mailboxOf(mailbox, this.#options.domains);
  }

  #present(): AddressTable {
    if (this.#read.stamps.size > 0) this.#lookAgain();
    return this.#read.table;
  }

  #lookAgain(): void {
    const { clock, log } = this.#options;
    const now = clock.monotonicMs();
    if (now - this.#lookedAt < lookAgainMs) return;
    this.#lookedAt = now;
    const changed = [...this.#read.stamps].filter(([path, stamp]) => stampOf(path) !== stamp);
    if (changed.length === 0 || changed.some(([path]) => isUnsettled(path, clock.now()))) return;
    const read = readFiles(this.#paths);
    if (read.problems.length === 0) {
      this.#read = read;
      log.info("addresses.read", { aliases: read.aliases, mailboxes: read.mailboxes });
      return;
    }
    log.error("addresses.file-broken", { problems: read.problems.map(formatAddressProblem) });
    // Told once, not every second; files that only the broken version names are looked at, too.
    this.#read = { ...this.#read, stamps: new Map([...this.#read.stamps, ...read.stamps]) };
  }
}

/** `aliases:3:7: expected …` */
export function formatAddressProblem({ file, line, column, message }: AddressProblem): string {
  return line === null ? `${file}: ${message}` : `${file}:${line}:${column}: ${message}`;
}

/** Reads the files, and nothing more. @throws {Fault} `config.invalid` with every problem in `facts.problems` */
export function requireAddressFiles(paths: AddressPaths): void {
  readWell(paths);
}

/** What is wrong with the files, for a check that starts nothing. */
export function checkAddressFiles(paths: AddressPaths): readonly AddressProblem[] {
  return readFiles(paths).problems;
}

function readWell(paths: AddressPaths): Read {
  const read = readFiles(paths);
  if (read.problems.length === 0) return read;
  throw new Fault(
    "config.invalid",
    [
      "The files of addresses have errors:",
      ...read.problems.map((problem) => `  ${formatAddressProblem(problem)}`),
    ].join("\n"),
    { facts: { problems: read.problems } },
  );
}

/** Reads every file, as far as it can be read. Never throws. */
function readFiles({ aliases: aliasPath, mailboxes: mailboxPath }: AddressPaths): Read {
  const stamps = new Map<string, string>();
  const problems: AddressProblem[] = [];
  const note = (file: string, found: readonly LineProblem[]) => {
    for (const { line, column, message } of found)
      if (problems.length < problemsMax) problems.push({ file, line, column, key: "", message, nearest: null });
  };
  const read = (path: string): string => {
    try {
      const [text, stamp] = readWhole(path);
      stamps.set(path, stamp);
      return text;
    } catch (error) {
      stamps.set(path, stampOf(path));
      problems.push({
        file: path,
        line: null,
        column: null,
        key: "",
        message: describeFileProblem(error),
        nearest: null,
      });
      return "";
    }
  };
  let aliases: readonly AliasEntry[] = [];
  const included = new Map<string, readonly AliasMember[]>();
  if (aliasPath !== null) {
    const file = parseAliasFile(read(aliasPath));
    note(aliasPath, file.problems);
    aliases = file.entries;
    for (const { target } of aliases) {
      for (const member of target.kind === "members" ? target.members : []) {
        if (member.kind !== "include" || included.has(member.path)) continue;
        if (included.size === includesMax) {
          note(aliasPath, [{ ...member, message: `expected at most ${includesMax} included files` }]);
          continue;
        }
        const path = isAbsolute(member.path) ? member.path : resolve(dirname(aliasPath), member.path);
        const found = parseMemberFile(read(path));
        note(path, found.problems);
        included.set(member.path, found.members);
      }
    }
  }
  const mailboxFile = mailboxPath === null ? null : parseMailboxFile(read(mailboxPath));
  if (mailboxFile) note(mailboxPath!, mailboxFile.problems);
  return {
    table: new AddressTable({ aliases, mailboxes: mailboxFile, included }),
    stamps,
    problems,
    aliases: aliases.length,
    mailboxes: mailboxFile && mailboxFile.names.size + mailboxFile.addresses.size,
  };
}

/** The file's text and its stamp from before: what changes while it is read is read again. */
function readWhole(path: string): [text: string, stamp: string] {
  const stats = statSync(path);
  // A pipe or a device could be read for ever.
  if (!stats.isFile()) throw new Error("it is not a file");
  if (stats.size > fileOctetsMax) throw new Error(`it has more than ${fileOctetsMax} octets`);
  const stamp = stampOf(path);
  const octets = readFileSync(path);
  try {
    return [new TextDecoder("utf-8", { fatal: true }).decode(octets), stamp];
  } catch (error) {
    throw new Error("it is not UTF-8", { cause: error });
  }
}

function describeFileProblem(error: unknown): string {
  switch ((error as NodeJS.ErrnoException | null)?.code) {
    case "ENOENT":
      return "cannot be read: it is not there";
    case "EACCES":
    case "EPERM":
      return "cannot be read: this user may not";
    default:
      return `cannot be read: ${describeThrown(error)}`;
  }
}

/** A time that has not come yet says nothing. Never throws: what cannot be looked at cannot be read either, and that is told. */
function isUnsettled(path: string, now: number): boolean {
  try {
    const ageMs = now - statSync(path).mtimeMs;
    return ageMs >= 0 && ageMs < settledMs;
  } catch {
    return false;
  }
}

/** Another one where the file may be another. Never throws. */
function stampOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    return describeThrown(error);
  }
}
