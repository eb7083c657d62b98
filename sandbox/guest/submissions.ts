/** Runs inside the isolate: new messages, `submit`, `reply` and `forward`. What they say is read and checked at once, so that a script is told its own line; the server checks it again. */
import type { NewMessage, ReplyMessage } from "../api.ts";
import { addressesGiven, checkAddress, formatAddresses, formatAddressList, sameAddress } from "./addresses.ts";
import { whyNoAnswer } from "./auto-answer.ts";
import { attachmentGiven, putContent, textGiven } from "./content.ts";
import { checkField, describe, firstValue } from "./headers.ts";
import {
  append,
  getOwnPropertyNames,
  isArray,
  isInteger,
  lowerCase,
  matches,
  quote,
  slice,
  toText,
  trim,
} from "./primordials.ts";
import { alive, askChild, countAction, fail, invalid, type RunState } from "./run-state.ts";

/** A day, in milliseconds. */
const onceWithinDefaultMs = 86_400_000;
const onceWithinMsMax = 366 * 86_400_000;
const recipientsMax = 1_000;
const attachmentsMax = 100;
const headersMax = 100;
const submissionsMax = 1_000;
/** Message ids kept in References: the first and the last ones. RFC 5322 §3.6.4 sets no limit, lines do. */
const referencesLengthMax = 4_000;
const replyPrefix = /^re:[ \t]/;
/** Fields that have a property of their own, or that the server writes. */
const ownFields = [
  "from",
  "to",
  "cc",
  "bcc",
  "reply-to",
  "subject",
  "date",
  "message-id",
  "in-reply-to",
  "references",
  "mime-version",
  "received",
  "return-path",
  "delivered-to",
  "sender",
  "dkim-signature",
];
const contentField = /^(?:content-|resent-|arc-)/;

/** JSON of pairs, one after the other. */
class FieldList {
  json = "";

  add(state: RunState, name: string, value: string): void {
    checkField(state, name, value);
    countAction(state, name.length + value.length);
    this.json += `${this.json === "" ? "" : ","}[${quote(name)},${quote(value)}]`;
  }
}

export function submit(state: RunState, given: NewMessage): string {
  const message = objectGiven(alive(state), "submit", given) as NewMessage;
  const { to, cc, bcc, from, envelopeFrom, replyTo, subject } = message;
  const fields = new FieldList();
  let reversePath: string | null | undefined;
  if (from !== undefined) {
    const authors = addressesGiven(state, "From", from);
    if (authors.length !== 1) invalid(state, "A new message has one author in `from`");
    fields.add(state, "From", formatAddressList(authors));
    reversePath = authors[0]!.address;
  }
  const recipients: string[] = [];
  const toAll = addRecipients(state, "To", to, recipients);
  if (toAll !== "") fields.add(state, "To", toAll);
  if (cc !== undefined) fields.add(state, "Cc", addRecipients(state, "Cc", cc, recipients));
  if (bcc !== undefined) addRecipients(state, "Bcc", bcc, recipients);
  if (recipients.length === 0) invalid(state, "A new message has a recipient in `to`, `cc` or `bcc`");
  if (replyTo !== undefined) fields.add(state, "Reply-To", formatAddresses(state, "Reply-To", replyTo));
  if (typeof subject !== "string") invalid(state, `The subject of a new message is a text, not ${describe(subject)}`);
  fields.add(state, "Subject", subject);
  if (envelopeFrom !== undefined)
    reversePath = envelopeFrom === null ? null : checkAddress(state, envelopeFrom, "The reverse-path");
  addGivenFields(state, fields, message.headers, "auto-generated");
  return add(state, "submit", {
    from: reversePath,
    to: recipients,
    compose: composed(state, fields, message),
    onceWithinMs: undefined,
  });
}

