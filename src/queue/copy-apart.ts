/** Copies for badmail of a message that goes on to others. Pure. */
import { deriveId } from "../mail/ids.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { Message, type Recipient } from "../mail/message.ts";

/**
 * The message for these of its recipients, under an id of its own; the same one where it is made again, since nobody knew any more that it was.
 * @param parentId the id that it was in the queue under when it was decided on
 */
export function copyApart(message: Message, recipients: readonly Recipient[], parentId: string = message.id): Message {
  const { receivedAt, origin, envelope } = message;
  const id = deriveId(parentId, recipients.map(({ mailbox }) => formatMailbox(mailbox)).join("\n"));
  return new Message({ ...message.snapshot(), id, receivedAt, origin, envelope: { ...envelope, recipients } });
}
