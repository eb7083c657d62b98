/** The messages that come of one when its recipients are resolved: who shares a message, which one keeps the id, and where failures are reported from. Pure but for new ids. */
import { mailboxKey } from "../mail/alias-file.ts";
import type { EnvelopeOptions } from "../mail/envelope.ts";
import { createId } from "../mail/ids.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { type Envelope, Message, type Recipient } from "../mail/message.ts";
import type { Outcome } from "./attempt.ts";
import type { AddressNode } from "./categorize-recipients.ts";
import type { Failure, Reached, Results } from "./categorize-results.ts";

/** Note of a message that came of another: the id of that one. */
const parentNote = "parent";

/** One of the messages. The first of several keeps the id. */
export interface Part {
  readonly message: Message;
  /** Who hears of its failures in the sender's place. */
  readonly owner: Mailbox | undefined;
}

interface Group {
  readonly owner: Mailbox | undefined;
  readonly forwardedFor: Mailbox | undefined;
  readonly recipients: Recipient[];
}

/** At least one; that one may be without recipients. */
export function partsOf(message: Message, { reached, failures }: Results, now: number): Part[] {
  const groups = groupsOf(reached, message);
  // Failures are reported by the message that keeps the id, so it has to be one of those their sender hears of.
  const owners = new Map(failures.map(({ owner }) => [keyOf(ownerIn(message, owner)), owner]));
  const wanted = owners.size === 1 ? ownerIn(message, [...owners.values()][0]) : undefined;
  const isWanted = ({ owner }: Group) => keyOf(owner) === keyOf(wanted);
  const first = groups.find((group) => isWanted(group) && !group.forwardedFor) ?? groups.find(isWanted);
  const keeper: Group =
    first ??
    (failures.length > 0 || groups.length === 0
      ? { owner: wanted, forwardedFor: undefined, recipients: [] }
      : groups[0]!);
  const others = groups.filter((group) => group !== keeper);
  return [partOf(message, keeper), ...others.map((group) => partOf(message, group, now))];
}

/** The part with other recipients. */
export function withRecipients(part: Part, recipients: readonly Recipient[]): Part {
  return { ...part, message: changed(part.message, { envelope: { ...part.message.envelope, recipients } }) };
}

/** The first with the failures behind its recipients, and those of the others that have any. */
export function withFailures(
  [first, ...others]: readonly Part[],
  failures: readonly Failure[],
): { readonly message: Message; readonly forks: readonly Message[]; readonly failures: readonly Outcome[] } {
  const { recipients } = first!.message.envelope;
  const { message } =
    failures.length === 0
      ? first!
      : withRecipients(first!, [...recipients, ...failures.map(({ recipient }) => recipient)]);
  return {
    message,
    forks: others.map((part) => part.message).filter(({ envelope }) => envelope.recipients.length > 0),
    failures: failures.map(({ reply, by }, at) => ({
      index: recipients.length + at,
      kind: "failed",
      nextHop: "",
      reply,
      reason: by === null ? "" : `refused by ${by}`,
      ...(reply.status !== undefined && { status: reply.status }),
    })),
  };
}

function groupsOf(reached: readonly Reached[], message: Message): Group[] {
  const groups = new Map<string, Group>();
  const splits = new Map<AddressNode, number>();
  for (const { recipient, owner: named, split, forwardedFor } of reached) {
    const owner = ownerIn(message, named);
    if (split && !splits.has(split)) splits.set(split, splits.size);
    const key = JSON.stringify([keyOf(owner), keyOf(forwardedFor), split ? splits.get(split) : null]);
    const group = groups.get(key);
    if (group) group.recipients.push(recipient);
    else groups.set(key, { owner, forwardedFor, recipients: [recipient] });
  }
  return [...groups.values()];
}

function keyOf(mailbox: Mailbox | undefined): string | null {
  return mailbox ? mailboxKey(mailbox) : null;
}

/** What has the null reverse-path keeps it, whatever list it goes to: of a report nothing is reported. RFC 5321 §4.5.5. */
function ownerIn({ envelope }: Message, owner: Mailbox | undefined): Mailbox | undefined {
  return envelope.reversePath === null ? undefined : owner;
}

/** @param now for a message of its own, with a new id; absent: the message itself */
function partOf(message: Message, { owner, forwardedFor, recipients }: Group, now?: number): Part {
  const envelope = envelopeOf(message.envelope, owner, recipients);
  // Seen here again, with the same recipient, it loops (categorize-results.ts); each pass would make as many copies as the alias has members.
  const header = forwardedFor ? message.header.prepend("Delivered-To", formatMailbox(forwardedFor)) : message.header;
  if (now === undefined) {
    const isSame = envelope === message.envelope && header === message.header;
    return { message: isSame ? message : changed(message, { envelope, header }), owner };
  }
  const notes = { ...message.notes, [parentNote]: message.id };
  return { message: changed(message, { envelope, header, notes }, createId(now)), owner };
}

function envelopeOf(envelope: Envelope, owner: Mailbox | undefined, recipients: readonly Recipient[]): Envelope {
  const isSame =
    !owner &&
    recipients.length === envelope.recipients.length &&
    recipients.every((recipient, index) => recipient === envelope.recipients[index]);
  if (isSame) return envelope;
  if (!owner) return { ...envelope, recipients };
  const options = envelope.options && withoutReports(envelope.options);
  const { options: _options, ...rest } = envelope;
  return { ...rest, reversePath: owner, recipients, ...(options && { options }) };
}

/** What the sender asked for of reports ends where they go to somebody else. RFC 3461 §5.2.7.1. */
function withoutReports({
  ret: _ret,
  envelopeId: _envelopeId,
  ...options
}: EnvelopeOptions): EnvelopeOptions | undefined {
  return Object.keys(options).length > 0 ? options : undefined;
}

function changed(
  message: Message,
  state: Partial<Pick<Message, "envelope" | "header" | "notes">>,
  id: string = message.id,
): Message {
  const { receivedAt, origin } = message;
  return new Message({ ...message.snapshot(), ...state, id, receivedAt, origin });
}
