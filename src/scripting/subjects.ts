/**
 * Events as scripts see them: the facts of each (sandbox/api-session-events.ts, api-mail-events.ts), which effects it takes, and its powers as calls of the server's
 * subject. What a run asks for is checked here once more: the sandbox is not trusted to have done so.
 */
import type { Json } from "../../sandbox/api.ts";
import type { Effects, MailInput, PowerCall, SubjectInput } from "../../sandbox/protocol.ts";
import type { EventName, SubjectOf } from "../events/event.ts";
import type { Session, Transaction } from "../events/subject.ts";
import { fieldValue } from "../mail/header.ts";
import { formatMailbox, type Mailbox, parseMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatNextHop } from "../mail/next-hop.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";
import { createMailInput } from "./mail-input.ts";

/** What the sandbox is sent of an event. */
export interface EventInput {
  readonly mail: MailInput | null;
  readonly subject: SubjectInput;
}

type Arguments = readonly Json[];
type Effect = Exclude<keyof Effects, "powers">;

/** One event, as far as scripts go. */
interface ScriptEvent<Name extends EventName> {
  readonly facts: (subject: SubjectOf<Name>) => SubjectInput;
  readonly effects: readonly Effect[];
  readonly powers?: { readonly [power: string]: (subject: SubjectOf<Name>, args: Arguments) => void };
}

const content: readonly Effect[] = ["fields", "splices", "parts", "notes", "submissions"];
const everything: readonly Effect[] = ["from", "to", ...content, "routes", "folders", "refusals"];
const attempt = ({ attemptId }: { readonly attemptId: string }): SubjectInput => ({ attemptId });

const scriptEvents: { readonly [Name in EventName]?: ScriptEvent<Name> } = {
  onConnect: {
    facts: ({ session }) => ({ session: sessionFacts(session) }),
    effects: [],
    powers: { setBanner: (subject, [text]) => subject.setBanner(textOf(text)) },
  },
  onHelo: {
    facts: ({ session, verb, name, keywords }) => ({ session: sessionFacts(session), verb, name, keywords }),
    effects: [],
    powers: {
      offer: (subject, [keyword, ...parameters]) => subject.offer(textOf(keyword), ...parameters.map(textOf)),
      hide: (subject, [keyword]) => subject.hide(textOf(keyword)),
    },
  },
  onMailFrom: {
    facts: ({ session, reversePath, parameters, options }) => ({
      session: sessionFacts(session),
      from: pathFact(reversePath),
      parameters: Object.fromEntries(parameters),
      size: options.sizeOctets ?? null,
    }),
    effects: [],
    powers: { rewrite: (subject, [from]) => subject.rewrite(from === null ? null : mailboxOf(from)) },
  },
  onRcptTo: {
    facts: ({ session, transaction, forwardPath, parameters }) => ({
      session: sessionFacts(session),
      envelope: envelopeFacts(transaction),
      recipient: formatMailbox(forwardPath),
      parameters: Object.fromEntries(parameters),
    }),
    effects: [],
    powers: {
      rewrite: (subject, [first, ...others]) => subject.rewrite(mailboxOf(first), ...others.map(mailboxOf)),
      accept(subject, [as]) {
        if (as !== "local" && as !== "relay") throw invalid('accept takes "local" or "relay"');
        subject.accept(as);
      },
    },
  },
  onData: {
    facts: ({ session, transaction }) => ({ session: sessionFacts(session), envelope: envelopeFacts(transaction) }),
    effects: [],
  },
  onHeaders: {
    facts: ({ session, transaction }) => ({ session: sessionFacts(session), envelope: envelopeFacts(transaction) }),
    effects: [],
    powers: { dropBody: (subject) => subject.dropBody() },
  },
  onArrival: { facts: () => ({}), effects: everything },
  onPreCategorize: { facts: attempt, effects: content },
  onPostCategorize: { facts: attempt, effects: [...content, "routes", "folders"] },
  onRoute: {
    facts: ({ attemptId, domain, recipients, nextHop }) => ({
      attemptId,
      domain,
      recipients: recipients.map(formatMailbox),
      nextHop: nextHop && formatNextHop(nextHop),
    }),
    effects: [],
    powers: { route: (subject, [nextHop]) => subject.to(textOf(nextHop)) },
  },
  onLocalDelivery: {
    facts: ({ attemptId, forwardPath, nextHop, folder }) => ({
      attemptId,
      recipient: formatMailbox(forwardPath),
      nextHop: formatNextHop(nextHop),
      folder,
    }),
    effects: ["submissions"],
    powers: { fileInto: (subject, [folder]) => subject.fileInto(folder === null ? null : textOf(folder)) },
  },
  onDsn: {
    facts: ({ kind, recipients, text, subject }) => ({
      kind,
      recipients: recipients.map(({ mailbox, status, reason }) => ({
        address: formatMailbox(mailbox),
        status,
        reason,
      })),
      reportText: text,
      reportSubject: subject,
    }),
    effects: [],
    powers: {
      setReportText: (subject, [text]) => subject.setText(textOf(text)),
      setReportSubject: (subject, [text]) => subject.setSubject(textOf(text)),
    },
  },
  onDelivered: { facts: outcomeFacts, effects: ["submissions"] },
  onDeferred: {
    facts: (subject) => ({
      ...outcomeFacts(subject),
      reason: subject.reason,
      nextAttemptAt: subject.nextAttemptAt,
    }),
    effects: ["submissions"],
  },
  onFailed: { facts: (subject) => ({ ...outcomeFacts(subject), reason: subject.reason }), effects: ["submissions"] },
};

