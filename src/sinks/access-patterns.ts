/**
 * Lists of patterns for clients, HELO names, senders and recipients, from an admin's lines and files. What names one address or one domain is
 * looked up, only what has a `*` in it is tried one by one: a list of a hundred thousand addresses costs what one of ten does.
 */
import { readFileSync, statSync } from "node:fs";
import { compileHostGlob, foldCase, foldHost, type Glob, matchesGlob, type PatternText } from "../events/glob.ts";
import {
  type ClientPattern,
  compileClientPattern,
  compileMailboxPattern,
  type MailboxPattern,
  matchesClient,
  matchesReversePath,
  PatternError,
} from "../events/rule-pattern.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { ReversePath } from "../mail/path.ts";
import { describeThrown } from "../platform/fault.ts";
import { describeRaw } from "../platform/value.ts";
import { ipOctets } from "./ip-octets.ts";
import type { SinkPorts } from "./sink-ports.ts";

export type ListKind = "clients" | "helos" | "senders" | "recipients";

/** What is known of a client and its message; no pattern holds for what is not. */
export interface AccessFacts {
  readonly ip: string;
  /** "" where it is not known. */
  readonly helo: string;
  /** undefined where it is not known; null is the null reverse-path. */
  readonly reversePath: ReversePath | undefined;
  readonly recipients: readonly Mailbox[];
}

/** A file is looked at again after this time, when the list is asked. */
const lookAgainMs = 2_000;
/** It is read in one piece, while nothing else is done. */
const fileOctetsMax = 16 * 1024 * 1024;
/** Problems told of one file. */
const problemsMax = 10;

/** Patterns of one kind. */
class PatternSet {
  readonly #kind: ListKind;
  /** Addresses, names, `local@domain` and `@domain`, folded. */
  readonly #exact = new Set<string>();
  readonly #clients: ClientPattern[] = [];
  readonly #helos: Glob[] = [];
  readonly #mailboxes: MailboxPattern[] = [];

  constructor(kind: ListKind) {
    this.#kind = kind;
  }

  /** @throws {PatternError} */
  add(written: string): void {
    const text: PatternText = { text: written, quoted: false, literalStars: null };
    if (this.#kind === "clients") {
      const pattern = compileClientPattern(text);
      const octets = ipOctets(written);
      if (octets) this.#exact.add(String(octets));
      else this.#clients.push(pattern);
    } else if (this.#kind === "helos") {
      const glob = compileHostGlob(text);
      if (glob.literals.length === 1) this.#exact.add(glob.literals[0]!);
      else this.#helos.push(glob);
    } else {
      const pattern = compileMailboxPattern(text);
      const { whole, localPart, domain } = pattern;
      if (whole === "parts" && domain.how === "equals" && localPart.how === "equals")
        this.#exact.add(`${localPart.text}@${domain.text}`);
      else if (whole === "parts" && domain.how === "equals" && localPart.how === "any")
        this.#exact.add(`@${domain.text}`);
      else this.#mailboxes.push(pattern);
    }
  }

  matches({ ip, helo, reversePath, recipients }: AccessFacts): boolean {
    switch (this.#kind) {
      case "clients":
        return (
          (this.#exact.size > 0 && this.#exact.has(String(ipOctets(ip)))) ||
          this.#clients.some((pattern) => matchesClient(pattern, ip))
        );
      case "helos": {
        if (helo === "") return false;
        const folded = foldHost(helo);
        return this.#exact.has(folded) || this.#helos.some((glob) => matchesGlob(glob, folded));
      }
      case "senders":
        return reversePath !== undefined && this.#has(reversePath);
      case "recipients":
        return recipients.some((mailbox) => this.#has(mailbox));
    }
  }

  #has(path: ReversePath): boolean {
    if (path !== null && this.#exact.size > 0) {
      const domain = `@${path.domain}`;
      if (this.#exact.has(domain) || this.#exact.has(foldCase(path.localPart) + domain)) return true;
    }
    return this.#mailboxes.some((pattern) => matchesReversePath(pattern, path));
  }
}

interface ListFile {
  readonly path: string;
  patterns: PatternSet;
  /** Time of change and size, as last read. */
  stamp: string;
}

/** One list: patterns written in the configuration, and files that are read again when they change. */
export class ListSource {
  readonly kind: ListKind;
  /** What could not be read at the start; with any the list is not to be used. */
  readonly problems: readonly string[];
  readonly #inline: PatternSet;
  readonly #files: ListFile[] = [];
  readonly #ports: Pick<SinkPorts, "clock" | "log">;
  #lookedAt: number;

  constructor(
    kind: ListKind,
    items: readonly string[],
    pathOf: (item: string) => string,
    ports: Pick<SinkPorts, "clock" | "log">,
  ) {
    this.kind = kind;
    this.#ports = ports;
    this.#inline = new PatternSet(kind);
    this.#lookedAt = ports.clock.monotonicMs();
    const problems: string[] = [];
    for (const item of items) {
      if (/^\.{0,2}\//.test(item)) {
        const file: ListFile = { path: pathOf(item), patterns: this.#inline, stamp: "" };
        problems.push(...this.#read(file));
        this.#files.push(file);
      } else {
        const wrong = tryAdd(this.#inline, item);
        if (wrong !== null) problems.push(wrong);
      }
    }
    this.problems = problems;
  }

  matches(facts: AccessFacts): boolean {
    if (this.#files.length > 0) this.#lookAgain();
    return this.#inline.matches(facts) || this.#files.some(({ patterns }) => patterns.matches(facts));
  }

  /** A file that cannot be read any more, or has a bad line, leaves the patterns it had before in force. */
  #lookAgain(): void {
    const now = this.#ports.clock.monotonicMs();
    if (now - this.#lookedAt < lookAgainMs) return;
    this.#lookedAt = now;
    for (const file of this.#files) {
      const stamp = stampOf(file.path);
      if (stamp === file.stamp) continue;
      const problems = this.#read(file);
      if (problems.length > 0) this.#ports.log.error("access-list.file-broken", { file: file.path, problems });
      else this.#ports.log.info("access-list.file-read", { file: file.path });
      // Told once, not every two seconds.
      file.stamp = stamp;
    }
  }

  /** Reads a file; where a line is bad nothing of it is taken. */
  #read(file: ListFile): string[] {
    const problems: string[] = [];
    const patterns = new PatternSet(this.kind);
    const stamp = stampOf(file.path);
    try {
      const stats = statSync(file.path);
      // A pipe or a device could be read for ever.
      if (!stats.isFile()) return [`${file.path} is not a file`];
      if (stats.size > fileOctetsMax) return [`${file.path} has more than ${fileOctetsMax} octets`];
      for (const [index, line] of readFileSync(file.path, "utf8").split("\n").entries()) {
        // A "#" within a pattern is part of it: local parts may have one. RFC 5321 §4.1.2.
        const written = line.replace(/(?:^|\s)#.*$/su, "").trim();
        const wrong = written === "" ? null : tryAdd(patterns, written);
        if (wrong !== null) problems.push(`${file.path}:${index + 1}: ${wrong}`);
        if (problems.length === problemsMax) break;
      }
    } catch (error) {
      problems.push(`Cannot read ${file.path}: ${describeThrown(error)}`);
    }
    if (problems.length > 0) return problems;
    file.patterns = patterns;
    file.stamp = stamp;
    return [];
  }
}

/** Why the pattern cannot be read, or null. */
function tryAdd(patterns: PatternSet, written: string): string | null {
  try {
    patterns.add(written);
    return null;
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    return `${describeRaw(written)}: ${error.message}`;
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
