/**
 * The subjects of a client's events, with the powers they give: what a sink says by them is kept here until the reception takes it up.
 * Powers are fields, so that a sink may take them out of its subject: `({ user, acceptAs }) => …`.
 */
import type {
  AuthSubject,
  ConnectSubject,
  HeadersSubject,
  HeloSubject,
  MailFromSubject,
  RcptToSubject,
  ReplySubject,
} from "../events/subject.ts";
import { Revocable } from "../events/undo.ts";
import type { RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox, type Mailbox, parseMailbox } from "../mail/mailbox.ts";
import { formatReversePath, type ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";
import type { ScramCredentials } from "../smtp/scram.ts";
import { checkMayRecode, checkReply, checkReplyLine, checkReplyText } from "./reply-check.ts";
import type { InboundSession, InboundTransaction } from "./session.ts";

export class ConnectDecision extends Revocable implements ConnectSubject {
  readonly session: InboundSession;
  /** "" where nobody set one. */
  banner = "";

  constructor(session: InboundSession) {
    super();
    this.session = session;
  }

  readonly setBanner = (text: string): void => {
    checkReplyLine(text);
    this.banner = text;
    this.note(`banner ${text}`);
  };
}

export class HeloDecision extends Revocable implements HeloSubject {
  readonly session: InboundSession;
  readonly verb: HeloSubject["verb"];
  readonly name: string;
  keywords: readonly string[];

  constructor(session: InboundSession, facts: Pick<HeloSubject, "verb" | "name" | "keywords">) {
    super();
    this.session = session;
    this.verb = facts.verb;
    this.name = facts.name;
    this.keywords = facts.keywords;
  }

  readonly offer = (keyword: string, ...parameters: readonly string[]): void => {
    const added = [keyword.toUpperCase(), ...parameters];
    // RFC 5321 §4.1.1.1.
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(added[0]!) || !parameters.every((one) => /^[\x21-\x7e]+$/.test(one))) {
      throw new Fault(
        "reply.invalid",
        `Cannot offer ${JSON.stringify(keyword)}: expected a keyword and words behind it`,
      );
    }
    const there = this.keywords.find((line) => keywordOf(line) === added[0]);
    const line = there === undefined ? added.join(" ") : [there, ...parameters].join(" ");
    checkReplyLine(line);
    this.note(`offer ${added.join(" ")}`);
    this.keywords =
      there === undefined ? [...this.keywords, line] : this.keywords.map((one) => (one === there ? line : one));
  };

  readonly hide = (keyword: string): void => {
    this.note(`hide ${keyword}`);
    this.keywords = this.keywords.filter((line) => keywordOf(line) !== keyword.toUpperCase());
  };
}

function keywordOf(line: string): string {
  return line.split(" ", 1)[0]!.toUpperCase();
}

export class AuthDecision extends Revocable implements AuthSubject {
  readonly session: InboundSession;
  readonly mechanism: string;
  readonly user: string;
  readonly secret: string | null;
  acceptedAs: string | null = null;
  credentials: ScramCredentials | null = null;
  provedAs: string;

  constructor(session: InboundSession, facts: Pick<AuthSubject, "mechanism" | "user" | "secret">) {
    super();
    this.session = session;
    this.mechanism = facts.mechanism;
    this.user = facts.user;
    this.secret = facts.secret;
    this.provedAs = facts.user;
  }

  readonly acceptAs = (user: string): void => {
    this.acceptedAs = user;
    this.note(`accept as ${user}`);
  };

  readonly verifyWith = (credentials: ScramCredentials, user = this.user): void => {
    this.credentials = credentials;
    this.note(`verify ${user}`);
    this.provedAs = user;
  };
}

/** What a sink made is read like what a client says: it goes onto the wire and into files. @throws {Fault} `address.syntax`, `address.too-long` */
function checkedMailbox(mailbox: Mailbox): Mailbox {
  return parseMailbox(formatMailbox(mailbox));
}