/** Events scripts can handle. */
export const scriptedEvents: readonly string[] = Object.keys(scriptEvents);

/** The event as it goes over to the sandbox. @throws {Fault} `binding.invalid` where scripts cannot handle it */
export function eventInput<Name extends EventName>(event: Name, subject: SubjectOf<Name>): EventInput {
  // What a subject does not carry is simply not there.
  const { message } = subject as { readonly message?: Message };
  const { header, session, transaction } = subject as Partial<SubjectOf<"onHeaders">>;
  return {
    mail: message
      ? createMailInput(message)
      : header && session && transaction
        ? headerInput({ header, session, transaction })
        : null,
    subject: scriptEventOf(event).facts(subject),
  };
}

/** Whether an event takes what a run asks for. @throws {Fault} `script.action-invalid` */
export function checkEffects(event: EventName, effects: Effects): void {
  const allowed: readonly string[] = scriptEventOf(event).effects;
  const wrong = Object.keys(effects).find((key) => key !== "powers" && !allowed.includes(key));
  if (wrong !== undefined) throw invalid(`A script cannot change ${wrong} at ${event}`);
}

/** Does what a run asked of the event's subject, in order. @throws {Fault} `script.action-invalid`, and those of the subject; what was done before stays done */
export function callPowers<Name extends EventName>(
  event: Name,
  subject: SubjectOf<Name>,
  powers: readonly PowerCall[],
): void {
  const known = scriptEventOf(event).powers ?? {};
  for (const { name, args } of powers) {
    if (!Object.hasOwn(known, name)) throw invalid(`There is no ${name} at ${event}`);
    known[name]!(subject, args);
  }
}

function scriptEventOf<Name extends EventName>(event: Name): ScriptEvent<Name> {
  const found = scriptEvents[event];
  if (!found) throw new Fault("binding.invalid", `Cannot run a script at ${event}: expected a native sink`);
  return found;
}

function sessionFacts({ id, listener, ip, host, helo, user, tls }: Session): SubjectInput {
  // Nothing was checked yet: there is no message.
  return { id, listener, ip, host, helo, user, tls: tls?.version ?? null, auth: null };
}

function envelopeFacts({ reversePath, recipients }: Transaction): {
  readonly from: string | null;
  readonly to: readonly string[];
} {
  return { from: pathFact(reversePath), to: recipients.map(formatMailbox) };
}

/** The header before there is a message. */
function headerInput({
  header,
  session,
  transaction,
}: Pick<SubjectOf<"onHeaders">, "header" | "session" | "transaction">): MailInput {
  const { id, listener, ip, host, helo, user, tls } = session;
  return {
    id: transaction.id,
    receivedAt: session.startedAt,
    session: { id, listener, ip, host, helo, user, tls: tls?.version ?? null, auth: null },
    envelope: envelopeFacts(transaction),
    fields: header.fields.map((field) => [field.name, fieldValue(field)] as const),
    size: header.octets.length,
  };
}

function outcomeFacts({
  attemptId,
  forwardPath,
  nextHop,
  reply,
}: {
  readonly attemptId: string;
  readonly forwardPath: Mailbox;
  readonly nextHop: string;
  readonly reply: Reply | null;
}): SubjectInput {
  return {
    attemptId,
    recipient: formatMailbox(forwardPath),
    nextHop,
    lastReply: reply && { code: reply.code, status: reply.status ?? null, text: reply.text },
  };
}

function pathFact(path: ReversePath): string | null {
  return path && formatMailbox(path);
}

function textOf(argument: Json | undefined): string {
  if (typeof argument !== "string") throw invalid("A power was called with something else than a text");
  return argument;
}

/** @throws {Fault} `address.syntax`, `address.too-long` */
function mailboxOf(argument: Json | undefined): Mailbox {
  return parseMailbox(textOf(argument));
}

function invalid(message: string): Fault {
  return new Fault("script.action-invalid", message);
}
