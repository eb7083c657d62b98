/**
 * Failure reports (DSNs): what the sender of a message is told when a recipient was given up. RFC 3464, in a multipart/report (RFC 6522): words for
 * people, facts for programs, and the header of the message. Pure; where a report goes and whether one is due is the queue's affair.
 */
import { createField, Header } from "./header.ts";
import { createId } from "./ids.ts";
import { formatMailbox, type Mailbox } from "./mailbox.ts";
import { inlineBody, Message } from "./message.ts";
import { formatReply, type Reply } from "./status.ts";

/** Octets of the original header that a report carries. */
export const reportedHeaderOctetsMax = 64 * 1024;

/** One recipient that was given up. */
export interface FailedRecipient {
  readonly mailbox: Mailbox;
  /** Enhanced status code, such as `5.1.1`. RFC 3463. */
  readonly status: string;
  /** For the sender: one line, without facts of this server's inside; "" where the reply says it all. */
  readonly reason: string;
  /** Who said so, where a peer did. */
  readonly nextHop: string;
  readonly reply: Reply | null;
  readonly lastAttemptAt: number;
}

/** @throws nothing: whatever a peer or a header said, it becomes text that is safe to send */
export function createFailureReport(facts: {
  readonly original: Message;
  readonly reversePath: Mailbox;
  readonly failed: readonly FailedRecipient[];
  /** Name of this server. */
  readonly hostName: string;
  readonly now: number;
}): Message {
  const { original, reversePath, hostName, now } = facts;
  const id = createId(now);
  const reported = cutHeader(original.header);
  const boundary = createBoundary(id, reported.octets);
  const body = formatBody({ ...facts, reported, boundary });
  return new Message({
    id,
    receivedAt: now,
    origin: { sessionId: "", listener: "dsn", ip: "127.0.0.1", host: null, helo: hostName, user: null, tls: null },
    // To nobody's harm: what cannot be delivered of a report is not reported. RFC 5321 §4.5.5.
    envelope: { reversePath: null, recipients: [{ mailbox: reversePath }] },
    header: formatHeader({
      id,
      hostName,
      now,
      reversePath,
      original: original.header,
      boundary,
      eightBit: body.some((octet) => octet > 0x7f),
    }),
    separator: Buffer.from("\r\n"),
    body: inlineBody(body),
    notes: {},
  });
}

/** A date as header fields have it, in UTC. RFC 5322 §3.3. */
function formatReportDate(at: number): string {
  return new Date(at).toUTCString().replace("GMT", "+0000");
}

function formatHeader(facts: {
  readonly id: string;
  readonly hostName: string;
  readonly now: number;
  readonly reversePath: Mailbox;
  readonly original: Header;
  readonly boundary: string;
  readonly eightBit: boolean;
}): Header {
  const messageId = readMessageId(facts.original);
  return new Header([
    createField("Date", formatReportDate(facts.now)),
    createField("From", `Mail Delivery System <postmaster@${facts.hostName}>`),
    // Not an encoded word, which an address may not hold: RFC 2047 §5. An international address goes as UTF-8 (RFC 6532).
    { name: "To", octets: Buffer.from(`To: <${formatMailbox(facts.reversePath)}>\r\n`) },
    createField("Subject", "Undeliverable: your message did not reach all of its recipients"),
    createField("Message-ID", `<${facts.id}@${facts.hostName}>`),
    ...(messageId ? [createField("In-Reply-To", messageId), createField("References", messageId)] : []),
    createField("Auto-Submitted", "auto-replied"),
    createField("MIME-Version", "1.0"),
    {
      name: "Content-Type",
      octets: Buffer.from(
        `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${facts.boundary}"\r\n`,
      ),
    },
    ...(facts.eightBit ? [createField("Content-Transfer-Encoding", "8bit")] : []),
  ]);
}

/** Said of a part only where it is so: the whole says it then too. RFC 2045 §6.4. */
const eightBit = ["Content-Transfer-Encoding: 8bit"];

