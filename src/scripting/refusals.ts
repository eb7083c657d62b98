/**
 * Recipients that a script refuses while others get the message: `setReject` of a worker, where it was sent to several. One reply to the client is about all of them,
 * so the sender is told by a report, as if a next hop had said it. RFC 5321 §6.1.
 */
import type { RecipientRefusal } from "../../sandbox/protocol.ts";
import { createReport } from "../mail/dsn.ts";
import { parseMailbox, sameMailbox } from "../mail/mailbox.ts";
import type { Envelope, Message, Recipient } from "../mail/message.ts";
import type { ReportedRecipient } from "../mail/report-facts.ts";
import { Fault } from "../platform/fault.ts";

export interface RefusedPlace {
  /** Our own name. */
  readonly hostname: string;
  readonly now: () => number;
}

/**
 * Takes the refused out of the message's envelope, and gives the report to its sender; null where nobody is to be told: the reverse-path is null, or he asked not to be.
 * @param before the envelope the run began with
 * @throws {Fault} `script.action-invalid` where one of them is no recipient
 */
export async function reportRefused(
  message: Message,
  before: Envelope,
  refusals: readonly RecipientRefusal[],
  { hostname, now }: RefusedPlace,
): Promise<Message | null> {
  const at = now();
  const refused = refusals.map((refusal) => ({ refusal, recipient: recipientOf(before, refusal) }));
  const isRefused = ({ mailbox }: Recipient) =>
    refused.some(({ recipient }) => sameMailbox(recipient.mailbox, mailbox));
  const { reversePath, recipients } = message.envelope;
  message.envelope = { ...message.envelope, recipients: recipients.filter((recipient) => !isRefused(recipient)) };
  const told = refused.filter(({ recipient: { options } }) => !options?.notify || options.notify.includes("failure"));
  if (reversePath === null || told.length === 0) return null;
  return createReport({
    kind: "failed",
    original: message,
    reversePath,
    recipients: told.map(({ refusal, recipient }) => reportedOf(refusal, recipient, at)),
    hostName: hostname,
    now: at,
  });
}

function recipientOf(before: Envelope, { recipient }: RecipientRefusal): Recipient {
  const mailbox = parseMailbox(recipient);
  const found = before.recipients.find((one) => sameMailbox(one.mailbox, mailbox));
  if (!found) throw new Fault("script.action-invalid", `Cannot refuse ${recipient}: it is no recipient of the message`);
  return found;
}

function reportedOf(refusal: RecipientRefusal, { mailbox, options }: Recipient, at: number): ReportedRecipient {
  const { status, text } = refusal;
  return {
    mailbox,
    ...(options?.originalRecipient ? { originalRecipient: options.originalRecipient } : {}),
    status,
    reason: text,
    nextHop: "",
    reply: null,
    lastAttemptAt: at,
  };
}
