/** A message as a script sees it, without its body: what goes over to the sandbox. */
import type { MailInput } from "../../sandbox/protocol.ts";
import { fieldValue } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";

export function createMailInput(message: Message): MailInput {
  const { origin, envelope } = message;
  return {
    id: message.id,
    receivedAt: message.receivedAt,
    session: {
      id: origin.sessionId,
      listener: origin.listener,
      ip: origin.ip,
      host: origin.host,
      helo: origin.helo,
      user: origin.user,
      tls: origin.tls,
      auth: origin.auth ?? null,
    },
    envelope: {
      from: envelope.reversePath && formatMailbox(envelope.reversePath),
      to: envelope.recipients.map((recipient) => formatMailbox(recipient.mailbox)),
    },
    fields: message.header.fields.map((field) => [field.name, fieldValue(field)] as const),
    size: message.sizeOctets,
    // They are JSON: they are kept as that.
    notes: message.notes as NonNullable<MailInput["notes"]>,
  };
}

/** The whole message in one piece; made only where a script looks inside. */
export async function messageOctets(message: Message): Promise<Uint8Array> {
  return Buffer.concat([message.header.octets, message.separator, await message.body.octets()]);
}