export function reply(state: RunState, given: ReplyMessage): string | null {
  const message = objectGiven(alive(state), "reply", given) as ReplyMessage;
  const { subject, from, onceWithin } = message;
  if (onceWithin !== undefined && !(isInteger(onceWithin) && onceWithin >= 0 && onceWithin <= onceWithinMsMax))
    invalid(state, `onceWithin is a whole number of milliseconds, from 0 to ${onceWithinMsMax}`);
  if (subject !== undefined && typeof subject !== "string")
    invalid(state, `The subject of a reply is a text, not ${describe(subject)}`);
  const { mail, step } = state;
  const { to: envelopeTo } = mail.envelope;
  const sender = mail.envelope.from;
  const own = (step.matchedRecipients ?? envelopeTo)[0] ?? envelopeTo[0];
  if (from === undefined && own === undefined)
    return invalid(state, "A reply needs `from`: the message has no recipient");
  // As the message came, whatever this script has made of it: whom it is from does not change by that.
  const valuesOf = (name: string) => valuesThatCame(state, name);
  if (whyNoAnswer(sender, valuesOf, envelopeTo) !== null) return null;
  const fields = new FieldList();
  fields.add(state, "From", formatAddresses(state, "From", from ?? own));
  fields.add(state, "To", sender!);
  const original = firstValue(state, "Subject") ?? "";
  fields.add(state, "Subject", subject ?? (matches(replyPrefix, lowerCase(original)) ? original : `Re: ${original}`));
  addThread(state, fields, valuesOf);
  addGivenFields(state, fields, message.headers, "auto-replied");
  return add(state, "reply", {
    // RFC 3834 §3.3: so that nobody answers the answer.
    from: null,
    to: [sender!],
    compose: composed(state, fields, message),
    onceWithinMs: onceWithin ?? onceWithinDefaultMs,
  });
}

export function forward(state: RunState, to: unknown, options: unknown): string {
  const given = isArray(to) ? to : [to];
  const recipients: string[] = [];
  for (let i = 0; i < given.length; i++)
    addRecipient(alive(state), checkAddress(state, given[i], "A recipient"), recipients);
  if (recipients.length === 0) invalid(state, "forward takes an address, or a list of them");
  let from: string | null | undefined;
  if (options !== undefined) {
    const { from: reversePath } = objectGiven(state, "The options of forward", options) as { from?: unknown };
    if (reversePath !== undefined)
      from = reversePath === null ? null : checkAddress(state, reversePath, "The reverse-path");
  }
  return add(state, "forward", { from, to: recipients, compose: "null", onceWithinMs: undefined });
}

/** A message that was made whole: `content` is the number of its octets. It has the sender and the recipient that are given here, whatever its header says. */
export function submitRaw(
  state: RunState,
  kind: "submit" | "reply",
  from: string | null,
  to: string,
  content: number,
): string {
  return add(state, kind, { from, to: [to], compose: `{"raw":${toText(content)}}`, onceWithinMs: undefined });
}

function add(
  state: RunState,
  kind: "submit" | "reply" | "forward",
  what: {
    readonly from: string | null | undefined;
    readonly to: readonly string[];
    readonly compose: string;
    readonly onceWithinMs: number | undefined;
  },
): string {
  let to = "";
  let characters = what.compose.length;
  for (let i = 0; i < what.to.length; i++) {
    to += `${i === 0 ? "" : ","}${quote(what.to[i]!)}`;
    characters += what.to[i]!.length;
  }
  countAction(state, characters);
  if (state.submissionCount === submissionsMax)
    fail(state, "script.action-limit", `More than ${submissionsMax} new messages in one run`);
  const id = askChild("submission-id", toText(state.submissionCount)) as string;
  const from = what.from === undefined ? "" : `"from":${what.from === null ? "null" : quote(what.from)},`;
  const once = what.onceWithinMs === undefined ? "" : `"onceWithinMs":${toText(what.onceWithinMs)},`;
  const json = `{"kind":"${kind}","id":${quote(id)},${from}${once}"to":[${to}],"compose":${what.compose}}`;
  state.submissions += state.submissions === "" ? json : `,${json}`;
  state.submissionCount++;
  return id;
}

