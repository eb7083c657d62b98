/** What we write into mail of our own users and programs: the fields it lacks, and, where it is handed in without SMTP, where it came in. RFC 6409 §8, RFC 5321 §4.4. */
import { formatDate } from "../mail/date.ts";
import type { Field, Header } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Envelope } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";

/** RFC 5322 §2.1.1. */
const lineLengthWanted = 78;

export interface SubmittedFacts {
  readonly id: string;
  /** Our own name. */
  readonly hostname: string;
  /** `pickup`, `submit`, `sendmail`, `release`. */
  readonly entrance: string;
  readonly envelope: Envelope;
  readonly at: number;
}

/** The header with a Received field on top, and with Date, Message-ID and From where it has none. What is there stays as it is. */
export function completeHeader(header: Header, facts: SubmittedFacts): Header {
  const { envelope } = facts;
  return withMissingFields(header, { ...facts, reversePath: envelope.reversePath }).prepend(
    "Received",
    receivedValue(facts),
  );
}

/**
 * The header with Date, Message-ID and From where it has none. RFC 6409 §8.2, §8.3; RFC 5322 §3.6.2 wants a From field as well, and whoever sends is who wrote it.
 * Of the null reverse-path none can be made.
 */
export function withMissingFields(
  header: Header,
  {
    id,
    hostname,
    reversePath,
    at,
  }: Pick<SubmittedFacts, "id" | "hostname" | "at"> & { readonly reversePath: ReversePath },
): Header {
  let complete = header;
  if (!header.has("From") && reversePath !== null) complete = complete.addField(fromField(formatMailbox(reversePath)));
  if (!header.has("Date")) complete = complete.add("Date", formatDate(at));
  if (!header.has("Message-ID")) complete = complete.add("Message-ID", `<${id}@${hostname}>`);
  return complete;
}

/**
 * A From field with this address, octet for octet: one beyond ASCII stays UTF-8 (RFC 6532 §3.2), since no encoded word may stand in an address (RFC 2047 §5).
 * @param phrase what stands before it, a quoted string or encoded words; none by default
 */
export function fromField(address: string, phrase = ""): Field {
  const line = `From: ${phrase === "" ? address : `${phrase} <${address}>`}`;
  const folded = line.length > lineLengthWanted ? line.replaceAll("?= ", "?=\r\n ") : line;
  return { name: "From", octets: Buffer.from(`${folded}\r\n`) };
}

/** There is no client to name, and no protocol it came with: the clauses for them are left out. The user is not told the world. */
function receivedValue({ id, hostname, entrance, envelope: { recipients }, at }: SubmittedFacts): string {
  const [first, ...others] = recipients;
  // Others must not see each other. RFC 5321 §7.2.
  const named = first && others.length === 0 ? ` for <${formatMailbox(first.mailbox)}>` : "";
  return `by ${hostname} (OnArrival, ${entrance}) id ${id}${named}; ${formatDate(at)}`;
}
