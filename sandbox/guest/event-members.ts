/**
 * Runs inside the isolate: what a handler of each event may use, by the names of the API (api-mail-events.ts, api-session-events.ts). Facts are the event's own,
 * verdicts and powers what a script may answer; `mail` says how much of the message is there.
 */
import { append, createList } from "./primordials.ts";

export interface EventMembers {
  /** Facts of the event, in the step's `subject`. */
  readonly facts: readonly string[];
  readonly verdicts: readonly string[];
  /** Calls of the server's subject. */
  readonly powers: readonly string[];
  /** `edit`: all of it; `content`: all but the envelope; `read`; null: there is no message. */
  readonly mail: "edit" | "content" | "read" | null;
  /** Verbs of the message beside its content. */
  readonly ways: readonly string[];
}

const inSession = ["refuse", "defer", "drop", "settle"];
const inMail = ["refuse", "defer", "discard", "quarantine", "settle"];
const submissions = ["submit", "reply", "forward"];
const none: readonly string[] = [];

const session = (facts: readonly string[], powers: readonly string[] = none): EventMembers => ({
  facts,
  verdicts: inSession,
  powers,
  mail: null,
  ways: none,
});
const outcome = (facts: readonly string[]): EventMembers => ({
  facts,
  verdicts: none,
  powers: none,
  mail: "read",
  ways: submissions,
});

export const eventMembers: Readonly<Record<string, EventMembers>> = {
  __proto__: null as never,
  onConnect: session(["session"], ["setBanner"]),
  onHelo: session(["session", "verb", "name", "keywords"], ["offer", "hide"]),
  onMailFrom: session(["session", "from", "parameters", "size"], ["rewrite"]),
  onRcptTo: session(["session", "envelope", "recipient", "parameters"], ["rewrite", "accept"]),
  onData: session(["session", "envelope"]),
  onHeaders: session(["session", "envelope"], ["dropBody"]),
  onArrival: {
    facts: none,
    verdicts: inMail,
    powers: none,
    mail: "edit",
    ways: ["submit", "reply", "forward", "route", "fileInto", "redirect"],
  },
  onPreCategorize: { facts: ["attemptId"], verdicts: inMail, powers: none, mail: "content", ways: submissions },
  onPostCategorize: {
    facts: ["attemptId"],
    verdicts: inMail,
    powers: none,
    mail: "content",
    ways: ["submit", "reply", "forward", "route", "fileInto"],
  },
  onRoute: {
    facts: ["attemptId", "domain", "recipients", "nextHop"],
    verdicts: ["refuse", "defer"],
    powers: ["route"],
    mail: "read",
    ways: none,
  },
  onLocalDelivery: {
    facts: ["attemptId", "recipient", "nextHop", "folder"],
    verdicts: inMail,
    powers: ["fileInto"],
    mail: "read",
    ways: submissions,
  },
  onDsn: {
    facts: ["kind", "recipients", "reportText", "reportSubject"],
    verdicts: ["discard"],
    powers: ["setReportText", "setReportSubject"],
    mail: "read",
    ways: none,
  },
  onDelivered: outcome(["attemptId", "recipient", "nextHop", "lastReply"]),
  onDeferred: outcome(["attemptId", "recipient", "nextHop", "lastReply", "reason", "nextAttemptAt"]),
  onFailed: outcome(["attemptId", "recipient", "nextHop", "lastReply", "reason"]),
};

/** In the order they are named in. */
const eventNames: readonly string[] = [
  "onConnect",
  "onHelo",
  "onMailFrom",
  "onRcptTo",
  "onData",
  "onHeaders",
  "onArrival",
  "onPreCategorize",
  "onPostCategorize",
  "onRoute",
  "onLocalDelivery",
  "onDsn",
  "onDelivered",
  "onDeferred",
  "onFailed",
];

/** Edits of the message's content; its setters are those of `editedValues`. */
export const contentVerbs: readonly string[] = ["setText", "setHtml", "appendText", "appendHtml", "attach"];

/** Every verb there is at any event. */
export const verbs: readonly string[] = [
  "refuse",
  "defer",
  "drop",
  "discard",
  "quarantine",
  "settle",
  "submit",
  "reply",
  "forward",
  "route",
  "fileInto",
  "redirect",
  "setText",
  "setHtml",
  "appendText",
  "appendHtml",
  "attach",
  "setBanner",
  "offer",
  "hide",
  "rewrite",
  "accept",
  "dropBody",
  "setReportText",
  "setReportSubject",
];

export function hasVerb(event: string, verb: string): boolean {
  const { verdicts, powers, ways, mail } = eventMembers[event]!;
  if (includes(verdicts, verb) || includes(powers, verb) || includes(ways, verb)) return true;
  return (mail === "edit" || mail === "content") && includes(contentVerbs, verb);
}

/** `onArrival, onPostCategorize and onLocalDelivery` */
export function eventsWith(holds: (event: string) => boolean): string {
  const names = createList<string>();
  for (let i = 0; i < eventNames.length; i++) if (holds(eventNames[i]!)) names[names.length] = eventNames[i]!;
  let text = "";
  for (let i = 0; i < names.length; i++)
    text += i === 0 ? names[i]! : `${i === names.length - 1 ? " and " : ", "}${names[i]!}`;
  return text;
}

export function includes(list: readonly string[], word: string): boolean {
  for (let i = 0; i < list.length; i++) if (list[i] === word) return true;
  return false;
}

/** Those of the verbs that an event does not have. */
export function missingVerbs(event: string): readonly string[] {
  const missing: string[] = [];
  for (let i = 0; i < verbs.length; i++) if (!hasVerb(event, verbs[i]!)) append(missing, verbs[i]!);
  return missing;
}
