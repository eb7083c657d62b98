/**
 * The OnArrival script API. This file is the manual: types only, nothing in it runs.
 *
 * A script is a file in `scripts/` that exports a handler. It is compiled when it is saved, and the next message runs it:
 *
 *     import type { ArrivalHandler } from "onarrival";
 *     export const rule = "RCPT TO=*@example.org";
 *     export const onArrival: ArrivalHandler = (mail) => {
 *       mail.subject = `[external] ${mail.subject}`;
 *     };
 *
 * Beside the handler a script may export:
 *   `rule`      which messages it is asked about; without one, all of them. The language is in docs/rules.md.
 *   `priority`  0 is asked first, 32767 last; 24575 without one.
 *   `phase`     "session" (without one): before the client hears a reply; "queue": behind the 250, for slow work.
 *   `onFault`   what a fault of the script means: "defer" (without one), "proceed", "quarantine" or "refuse".
 *   `enabled`   false to keep the script without running it.
 *
 * A run is a transaction. What a script asks for happens when its handler is done, all of it or, where the script throws or exceeds a
 * limit, nothing of it. Module variables may live from one message to the next and may vanish at any time.
 *
 * Limits of a run, unless the configuration says otherwise: 500 ms of computing, 5 s in all, 64 MiB of heap, 1,000 edits, 100 log lines.
 */

/** Asked once for every message, from every entrance, before it is accepted. May be async. */
export type ArrivalHandler = (mail: Mail, context: Context) => void | Promise<void>;

export interface Context {
  readonly log: Log;
}

/**
 * Lines in the server's log, and in the output of `onarrival test`. Arguments are joined by a space; objects are written as JSON.
 * At most 100 lines a run and 2,000 octets a line; what is over is cut, and the log says so. `console.log` and its kin write here too.
 */
export interface Log {
  debug(...words: readonly unknown[]): void;
  info(...words: readonly unknown[]): void;
  warn(...words: readonly unknown[]): void;
  error(...words: readonly unknown[]): void;
}

/** The message in hand. Reading needs no `await` but for the four that look inside the body: `text`, `html`, `raw`, and an attachment's `content`. */
export interface Mail {
  /** The id the client is told with the 250, and every log line carries. */
  readonly id: string;
  readonly receivedAt: Date;
  /** Octets of the message as it came in. */
  readonly size: number;
  readonly session: Session;
  readonly envelope: Envelope;
  /** Recipients that met the script's `rule`; all of them where it has no `RCPT TO` condition. */
  readonly matchedRecipients: readonly string[];

  // -- Header fields, in their order, names without regard to case -----------------------------------------------------------------

  readonly headers: Headers;
  /** Decoded; "" where there is none. Setting it replaces the field in its place. */
  subject: string;
  /** First mailbox of the From field, or null. Set it to an address or to `Name <address>`. */
  get from(): Address | null;
  set from(address: Address | string);
  /** Mailboxes of the field, groups taken apart. These are what the sender wrote; who gets the message says `envelope`. */
  get to(): readonly Address[];
  set to(addresses: AddressList);
  get cc(): readonly Address[];
  set cc(addresses: AddressList);
  get replyTo(): readonly Address[];
  set replyTo(addresses: AddressList);
  /** The Date field, or null where there is none that can be read. */
  readonly date: Date | null;
  /** With its angle brackets; "" where there is none. */
  readonly messageId: string;

  // -- Content ----------------------------------------------------------------------------------------------------------------------

  /** The plain text; made from the HTML where the message has no plain part; "" where it has neither. */
  text(): Promise<string>;
  /** The HTML as the sender wrote it: never show it to anyone as it is. "" where the message has none. */
  html(): Promise<string>;
  /** The whole message, octet by octet, as it was when the run began. */
  raw(): Promise<Uint8Array>;
  /** Parts with a file name or a disposition of `attachment`, and other parts that are no text. */
  readonly attachments: readonly Attachment[];
  /** What could not be read as MIME wants it. A defect never stops a message. */
  readonly defects: readonly string[];
  /**
   * Adds a paragraph to the end of the plain text, keeping every other part as it is. Gives false, and changes nothing, where the message has
   * no plain text part or the text is signed or encrypted.
   */
  appendText(text: string): Promise<boolean>;

  // -- Verdicts: one a run; a second one is a fault. Giving one does not leave the handler: `return` does ----------------------------

  /** The client is answered 5yz and told not to try again. The text may name a reason, in one line. */
  refuse(text: string, reply?: { readonly code?: number; readonly status?: string }): void;
  /** The client is answered 4yz and will try again. */
  defer(text: string, reply?: { readonly code?: number; readonly status?: string }): void;
  /** The client is answered 250; nobody gets the message; the log says so. */
  discard(reason: string): void;
  /** The client is answered 250; the message is kept in badmail, with this script's edits and the reason. */
  quarantine(reason: string): void;
  /** Scripts and sinks behind this one are not asked. The message goes on, edits included. */
  settle(): void;
}

