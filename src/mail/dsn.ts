/**
 * Reports (DSNs): what the sender of a message is told of what became of it. RFC 3464, in a multipart/report (RFC 6522): words for people, facts for
 * programs, and the message or its header. Pure; where a report goes and whether one is due is the queue's affair.
 */
import { isAscii } from "node:buffer";
import { formatDate } from "./date.ts";
import type { EnvelopeOptions } from "./envelope.ts";
import { createField, Header } from "./header.ts";
import { createId } from "./ids.ts";
import { formatMailbox, type Mailbox } from "./mailbox.ts";
import { inlineBody, Message } from "./message.ts";
import type { ReportedRecipient, ReportFacts } from "./report-facts.ts";
import {
  asciiLine,
  foldField,
  formatOriginalRecipient,
  formatTypedAddress,
  lineOctetsMax,
  type ReportCharset,
  reportLine,
} from "./report-text.ts";
import { linesOf, writeWords } from "./report-words.ts";
import { asInternational, returnAsAsked, returnHeader } from "./returned-content.ts";
import { formatReply } from "./status.ts";

export { type ReportedRecipient, type ReportFacts, type ReportKind, reportKinds } from "./report-facts.ts";

/** @throws nothing: whatever a peer, a client or a header said, it becomes text that is safe to send */
export async function createReport(facts: ReportFacts): Promise<Message> {
  const { kind, original, reversePath, hostName, now } = facts;
  const id = createId(now);
  // The whole message goes back with failures alone. RFC 3461 §4.3.
  const content = kind === "failed" ? await returnAsAsked(original) : returnHeader(original.header);
  const charset = charsetOf(facts);
  const returned = charset === "utf-8" ? asInternational(content, original.header) : content;
  const { subject, text } = facts.words ?? writeWords(facts, null);
  const words = [...linesOf(text), ...(returned.excuse ? [returned.excuse] : []), ""];
  const status = formatStatus(facts, charset);
  const boundary = createBoundary(id, Buffer.concat([Buffer.from(words.join("\n")), returned.octets]));
  const [eightBitWords, eightBitStatus] = [words, status].map((lines) =>
    lines.some((line) => /[^\x00-\x7f]/.test(line)),
  );
  const options = optionsOf(original, reversePath);
  return new Message({
    id,
    receivedAt: now,
    origin: { sessionId: "", listener: "dsn", ip: "127.0.0.1", host: null, helo: hostName, user: null, tls: null },
    // To nobody's harm: what cannot be delivered of a report is not reported. RFC 5321 §4.5.5, RFC 3461 §6.1.
    envelope: { reversePath: null, recipients: [{ mailbox: reversePath }], ...(options ? { options } : {}) },
    header: formatHeader(facts, {
      id,
      subject,
      boundary,
      eightBit: eightBitWords || eightBitStatus || returned.eightBit,
    }),
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
            `Content-Type: ${charset === "utf-8" ? "message/global-delivery-status" : "message/delivery-status"}`,
            ...(eightBitStatus ? eightBit : []),
            "",
            ...status,
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

/**
 * UTF-8 for a message that came by SMTPUTF8 and has addresses or a header that ASCII would have to rewrite: whoever sent it can read that. RFC 6533 §4.
 */
function charsetOf({ original, recipients }: ReportFacts): ReportCharset {
  if (!original.envelope.options?.smtpUtf8) return "us-ascii";
  const beyondAscii = (text: string) => /[^\x00-\x7f]/.test(text);
  return !isAscii(original.header.octets) ||
    recipients.some(
      ({ mailbox, originalRecipient }) =>
        beyondAscii(mailbox.localPart) || (originalRecipient !== undefined && beyondAscii(originalRecipient.address)),
    )
    ? "utf-8"
    : "us-ascii";
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
  { original, reversePath, hostName, now }: ReportFacts,
  {
    id,
    subject,
    boundary,
    eightBit,
  }: {
    readonly id: string;
    readonly subject: string;
    readonly boundary: string;
    readonly eightBit: boolean;
  },
): Header {
  const messageId = readMessageId(original.header);
  return new Header([
    createField("Date", formatDate(now)),
    createField("From", `Mail Delivery System <postmaster@${hostName}>`),
    // Not an encoded word, which an address may not hold: RFC 2047 §5. An international address goes as UTF-8 (RFC 6532).
    { name: "To", octets: Buffer.from(`To: <${formatMailbox(reversePath)}>\r\n`) },
    createField("Subject", subject),
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

/** The part for programs. RFC 3464 §2.2, §2.3; RFC 3461 §6.3. */
function formatStatus(facts: ReportFacts, charset: ReportCharset): string[] {
  const { original, recipients, hostName } = facts;
  const { envelopeId } = original.envelope.options ?? {};
  return [
    ...(envelopeId ? [`Original-Envelope-Id: ${asciiLine(envelopeId)}`] : []),
    `Reporting-MTA: dns; ${hostName}`,
    `Arrival-Date: ${formatDate(original.receivedAt)}`,
    ...(original.origin.helo ? [`Received-From-MTA: dns; ${asciiLine(original.origin.helo)}`] : []),
    ...recipients.flatMap((recipient) => ["", ...formatRecipientStatus(facts, recipient, charset)]),
    "",
  ];
}

function formatRecipientStatus(
  { kind, retryUntil }: ReportFacts,
  recipient: ReportedRecipient,
  charset: ReportCharset,
): string[] {
  const { mailbox, originalRecipient, status, nextHop, reply, reason, lastAttemptAt } = recipient;
  const original = originalRecipient && `Original-Recipient: ${formatOriginalRecipient(originalRecipient, charset)}`;
  return [
    // An address of such a length is none, and it has no place to be folded.
    ...(original && Buffer.byteLength(original) <= lineOctetsMax ? [original] : []),
    `Final-Recipient: ${formatTypedAddress(mailbox, charset)}`,
    `Action: ${kind}`,
    `Status: ${status}`,
    ...(reply && nextHop ? [`Remote-MTA: dns; ${asciiLine(nextHop).replace(/:\d+$/, "")}`] : []),
    // Of what did not succeed alone. RFC 3464 §2.3.6.
    ...(kind === "failed" || (kind === "delayed" && (reply !== null || reason !== ""))
      ? foldField(
          reply
            ? `Diagnostic-Code: smtp; ${reportLine(formatReply(reply), charset)}`
            : `Diagnostic-Code: x-onarrival; ${reportLine(reason, charset)}`,
        )
      : []),
    `Last-Attempt-Date: ${formatDate(lastAttemptAt)}`,
    // Of what is delayed alone. RFC 3464 §2.3.9.
    ...(kind === "delayed" && retryUntil !== undefined ? [`Will-Retry-Until: ${formatDate(retryUntil)}`] : []),
  ];
}

function createBoundary(id: string, content: Buffer): string {
  let boundary = `=_${id}`;
  while (content.includes(boundary)) boundary += "_";
  return boundary;
}

function readMessageId(header: Header): string | undefined {
  const value = header.get("Message-ID")?.trim();
  return value && value.length <= 250 && /^<[!-;=?-~]+>$/.test(value) ? value : undefined;
}