export class MailFromDecision extends Revocable implements MailFromSubject {
  readonly session: InboundSession;
  readonly parameters: MailFromSubject["parameters"];
  readonly options: MailFromSubject["options"];
  reversePath: ReversePath;

  constructor(session: InboundSession, facts: Pick<MailFromSubject, "reversePath" | "parameters" | "options">) {
    super();
    this.session = session;
    this.reversePath = facts.reversePath;
    this.parameters = facts.parameters;
    this.options = facts.options;
  }

  readonly rewrite = (reversePath: ReversePath): void => {
    const checked = reversePath && checkedMailbox(reversePath);
    this.note(`rewrite to ${formatReversePath(checked)}`);
    this.reversePath = checked;
  };
}

export class RcptToDecision extends Revocable implements RcptToSubject {
  readonly session: InboundSession;
  readonly transaction: InboundTransaction;
  readonly parameters: RcptToSubject["parameters"];
  readonly options: RcptToSubject["options"];
  forwardPaths: readonly [Mailbox, ...Mailbox[]];
  accepted: RcptToSubject["accepted"] = null;

  constructor(
    session: InboundSession,
    facts: Pick<RcptToSubject, "forwardPath" | "parameters" | "options"> & { readonly transaction: InboundTransaction },
  ) {
    super();
    this.session = session;
    this.transaction = facts.transaction;
    this.parameters = facts.parameters;
    this.options = facts.options;
    this.forwardPaths = [facts.forwardPath];
  }

  get forwardPath(): Mailbox {
    return this.forwardPaths[0];
  }

  /** What is kept with the recipients; undefined where nothing was asked for them, and nobody took them. */
  get recipientOptions(): RecipientOptions | undefined {
    const asked = this.parameters.size > 0 ? this.options : undefined;
    return this.accepted === null ? asked : { ...asked, accepted: this.accepted };
  }

  readonly rewrite = (...forwardPaths: readonly [Mailbox, ...Mailbox[]]): void => {
    const [first, ...others] = forwardPaths;
    const checked = [checkedMailbox(first), ...others.map(checkedMailbox)] as const;
    this.note(`rewrite to ${checked.map(formatMailbox).join(", ")}`);
    this.forwardPaths = checked;
  };

  readonly accept = (as: "local" | "relay"): void => {
    this.accepted = as;
    this.note(`accept as ${as}`);
  };
}

export class HeadersDecision extends Revocable implements HeadersSubject {
  readonly session: InboundSession;
  readonly transaction: InboundTransaction;
  readonly header: HeadersSubject["header"];
  bodyIsWanted = true;

  constructor({ session, transaction, header }: Pick<HeadersDecision, "session" | "transaction" | "header">) {
    super();
    this.session = session;
    this.transaction = transaction;
    this.header = header;
  }

  readonly dropBody = (): void => {
    this.bodyIsWanted = false;
    this.note("drop body");
  };
}

export class ReplyDecision extends Revocable implements ReplySubject {
  readonly session: InboundSession;
  readonly verb: string;
  reply: Reply;

  constructor(session: InboundSession, verb: string, reply: Reply) {
    super();
    this.session = session;
    this.verb = verb;
    this.reply = reply;
  }

  readonly replaceText = (text: string): void => {
    checkReplyText(text);
    this.reply = { ...this.reply, text };
    this.note(`text ${text}`);
  };

  readonly append = (line: string): void => {
    checkReplyLine(line);
    const text = this.reply.text === "" ? line : `${this.reply.text}\n${line}`;
    checkReplyText(text);
    this.reply = { ...this.reply, text };
    this.note(`append ${line}`);
  };

  readonly setCode = (code: number, status?: string): void => {
    checkMayRecode(this.verb, this.reply.code, code);
    const kept = Math.floor(code / 100) === Math.floor(this.reply.code / 100) ? this.reply.status : undefined;
    const reply = {
      ...this.reply,
      code,
      status: status ?? kept ?? (code >= 400 ? `${String(code)[0]}.0.0` : undefined),
    };
    checkReply(reply);
    this.reply = reply;
    this.note(`code ${code}`);
  };
}
