/** What a script sees and does of a message. Types only. */

/**
 * A message that can be read. No reading needs `await` but those that look inside the body: `text`, `html`, `raw`, and an attachment's `content` and `text`. They give
 * what was there when the run began, whatever was edited since.
 */
export interface ReadableMail {
  /** The id the client is told with the 250, and every log line carries. */
  readonly id: string;
  readonly receivedAt: Date;
  /** Octets of the message as it came in. */
  readonly size: number;
  readonly session: Session;
  readonly envelope: ReadableEnvelope;
  /** Recipients that met the script's `rule`; all of them where it has no `RCPT TO` condition. */
  readonly matchedRecipients: readonly string[];
  readonly headers: ReadableHeaders;
  /** Decoded; "" where there is none. */
  readonly subject: string;
  /** First mailbox of the From field, or null. */
  readonly from: Address | null;
  /** Mailboxes of the field, groups taken apart. These are what the sender wrote; who gets the message says `envelope`. */
  readonly to: readonly Address[];
  readonly cc: readonly Address[];
  readonly replyTo: readonly Address[];
  /** The Date field, or null where there is none that can be read. */
  readonly date: Date | null;
  /** With its angle brackets; "" where there is none. */
  readonly messageId: string;
  /** The plain text; made from the HTML where the message has no plain part; "" where it has neither. */
  text(): Promise<string>;
  /** The HTML as the sender wrote it: never show it to anyone as it is. "" where the message has none. */
  html(): Promise<string>;
  /** The whole message, octet by octet. */
  raw(): Promise<Uint8Array>;
  /** Parts with a file name or a disposition of `attachment`, and other parts that are no text. */
  readonly attachments: readonly ReadableAttachment[];
  /** What could not be read as MIME wants it. A defect never stops a message. */
  readonly defects: readonly string[];
  /** What scripts and sinks have noted about this message so far: it is kept with it until it is delivered. */
  readonly notes: Readonly<Notes>;
}

/** JSON values by name; 16 KiB in all. `parent`, `released` and what begins with `onarrival.` are the server's. */
export type Notes = { [name: string]: Json };
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Octets, or a text that is written in UTF-8. */
export type Content = string | Uint8Array | ArrayBuffer;

/** A message that can be edited. Every octet that is not edited stays as it was. What a run writes is 25 MiB at most (`scripts.limits.content_max`). */
export interface Mail extends ReadableMail {
  readonly envelope: Envelope;
  readonly headers: Headers;
  /** Setting it replaces the field in its place. */
  subject: string;
  /** Set it to an address or to `Name <address>`. */
  get from(): Address | null;
  set from(address: Address | string);
  get to(): readonly Address[];
  set to(addresses: AddressList);
  get cc(): readonly Address[];
  set cc(addresses: AddressList);
  get replyTo(): readonly Address[];
  set replyTo(addresses: AddressList);
  readonly attachments: readonly Attachment[];
  readonly notes: Notes;

  // -- Content. What is signed or encrypted (S/MIME, OpenPGP) is never edited: the call is a fault, `mail.isProtected` tells before -----------

  /** Whether the content is signed or encrypted as a whole. `attach` and `appendText` may then `wrap` it: the original stays whole, as a part of a new message. */
  readonly isProtected: boolean;
  /** Another plain text. Where there is HTML as well it stays: set both, or they say different things. A message without a plain text gets one, before the HTML. */
  setText(text: string): Promise<void>;
  /** Another HTML; a message without HTML gets it as the alternative to its plain text. */
  setHtml(html: string): Promise<void>;
  /**
   * Adds a paragraph to the end of the plain text. Gives false, and changes nothing, where there is no plain text that can be edited; with `wrap` a protected
   * message is put into a new one that begins with the paragraph.
   */
  appendText(text: string, options?: { readonly wrap?: boolean }): Promise<boolean>;
  /** Adds to the end of the HTML's body. Gives false, and changes nothing, where there is no HTML that can be edited. */
  appendHtml(html: string): Promise<boolean>;
  /** One more attachment, at the end. */
  attach(attachment: NewAttachment, options?: { readonly wrap?: boolean }): Promise<void>;
}

export interface NewAttachment {
  readonly content: Content;
  readonly fileName: string;
  /** By the file name's ending where it is absent; "application/octet-stream" where that says nothing. */
  readonly contentType?: string;
  /** Shown in its place by HTML that names this id. */
  readonly contentId?: string;
}

/** Verdicts: one a run; a second one is a fault. Giving one does not leave the handler: `return` does. */
export interface Answers {
  /** The client is answered 5yz and told not to try again. The text may name a reason, in one line. Behind the 250 the sender gets a report. */
  refuse(text: string, reply?: ReplyOptions): void;
  /** The client is answered 4yz and will try again. Behind the 250 we try again. */
  defer(text: string, reply?: ReplyOptions): void;
}

