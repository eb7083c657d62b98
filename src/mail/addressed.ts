/**
 * The envelope of a message that comes without one: read from its header, for pickup files and for programs that leave the addresses to it. RFC 5322 §3.6. Pure.
 */
import { Fault } from "../platform/fault.ts";
import { parseAddressList } from "./address-list.ts";
import { type Field, fieldValue, Header } from "./header.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Envelope } from "./message.ts";

/** A message's envelope, and its header as it is to be sent: without what was for us alone. */
export interface Addressed {
  readonly envelope: Envelope;
  readonly header: Header;
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

/** Without the line that mailbox files put above a message, which is no field. RFC 4155. */
export function withoutEnvelopeLine(header: Header): Header {
  const [first, ...rest] = header.fields;
  return first?.name === "" ? new Header(rest) : header;
}

function malformed(why: string): Fault {
  return new Fault("submission.malformed", `Cannot send the message: ${why}`);
}
