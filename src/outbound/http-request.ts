/**
 * The request that gives mail to a program: the message as it is, its envelope in fields of ASCII beside it, and a signature over both.
 * docs/delivery.md is written for those who take it. Pure.
 */
import { createHmac, type Hmac } from "node:crypto";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";

/** What all requests of one attempt have in common. */
export interface HttpEnvelope {
  readonly message: Message;
  readonly recipients: readonly Mailbox[];
  readonly attemptId: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** Recipients of one request, and characters of the field that names them: servers take only so long a field. */
export const recipientsMax = 50;
export const toLengthMax = 4_000;

/** Fields of the request, without the signature. */
export function requestFields({ message, recipients, attemptId, now }: HttpEnvelope): Record<string, string> {
  const { reversePath } = message.envelope;
  return {
    "Content-Type": "message/rfc822",
    "Content-Length": String(message.sizeOctets),
    "User-Agent": "OnArrival",
    "OnArrival-Message-Id": message.id,
    "OnArrival-From": reversePath === null ? "<>" : formatAddress(reversePath),
    "OnArrival-To": recipients.map(formatAddress).join(","),
    "OnArrival-Attempt": attemptId,
    "OnArrival-Timestamp": String(Math.floor(now / 1_000)),
  };
}

/**
 * The start of a signature: HMAC-SHA-256 over version, time, id, sender and recipients, a line each, and then every octet of the message. To whom it is said and
 * when is a part of it, so that nobody can send the same message on as somebody else's.
 */
export function beginSignature(secret: string, fields: Readonly<Record<string, string>>): Hmac {
  const signed = ["OnArrival-Timestamp", "OnArrival-Message-Id", "OnArrival-From", "OnArrival-To"];
  return createHmac("sha256", secret).update(["v1", ...signed.map((name) => fields[name]), ""].join("\n"));
}

/** The field's value. */
export function endSignature(hmac: Hmac): string {
  return `v1=${hmac.digest("hex")}`;
}

/** As many of the recipients as one request may have, and so on. */
export function* batchesOf<Recipient extends { readonly mailbox: Mailbox }>(
  recipients: readonly Recipient[],
): Generator<Recipient[]> {
  let batch: Recipient[] = [];
  let length = 0;
  for (const recipient of recipients) {
    const added = formatAddress(recipient.mailbox).length + 1;
    if (batch.length === recipientsMax || (batch.length > 0 && length + added > toLengthMax)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(recipient);
    length += added;
  }
  if (batch.length > 0) yield batch;
}

/**
 * An address as the fields carry it: what is not of common addresses is written `%XX`, octet by octet of UTF-8. So a comma only ever parts addresses, and
 * `decodeURIComponent` gives the address.
 */
export function formatAddress(mailbox: Mailbox): string {
  return encodeURIComponent(formatMailbox(mailbox)).replace(/%(?:40|2B|3D|24|26|2F|3F|23|5B|5D|3A)/g, (code) =>
    decodeURIComponent(code),
  );
}