export interface ReplyOptions {
  /** 550 to refuse, 451 to defer, unless given; of the same class. */
  readonly code?: number;
  /** Enhanced status, such as "5.7.1". */
  readonly status?: string;
}

export interface MessageAnswers extends Answers {
  /** The client is answered 250; nobody gets the message; the log says so. */
  discard(reason: string): void;
  /** The client is answered 250; the message is kept in badmail, with this script's edits and the reason. */
  quarantine(reason: string): void;
  /** Scripts and sinks behind this one are not asked. The message goes on, edits included. */
  settle(): void;
}

/** New messages, made by a script. They are kept in the same moment as the message in hand; where that is refused or deferred, they are not made. Needs the grant `submit`. */
export interface Submissions {
  /**
   * A message of your own. It runs through the queue like any other; the script that made it is not asked about it.
   * Gives the id it will have.
   */
  submit(message: NewMessage): string;
  /**
   * An answer to the sender, from the recipient, marked as automatic (RFC 3834). Gives null, and sends nothing, where nobody should be answered: to mail from
   * machines, lists and the null sender, to mail that is an automatic answer itself. Where this script has answered that sender within `onceWithin` (a day, unless
   * given; 0 answers every time) nothing is sent either, which is found out when the run is over: the log has it.
   */
  reply(message: ReplyMessage): string | null;
  /** The message as it is when the run is over, whole, to somebody else as well; the envelope's own recipients still get it. Needs no grant for recipients of our own domains. */
  forward(to: string | readonly string[], options?: { readonly from?: string | null }): string;
}

export interface NewMessage {
  readonly to: AddressList;
  readonly cc?: AddressList;
  /** On the envelope alone. */
  readonly bcc?: AddressList;
  /** The server's postmaster where it is absent. */
  readonly from?: Address | string;
  /** Where reports go; `from` where it is absent; null is nowhere. */
  readonly envelopeFrom?: string | null;
  readonly replyTo?: AddressList;
  readonly subject: string;
  readonly text?: string;
  readonly html?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly attachments?: readonly NewAttachment[];
}

export interface ReplyMessage extends Pick<NewMessage, "text" | "html" | "headers" | "attachments"> {
  /** "Re: " and the subject where it is absent. */
  readonly subject?: string;
  readonly from?: Address | string;
  /** Milliseconds. */
  readonly onceWithin?: number;
}

/** Where the message goes from here. */
export interface Ways {
  /** Next hop for recipients, before every route: "smtp://relay.example:2525", "lmtp://…", "https://…", "mx", "hold …" (docs/next-hops.md). For all, unless some are named. */
  route(nextHop: string, ...recipients: readonly string[]): void;
  /** Folder in the mailboxes of recipients of ours: "Junk", "Lists/dev". For all, unless some are named. */
  fileInto(folder: string, ...recipients: readonly string[]): void;
  /** These recipients and no others: short for `envelope.redirect`. */
  redirect(...recipients: readonly string[]): void;
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

export interface ReadableEnvelope {
  /** The reverse-path: where failure reports go. null is the null one, `<>`. */
  readonly from: string | null;
  readonly to: readonly string[];
}

/** Who sent the message and who gets it, whatever its header says. */
export interface Envelope extends ReadableEnvelope {
  from: string | null;
  /** One more recipient; one that is there already is not added again. */
  add(recipient: string): void;
  /** Gives false where it was not there. Without any recipient left the message is discarded, and the log says so. */
  remove(recipient: string): boolean;
  /** Another recipient, or several, in the place of one. Gives false where it was not there. */
  replace(recipient: string, ...by: readonly string[]): boolean;
  /** These recipients and no others. */
  redirect(...recipients: readonly string[]): void;
}

/** Fields are named without regard to case; values are decoded and unfolded. */
export interface ReadableHeaders extends Iterable<readonly [name: string, value: string]> {
  /** The first of that name. */
  get(name: string): string | undefined;
  getAll(name: string): readonly string[];
  has(name: string): boolean;
}

/** Untouched fields keep every octet. */
export interface Headers extends ReadableHeaders {
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

export interface ReadableAttachment {
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
  /** Decoded as its charset says; UTF-8 where it names none. */
  text(): Promise<string>;
  /** Decoded, piece by piece. */
  stream(): ReadableStream<Uint8Array>;
}

export interface Attachment extends ReadableAttachment {
  /** Takes it out of the message, leaving every other part as it is. The list of attachments is without it from then on. */
  remove(): void;
  /** Other content in its place; name and type stay unless given. A text is written in UTF-8. */
  replace(content: Content, options?: { readonly fileName?: string; readonly contentType?: string }): void;
  /** Another name for whoever saves it. */
  rename(fileName: string): void;
}