/** Texts and attachments, handed over; JSON of what the child composes the message of. */
function composed(state: RunState, fields: FieldList, { text, html, attachments }: ReplyMessage): string {
  const plain = text === undefined ? "null" : toText(putContent(state, textGiven(state, "text", text)));
  const rich = html === undefined ? "null" : toText(putContent(state, textGiven(state, "html", html)));
  if (attachments !== undefined && !isArray(attachments))
    invalid(state, `attachments is a list, not ${describe(attachments)}`);
  const list: readonly unknown[] = attachments ?? [];
  if (list.length > attachmentsMax) invalid(state, `A new message has at most ${attachmentsMax} attachments`);
  let parts = "";
  for (let i = 0; i < list.length; i++) parts += (i === 0 ? "" : ",") + attachmentGiven(state, list[i]);
  return `{"fields":[${fields.json}],"text":${plain},"html":${rich},"attachments":[${parts}]}`;
}

/** RFC 5322 §3.6.4. */
function addThread(state: RunState, fields: FieldList, valuesOf: (name: string) => readonly string[]): void {
  const id = trim(valuesOf("Message-ID")[0] ?? "");
  if (id === "" || id.length > 900) return;
  fields.add(state, "In-Reply-To", id);
  const before = trim(valuesOf("References")[0] ?? valuesOf("In-Reply-To")[0] ?? "");
  fields.add(state, "References", before === "" || before.length > referencesLengthMax ? id : `${before} ${id}`);
}

function addGivenFields(state: RunState, fields: FieldList, given: unknown, autoSubmitted: string): void {
  let automatic = false;
  if (given !== undefined) {
    const headers = objectGiven(state, "headers", given) as Record<string, unknown>;
    const names = getOwnPropertyNames(headers);
    if (names.length > headersMax) invalid(state, `A new message has at most ${headersMax} fields of its own`);
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const lower = lowerCase(name);
      if (isOwn(lower))
        invalid(
          state,
          `headers cannot have ${slice(name, 0, 80)}: it has a property of its own, or the server writes it`,
        );
      const value = headers[name];
      if (typeof value !== "string")
        invalid(state, `The value for ${slice(name, 0, 80)} is a text, not ${describe(value)}`);
      if (lower === "auto-submitted") automatic = true;
      fields.add(state, name, value as string);
    }
  }
  // RFC 3834 §5: what no person has written says so.
  if (!automatic) fields.add(state, "Auto-Submitted", autoSubmitted);
}

function isOwn(lower: string): boolean {
  for (let i = 0; i < ownFields.length; i++) if (ownFields[i] === lower) return true;
  return matches(contentField, lower);
}

function addRecipients(state: RunState, name: string, given: unknown, recipients: string[]): string {
  const addresses = addressesGiven(state, name, given);
  for (let i = 0; i < addresses.length; i++) addRecipient(state, addresses[i]!.address, recipients);
  return formatAddressList(addresses);
}

function addRecipient(state: RunState, address: string, recipients: string[]): void {
  for (let i = 0; i < recipients.length; i++) if (sameAddress(recipients[i]!, address)) return;
  if (recipients.length === recipientsMax) invalid(state, `A new message has at most ${recipientsMax} recipients`);
  append(recipients, address);
}

function valuesThatCame({ mail }: RunState, name: string): readonly string[] {
  const lower = lowerCase(name);
  const values: string[] = [];
  for (let i = 0; i < mail.fields.length; i++)
    if (lowerCase(mail.fields[i]![0]) === lower) append(values, mail.fields[i]![1]);
  return values;
}

function objectGiven(state: RunState, what: string, given: unknown): object {
  if (typeof given === "object" && given !== null) return given;
  return invalid(state, `${what} takes an object, not ${describe(given)}`);
}
