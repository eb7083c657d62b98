/**
 * Reports (DSNs): what the sender of a message is told of what became of it. RFC 3464, in a multipart/report (RFC 6522): words for people, facts for
 * programs, and the message or its header. Pure; where a report goes and whether one is due is the queue's affair.
 */
import { formatDate } from "./date.ts";
import type { EnvelopeOptions, OriginalRecipient } from "./envelope.ts";
import { createField, Header } from "./header.ts";
import { createId } from "./ids.ts";
import { formatMailbox, type Mailbox } from "./mailbox.ts";
import { inlineBody, Message } from "./message.ts";
import { asciiLine, cleanLine, foldField, formatOriginalRecipient, formatTypedAddress, wrap } from "./report-text.ts";
import { type ReturnedContent, returnAsAsked, returnHeader } from "./returned-content.ts";
import { formatReply, type Reply } from "./status.ts";

/** What a report says of its recipients; the words are those of the field Action. RFC 3464 §2.3.3. */
export const reportKinds = ["failed", "delivered", "relayed"] as const;
export type ReportKind = (typeof reportKinds)[number];

/** One recipient that is reported on. */
export interface ReportedRecipient {
  readonly mailbox: Mailbox;
  /** What the sender calls it, where it was told. RFC 3461 §4.2. */
  readonly originalRecipient?: OriginalRecipient;
  /** Enhanced status code, such as `5.1.1`. RFC 3463. */
  readonly status: string;
  /** For the sender: one line, without facts of this server's inside; "" where the reply says it all. */
  readonly reason: string;
  /** Who said so, where a peer did. */
  readonly nextHop: string;
  readonly reply: Reply | null;
  readonly lastAttemptAt: number;
}

interface ReportFacts {
  readonly kind: ReportKind;
  readonly original: Message;
  readonly reversePath: Mailbox;
  readonly recipients: readonly ReportedRecipient[];
  /** Name of this server. */
  readonly hostName: string;
  readonly now: number;
}

/** The words for people: by kind of report. */
const wordings = {
  failed: {
    subject: "Undeliverable: your message did not reach all of its recipients",
    one: "could not be delivered to this recipient:",
    several: "could not be delivered to these recipients:",
    end: ["It will not be tried again."],
  },
  delivered: {
    subject: "Delivered: your message has arrived",
    one: "was delivered to this recipient:",
    several: "was delivered to these recipients:",
    end: ["You are told because it was sent with the request for a report."],
  },
  relayed: {
    subject: "Relayed: your message was handed on",
    one: "was handed on to the next server for this recipient:",
    several: "was handed on to the next server for these recipients:",
    end: ["That server reports no deliveries: if all goes well you will hear no more."],
  },
} as const satisfies Record<ReportKind, unknown>;

/** @throws nothing: whatever a peer, a client or a header said, it becomes text that is safe to send */
export async function createReport(facts: ReportFacts): Promise<Message> {
  const { kind, original, reversePath, hostName, now } = facts;
  const id = createId(now);
  // The whole message goes back with failures alone. RFC 3461 §4.3.
  const returned = kind === "failed" ? await returnAsAsked(original) : returnHeader(original.header);
  const boundary = createBoundary(id, returned.octets);
  const words = formatWords(facts, returned.excuse);
  const eightBitWords = words.some((line) => /[^\x00-\x7f]/.test(line));
  const options = optionsOf(original, reversePath);
  return new Message({
    id,
    receivedAt: now,
    origin: { sessionId: "", listener: "dsn", ip: "127.0.0.1", host: null, helo: hostName, user: null, tls: null },
    // To nobody's harm: what cannot be delivered of a report is not reported. RFC 5321 §4.5.5, RFC 3461 §6.1.
    envelope: { reversePath: null, recipients: [{ mailbox: reversePath }], ...(options ? { options } : {}) },
    header: formatHeader(facts, { id, boundary, eightBit: eightBitWords || returned.eightBit }),
    separator: Buffer.from("\r\n"),
    body: inlineBody(
      Buffer.concat([
        Buffer.from(
          [
            "This is a report in several parts.",
            `--${boundary}`,
            "Content-Type: text/plain; charset=utf-8",
            ...(eightBitWords ? eightBit : []),
            "",
            ...words,
            `--${boundary}`,
            "Content-Type: message/delivery-status",
            "",
            ...formatStatus(facts),
            `--${boundary}`,
            `Content-Type: ${returned.type}`,
            ...(returned.eightBit ? eightBit : []),
            "",
            "",
          ].join("\r\n"),
        ),
        returned.octets,
        Buffer.from(`\r\n--${boundary}--\r\n`),
      ]),
    ),
    notes: {},
  });
}

/** Said of a part only where it is so: the whole says it then too. RFC 2045 §6.4. */
const eightBit = ["Content-Transfer-Encoding: 8bit"];