function formatBody(facts: {
  readonly original: Message;
  readonly failed: readonly FailedRecipient[];
  readonly hostName: string;
  readonly reported: CutHeader;
  readonly boundary: string;
}): Buffer {
  const { boundary, reported } = facts;
  const words = formatWords(facts);
  const before = [
    "This is a report in several parts.",
    `--${boundary}`,
    "Content-Type: text/plain; charset=utf-8",
    ...(words.some((line) => /[^\x00-\x7f]/.test(line)) ? eightBit : []),
    "",
    ...words,
    `--${boundary}`,
    "Content-Type: message/delivery-status",
    "",
    ...formatStatus(facts),
    `--${boundary}`,
    "Content-Type: text/rfc822-headers",
    ...(reported.eightBit ? eightBit : []),
    "",
    "",
  ];
  return Buffer.concat([Buffer.from(before.join("\r\n")), reported.octets, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

/** The part for people. */
function formatWords({
  original,
  failed,
  hostName,
}: {
  readonly original: Message;
  readonly failed: readonly FailedRecipient[];
  readonly hostName: string;
}): string[] {
  const subject = cleanLine(original.header.get("Subject") ?? "");
  return [
    `This is the mail server ${hostName}.`,
    "",
    `Your message${subject ? ` "${subject}"` : ""} of ${formatReportDate(original.receivedAt)}`,
    failed.length === 1 ? "could not be delivered to this recipient:" : "could not be delivered to these recipients:",
    "",
    ...failed.flatMap(({ mailbox, reason, reply, nextHop }) => [
      `<${formatMailbox(mailbox)}>`,
      ...wrap(cleanLine(reason)),
      ...(reply ? wrap(`${cleanLine(nextHop) || "the next hop"} said: ${cleanLine(formatReply(reply))}`) : []),
      "",
    ]),
    "It will not be tried again.",
    "",
  ];
}

/** The part for programs. RFC 3464 §2.2, §2.3. */
function formatStatus({
  original,
  failed,
  hostName,
}: {
  readonly original: Message;
  readonly failed: readonly FailedRecipient[];
  readonly hostName: string;
}): string[] {
  return [
    `Reporting-MTA: dns; ${hostName}`,
    `Arrival-Date: ${formatReportDate(original.receivedAt)}`,
    ...(original.origin.helo ? [`Received-From-MTA: dns; ${asciiLine(original.origin.helo)}`] : []),
    ...failed.flatMap(({ mailbox, status, nextHop, reply, reason, lastAttemptAt }) => [
      "",
      `Final-Recipient: ${formatTypedAddress(mailbox)}`,
      "Action: failed",
      `Status: ${status}`,
      ...(reply && nextHop ? [`Remote-MTA: dns; ${asciiLine(nextHop).replace(/:\d+$/, "")}`] : []),
      ...foldField(
        reply
          ? `Diagnostic-Code: smtp; ${asciiLine(formatReply(reply))}`
          : `Diagnostic-Code: x-onarrival; ${asciiLine(reason)}`,
      ),
      `Last-Attempt-Date: ${formatReportDate(lastAttemptAt)}`,
    ]),
    "",
  ];
}

interface CutHeader {
  readonly octets: Buffer;
  readonly eightBit: boolean;
}

/** The header up to the limit, whole fields only. */
function cutHeader(header: Header): CutHeader {
  let octets = header.octets;
  if (octets.length > reportedHeaderOctetsMax) {
    const kept: Buffer[] = [];
    let length = 0;
    for (const field of header.fields) {
      if (length + field.octets.length > reportedHeaderOctetsMax) break;
      kept.push(field.octets);
      length += field.octets.length;
    }
    octets = Buffer.concat(kept);
  }
  return { octets, eightBit: octets.some((octet) => octet > 0x7f) };
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

/** The address with its type; what is not ASCII is written so that it fits an ASCII report. RFC 3464 §2.1.2, RFC 6533 §3. */
function formatTypedAddress(mailbox: Mailbox): string {
  const address = formatMailbox(mailbox);
  if (/^[\x21-\x7e ]*$/.test(address)) return `rfc822; ${address}`;
  return `utf-8; ${address.replace(/[\\+=]|[^\x21-\x7e]/gu, (character) => `\\x{${character.codePointAt(0)!.toString(16).toUpperCase()}}`)}`;
}

/** Somebody's words on one line, without control characters, at most 500 characters. */
function cleanLine(text: string): string {
  return text
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ")
    .trim()
    .slice(0, 500);
}

function asciiLine(text: string): string {
  return cleanLine(text).replace(/[^\x20-\x7e]/g, "?");
}

/** Lines of a paragraph, set in by two. */
function wrap(text: string, lengthWanted = 76): string[] {
  return breakLines(text, lengthWanted - 2).map((line) => `  ${line}`);
}

/** A field of a status part, folded before white space. */
function foldField(text: string): string[] {
  return breakLines(text, 76).map((line, place) => (place === 0 ? line : ` ${line}`));
}

function breakLines(text: string, lengthWanted: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > lengthWanted) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  if (line !== "") lines.push(line);
  return lines;
}
