/** The envelope a pickup file asks for: its first fields, and what they do not say from its header. docs/folders.md has the rules. Pure. */
import { type Addressed, recipientsOf, senderOf, withoutBlindCopies, withoutEnvelopeLine } from "../mail/addressed.ts";
import { fieldValue, Header } from "../mail/header.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { Fault } from "../platform/fault.ts";
import { countPickupFields, readReceiverField, readSenderField } from "../smtp/pickup-fields.ts";

/**
 * `X-Sender` (one) and `X-Receiver` (any number) where they are its very first fields, in any order; what they do not say, its header does, as for
 * `addressedByHeader`. `X-Sender: <>` is the null reverse-path. Bcc goes either way.
 * @param to these in the place of all recipients; a sender that cannot be read is nobody then
 * @throws {Fault} `submission.malformed`
 */
export function addressedByPickup(given: Header, to: readonly Mailbox[] | null = null): Addressed {
  const header = withoutEnvelopeLine(given);
  const leading = header.fields.slice(0, countPickupFields(header));
  const valuesOf = (wanted: RegExp) => leading.filter(({ name }) => wanted.test(name)).map(fieldValue);
  const [senders, receivers] = [valuesOf(/^x-sender$/i), valuesOf(/^x-receiver$/i)];
  const rest = new Header(header.fields.slice(leading.length));
  const sender = () => {
    if (senders.length > 1) throw malformed("it has X-Sender twice, expected it once");
    return senders[0] === undefined ? { reversePath: senderOf(rest), options: {} } : readSenderField(senders[0]);
  };
  const nobody = { reversePath: null, options: {} } as const;
  const { reversePath, options } = to ? orElse(sender, nobody) : sender();
  const recipients =
    to?.map((mailbox) => ({ mailbox })) ??
    (receivers.length > 0 ? receivers.flatMap(readReceiverField) : recipientsOf(rest).map((mailbox) => ({ mailbox })));
  if (recipients.length === 0) throw malformed("its X-Receiver names nobody");
  return {
    envelope: { reversePath, recipients, ...(Object.keys(options).length > 0 && { options }) },
    header: withoutBlindCopies(rest),
  };
}

function orElse<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch {
    return otherwise;
  }
}

function malformed(why: string): Fault {
  return new Fault("submission.malformed", `Cannot send the message: ${why}`);
}