/** What the report asks of the servers on its way: the care its message asked for (RFC 8689 §5), and UTF-8 where its address has it. */
function optionsOf({ envelope }: Message, reversePath: Mailbox): EnvelopeOptions | undefined {
  const requireTls = envelope.options?.requireTls ?? false;
  const smtpUtf8 = /[^\x00-\x7f]/.test(formatMailbox(reversePath));
  return requireTls || smtpUtf8
    ? { ...(smtpUtf8 ? { smtpUtf8 } : {}), ...(requireTls ? { requireTls } : {}) }
    : undefined;
}

function formatHeader(
  { kind, original, reversePath, hostName, now }: ReportFacts,
  { id, boundary, eightBit }: { readonly id: string; readonly boundary: string; readonly eightBit: boolean },
): Header {
  const messageId = readMessageId(original.header);
  return new Header([
    createField("Date", formatDate(now)),
    createField("From", `Mail Delivery System <postmaster@${hostName}>`),
    // Not an encoded word, which an address may not hold: RFC 2047 §5. An international address goes as UTF-8 (RFC 6532).
    { name: "To", octets: Buffer.from(`To: <${formatMailbox(reversePath)}>\r\n`) },
    createField("Subject", wordings[kind].subject),
    createField("Message-ID", `<${id}@${hostName}>`),
    ...(messageId ? [createField("In-Reply-To", messageId), createField("References", messageId)] : []),
    createField("Auto-Submitted", "auto-replied"),
    createField("MIME-Version", "1.0"),
    {
      name: "Content-Type",
      octets: Buffer.from(
        `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${boundary}"\r\n`,
      ),
    },
    ...(eightBit ? [createField("Content-Transfer-Encoding", "8bit")] : []),
  ]);
}

/** The part for people. */
function formatWords(
  { kind, original, recipients, hostName }: ReportFacts,
  excuse: ReturnedContent["excuse"],
): string[] {
  const { one, several, end } = wordings[kind];
  const subject = cleanLine(original.header.get("Subject") ?? "");
  return [
    `This is the mail server ${hostName}.`,
    "",
    `Your message${subject ? ` "${subject}"` : ""} of ${formatDate(original.receivedAt)}`,
    recipients.length === 1 ? one : several,
    "",
    ...recipients.flatMap(({ mailbox, reason, reply, nextHop }) => [
      `<${formatMailbox(mailbox)}>`,
      ...wrap(cleanLine(reason)),
      ...(reply ? wrap(`${cleanLine(nextHop) || "the next hop"} said: ${cleanLine(formatReply(reply))}`) : []),
      "",
    ]),
    ...end,
    ...(excuse ? [excuse] : []),
    "",
  ];
}

/** The part for programs. RFC 3464 §2.2, §2.3; RFC 3461 §6.3. */
function formatStatus({ kind, original, recipients, hostName }: ReportFacts): string[] {
  const { envelopeId } = original.envelope.options ?? {};
  return [
    ...(envelopeId ? [`Original-Envelope-Id: ${asciiLine(envelopeId)}`] : []),
    `Reporting-MTA: dns; ${hostName}`,
    `Arrival-Date: ${formatDate(original.receivedAt)}`,
    ...(original.origin.helo ? [`Received-From-MTA: dns; ${asciiLine(original.origin.helo)}`] : []),
    ...recipients.flatMap((recipient) => ["", ...formatRecipientStatus(kind, recipient)]),
    "",
  ];
}

function formatRecipientStatus(kind: ReportKind, recipient: ReportedRecipient): string[] {
  const { mailbox, originalRecipient, status, nextHop, reply, reason, lastAttemptAt } = recipient;
  const original = originalRecipient && `Original-Recipient: ${formatOriginalRecipient(originalRecipient)}`;
  return [
    // An address of such a length is none, and it has no place to be folded.
    ...(original && original.length <= lineLengthMax ? [original] : []),
    `Final-Recipient: ${formatTypedAddress(mailbox)}`,
    `Action: ${kind}`,
    `Status: ${status}`,
    ...(reply && nextHop ? [`Remote-MTA: dns; ${asciiLine(nextHop).replace(/:\d+$/, "")}`] : []),
    // Of failures alone. RFC 3464 §2.3.6.
    ...(kind === "failed"
      ? foldField(
          reply
            ? `Diagnostic-Code: smtp; ${asciiLine(formatReply(reply))}`
            : `Diagnostic-Code: x-onarrival; ${asciiLine(reason)}`,
        )
      : []),
    `Last-Attempt-Date: ${formatDate(lastAttemptAt)}`,
  ];
}

/** Characters of a line, without its end. RFC 5322 §2.1.1. */
const lineLengthMax = 998;

function createBoundary(id: string, content: Buffer): string {
  let boundary = `=_${id}`;
  while (content.includes(boundary)) boundary += "_";
  return boundary;
}

function readMessageId(header: Header): string | undefined {
  const value = header.get("Message-ID")?.trim();
  return value && value.length <= 250 && /^<[!-;=?-~]+>$/.test(value) ? value : undefined;
}