/** Of the session the message came in by. */
export interface Session {
  readonly id: string;
  /** Name of the listener in the configuration. */
  readonly listener: string;
  /** Address of the client, IPv4 or IPv6. */
  readonly ip: string;
  /** The client's name in DNS, or null where it was not looked up. */
  readonly host: string | null;
  /** What the client called itself. */
  readonly helo: string;
  /** The user who logged in, or null. */
  readonly user: string | null;
  /** Such as "TLSv1.3", or null for a connection in the clear. */
  readonly tls: string | null;
  /** What SPF, DKIM, DMARC and ARC said; null where the message was not checked: a user's, one from your own network, one in `onarrival test`. */
  readonly auth: AuthResults | null;
}

/** Results in the words of RFC 8601. "temperror" is for now: DNS did not answer, or there was no time. A failure stops nothing: what it means is yours to say. */
export interface AuthResults {
  readonly spf: {
    readonly result: "pass" | "fail" | "softfail" | "neutral" | "none" | "temperror" | "permerror";
    /** Whose policy was asked. */
    readonly domain: string;
    /** "helo" for the null reverse-path. */
    readonly identity: "mailfrom" | "helo";
  };
  /** One for each signature, from the top; empty where there is none. */
  readonly dkim: readonly {
    readonly result: "pass" | "fail" | "neutral" | "policy" | "none" | "temperror" | "permerror";
    /** Who signed. */
    readonly domain: string;
    readonly selector: string;
    /** Whether it speaks for the domain of the From field. */
    readonly aligned: boolean;
    readonly reason: string;
  }[];
  readonly dmarc: {
    /** "permerror" where the From field names no domain, or several. */
    readonly result: "pass" | "fail" | "none" | "temperror" | "permerror";
    /** Domain of the From field. */
    readonly domain: string;
    /** What that domain asks for in mail that fails. */
    readonly policy: "none" | "quarantine" | "reject" | null;
    /** What passed and speaks for that domain. */
    readonly alignedBy: readonly ("spf" | "dkim")[];
  };
  readonly arc: {
    readonly result: "pass" | "fail" | "none" | "temperror";
    /** Domains that sealed it, the first one first. */
    readonly sealers: readonly string[];
  };
  /** The client's name in DNS, only where it leads back to its address. */
  readonly iprev: { readonly result: "pass" | "fail" | "temperror" | "permerror"; readonly host: string | null };
}

/** Who sent the message and who gets it, whatever its header says. */
export interface Envelope {
  /** The reverse-path: where failure reports go. null is the null one, `<>`. */
  from: string | null;
  readonly to: readonly string[];
  /** One more recipient; one that is there already is not added again. */
  add(recipient: string): void;
  /** Gives false where it was not there. Without any recipient left the message is discarded, and the log says so. */
  remove(recipient: string): boolean;
  /** Another recipient, or several, in the place of one. Gives false where it was not there. */
  replace(recipient: string, ...by: readonly string[]): boolean;
  /** These recipients and no others. */
  redirect(...recipients: readonly string[]): void;
}

/** Fields are named without regard to case; values are decoded and unfolded. Untouched fields keep every octet. */
export interface Headers extends Iterable<readonly [name: string, value: string]> {
  /** The first of that name. */
  get(name: string): string | undefined;
  getAll(name: string): readonly string[];
  has(name: string): boolean;
  /** Replaces the first of that name in its place and removes the others; adds the field where there is none. */
  set(name: string, value: string): void;
  /** One more field, at the end of the header. A value is one line: CR, LF and NUL are a fault. */
  add(name: string, value: string): void;
  /** All of that name. Gives how many there were. */
  remove(name: string): number;
}

export interface Address {
  /** `local-part@domain`. */
  readonly address: string;
  /** Decoded; "" where there is none. */
  readonly name: string;
}

export type AddressList = string | Address | readonly (string | Address)[];

export interface Attachment {
  /** Where it is in the message: "2", "1.3". */
  readonly part: string;
  /** As the sender wrote it, decoded: never use it as a path. */
  readonly fileName: string | undefined;
  /** In lower case: "application/pdf". */
  readonly contentType: string;
  /** Octets, decoded. */
  readonly size: number;
  readonly contentId: string | undefined;
  /** Whether the HTML shows it in its place. */
  readonly inline: boolean;
  /** Decoded. */
  content(): Promise<Uint8Array>;
  /** Takes it out of the message, leaving every other part as it is. */
  remove(): void;
}
