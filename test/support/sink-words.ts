/**
 * Sinks in words, for transcripts: `EVENT [RULE] VERB REST`, the rule in brackets and not needed. Verbs:
 *
 *     refuse, defer, drop        CODE STATUS text
 *     discard, quarantine        reason
 *     settle · throw · hang      `hang` never answers
 *     accept · scram             at onAuth: a user called ann whose secret is `secret`
 *     banner                     at onConnect: text
 *     offer, hide                at onHelo: KEYWORD parameters …
 *     rewrite                    at onMailFrom and onRcptTo: mailboxes
 *     accept-as                  at onRcptTo: local or relay
 *     drop-body                  at onHeaders
 *     allow                      at onOversize: octets
 *     answer-recipient           at onEndOfData: MAILBOX CODE STATUS text
 *     consume                    at onCommand: CODE STATUS text; a status `-` is none
 *     token                      at onCommand: AUTH X-TOKEN, a dialogue of its own; the token `sesame` is ann's
 *     capture-throw              at onCommand: takes the next line and fails
 *     text, append               at onReply: text, `\n` between lines
 *     code                       at onReply: CODE STATUS
 */
import type { Binding } from "../../src/events/binding.ts";
import type { CapturedLine } from "../../src/events/dialogue.ts";
import { isEventName } from "../../src/events/event-table.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import type {
  AuthSubject,
  CommandSubject,
  ConnectSubject,
  EndOfDataSubject,
  HeadersSubject,
  HeloSubject,
  MailFromSubject,
  RcptToSubject,
  ReplySubject,
} from "../../src/events/subject.ts";
import type { OversizeSubject } from "../../src/events/subject-transport.ts";
import { defer, discard, drop, quarantine, refuse, settle, type Verdict } from "../../src/events/verdict.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import { deriveScramCredentials } from "../../src/smtp/scram.ts";
import { createBinding } from "./events.ts";

export function readSink(words: string, index: number): Binding {
  const match = /^(\w+)\s+(?:\[(.*)\]\s+)?([\w-]+)(?:\s+(.*))?$/.exec(words);
  const event = match?.[1] ?? "";
  if (!match || !isEventName(event)) throw new Error(`cannot read the sink ${JSON.stringify(words)}`);
  const [, , condition, power, rest = ""] = match;
  const handler = createHandler(power!, rest);
  return createBinding(event, handler, {
    id: `sink-${index}`,
    rule: condition === undefined ? null : parseRule(condition, event),
    // What hangs is for the listener to notice.
    timeoutMs: 3_600_000,
  });
}

function createHandler(verb: string, rest: string): AnyHandler {
  const power = powers[verb];
  if (power) return (subject) => power(subject as never, rest);
  if (verb === "hang") return () => new Promise(() => {});
  if (verb === "throw") {
    return () => {
      throw new Error(rest || "it fails");
    };
  }
  const verdict = createVerdict(verb, rest);
  return () => verdict;
}

/** What subjects of single events let a sink do. */
const powers: Readonly<Record<string, (subject: never, rest: string) => Verdict | void>> = {
  accept({ user, secret, acceptAs }: AuthSubject) {
    if (user === "ann" && secret === "secret") acceptAs(user);
  },
  scram({ user, verifyWith }: AuthSubject) {
    if (user === "ann") verifyWith(deriveScramCredentials("secret", { salt: Buffer.from("salt"), iterations: 4_096 }));
  },
  banner({ setBanner }: ConnectSubject, rest) {
    setBanner(rest);
  },
  offer({ offer }: HeloSubject, rest) {
    const [keyword, ...parameters] = rest.split(" ");
    offer(keyword!, ...parameters);
  },
  hide({ hide }: HeloSubject, rest) {
    hide(rest);
  },
  rewrite(subject: MailFromSubject | RcptToSubject, rest) {
    const [first, ...more] = rest.split(" ").map(parseMailbox);
    if ("transaction" in subject) subject.rewrite(first!, ...more);
    else subject.rewrite(first!);
  },
  "accept-as"({ accept }: RcptToSubject, rest) {
    accept(rest as "local" | "relay");
  },
  allow({ allow }: OversizeSubject, rest) {
    allow(Number(rest));
  },
  "drop-body"({ dropBody }: HeadersSubject) {
    dropBody();
  },
  "answer-recipient"({ answerRecipient }: EndOfDataSubject, rest) {
    const [, mailbox, words] = /^(\S+) (.*)$/.exec(rest)!;
    answerRecipient(parseMailbox(mailbox!), createVerdict(words!.startsWith("4") ? "defer" : "refuse", words!));
  },
  consume({ consume }: CommandSubject, rest) {
    const [, code, status, text] = /^(\d{3}) (\S+) (.*)$/.exec(rest)!;
    consume({ code: Number(code), status: status === "-" ? undefined : status, text: text! });
  },
  token({ argument, capture }: CommandSubject) {
    if (argument.toUpperCase() !== "X-TOKEN") return;
    capture({ code: 334, status: undefined, text: "token" }, ({ line, consume, acceptAs }: CapturedLine) => {
      if (line !== "sesame") return refuse("Not this one", { code: 535, status: "5.7.8" });
      acceptAs("ann");
      consume({ code: 235, status: "2.7.0", text: "Open" });
      return undefined;
    });
  },
  "capture-throw"({ capture }: CommandSubject) {
    capture({ code: 334, status: undefined, text: "go on" }, () => {
      throw new Error("it fails");
    });
  },
  text({ replaceText }: ReplySubject, rest) {
    replaceText(rest.replaceAll("\\n", "\n"));
  },
  append({ append }: ReplySubject, rest) {
    append(rest);
  },
  code({ setCode }: ReplySubject, rest) {
    const [code, status] = rest.split(" ");
    setCode(Number(code), status);
  },
};

function createVerdict(verb: string, rest: string): Verdict {
  const [, code, status, text] = /^(\d{3}) (\d\.\d+\.\d+) (.*)$/.exec(rest) ?? [undefined, undefined, undefined, rest];
  const codes = { ...(code === undefined ? {} : { code: Number(code) }), ...(status === undefined ? {} : { status }) };
  switch (verb) {
    case "refuse":
      return refuse(text!, codes);
    case "defer":
      return defer(text!, codes);
    case "drop":
      return drop(text!, codes);
    case "discard":
      return discard(rest);
    case "quarantine":
      return quarantine(rest);
    case "settle":
      return settle;
    default:
      throw new Error(`there is no verb ${verb}`);
  }
}
