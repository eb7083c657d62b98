/**
 * The envelope of a message that comes without one: read from its header. For pickup files (X-Sender and X-Receiver on top) and for programs that leave
 * the addresses to the header. RFC 5322 §3.6. Pure.
 */
import { Fault } from "../platform/fault.ts";
import { parseAddressList } from "./address-list.ts";
import { type Field, fieldValue, Header } from "./header.ts";
import { type Mailbox, quoteForLog } from "./mailbox.ts";
import type { Envelope } from "./message.ts";
import { parseReversePath, type ReversePath } from "./path.ts";

/** A message's envelope, and its header as it is to be sent: without what was for us alone. */
export interface Addressed {
  readonly envelope: Envelope;
  readonly header: Header;
}

/**
 * The envelope a pickup file asks for: `X-Sender` (one) and `X-Receiver` (any number) where they are its very first fields, in any order; what they do not say,
 * its header does, as for `addressedByHeader`. `X-Sender: <>` is the null reverse-path. Bcc goes either way.
 * @param to these in the place of all recipients; a sender that cannot be read is nobody then
 * @throws {Fault} `submission.malformed`
 */
export function addressedByPickup(given: Header, to: readonly Mailbox[] | null = null): Addressed {
  const header = withoutEnvelopeLine(given);
  const count = header.fields.findIndex(({ name }) => !/^x-(?:sender|receiver)$/i.test(name));
  const leading = count === -1 ? header.fields : header.fields.slice(0, count);
  const senders = leading.filter(({ name }) => /^x-sender$/i.test(name));
  const receivers = leading.filter(({ name }) => /^x-receiver$/i.test(name));
  const rest = new Header(header.fields.slice(leading.length));
  const sender = () => {
    if (senders.length > 1) throw malformed("it has X-Sender twice, expected it once");
    return senders[0] ? readSender(senders[0]) : senderOf(rest);
  };
  const mailboxes = to ?? (receivers.length > 0 ? addressesOf(receivers) : recipientsOf(rest));
  if (mailboxes.length === 0) throw malformed("its X-Receiver names nobody");
  return {
    envelope: {
      reversePath: to ? orNobody(sender) : sender(),
      recipients: mailboxes.map((mailbox) => ({ mailbox })),
    },
    header: withoutBlindCopies(rest),
  };
}

function orNobody(sender: () => ReversePath): ReversePath {
  try {
    return sender();
  } catch {
    return null;
  }
}

/**
 * The envelope a header speaks of: from its Sender, or else the first address of its From; to its To, Cc and Bcc. Where it was resent, that is what counts: the
 * topmost run of Resent- fields stands in for the others (RFC 5322 §3.6.6). Bcc and Resent-Bcc are taken out.
 * @throws {Fault} `submission.malformed` where it names no sender or no recipient, or something in the place of an address
 */
export function addressedByHeader(given: Header): Addressed {
  const header = withoutEnvelopeLine(given);
  const recipients = recipientsOf(header).map((mailbox) => ({ mailbox }));
  return { envelope: { reversePath: senderOf(header), recipients }, header: withoutBlindCopies(header) };
}

/** Without the fields whose readers shall not know of each other. RFC 5322 §3.6.3. */
export function withoutBlindCopies(header: Header): Header {
  return header.remove("Bcc").remove("Resent-Bcc");
}

/** The reverse-path a header speaks of. @throws {Fault} `submission.malformed` */
export function senderOf(header: Header): Mailbox {
  const resent = resentFields(header);
  const prefix = resent === null ? "" : "resent-";
  const fields = resent ?? header.fields;
  for (const name of [`${prefix}sender`, `${prefix}from`]) {
    const [mailbox] = addressesOf(named(fields, name));
    if (mailbox) return mailbox;
  }
  throw malformed(`it has no sender, expected ${prefix === "" ? "From or Sender" : "Resent-From or Resent-Sender"}`);
}

/** Whom a header names. @throws {Fault} `submission.malformed` where that is nobody */
export function recipientsOf(header: Header): Mailbox[] {
  const resent = resentFields(header);
  const prefix = resent === null ? "" : "resent-";
  const fields = ["to", "cc", "bcc"].flatMap((name) => named(resent ?? header.fields, `${prefix}${name}`));
  const mailboxes = addressesOf(fields);
  if (mailboxes.length === 0)
    throw malformed(`it has no recipient, expected one in ${prefix === "" ? "To, Cc or Bcc" : "its Resent- fields"}`);
  return mailboxes;
}

/** The run of Resent- fields that stands highest, where it names a recipient; else the message is not being resent now. */
function resentFields({ fields }: Header): readonly Field[] | null {
  const isResent = ({ name }: Field) => /^resent-/i.test(name);
  const start = fields.findIndex(isResent);
  if (start === -1) return null;
  const length = fields.slice(start).findIndex((field) => !isResent(field));
  const run = fields.slice(start, length === -1 ? undefined : start + length);
  return run.some(({ name }) => /^resent-(?:to|cc|bcc)$/i.test(name)) ? run : null;
}

function named(fields: readonly Field[], wanted: string): readonly Field[] {
  return fields.filter(({ name }) => name.length === wanted.length && name.toLowerCase() === wanted);
}

function addressesOf(fields: readonly Field[]): Mailbox[] {
  return fields.flatMap((field) => parseAddressList(fieldValue(field)));
}

function readSender(field: Field): ReversePath {
  const text = fieldValue(field);
  try {
    return parseReversePath(text);
  } catch (error) {
    if (error instanceof Fault)
      throw new Fault("submission.malformed", `Cannot read the X-Sender ${quoteForLog(text)}`, { cause: error });
    throw error;
  }
}

/** Without the line that mailbox files put above a message, which is no field. RFC 4155. */
function withoutEnvelopeLine(header: Header): Header {
  const [first, ...rest] = header.fields;
  return first?.name === "" ? new Header(rest) : header;
}

function malformed(why: string): Fault {
  return new Fault("submission.malformed", `Cannot send the message: ${why}`);
}
