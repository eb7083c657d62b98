/** What we write into mail of our own users and programs: the fields it lacks, and, where it is handed in without SMTP, where it came in. RFC 6409 §8, RFC 5321 §4.4. */
import { formatDate } from "../mail/date.ts";
import type { Header } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Envelope } from "../mail/message.ts";

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
  const { id, hostname, at, envelope } = facts;
  let complete = header;
  if (!header.has("From") && envelope.reversePath !== null)
    complete = complete.add("From", formatMailbox(envelope.reversePath));
  return withDateAndId(complete, { id, hostname, at }).prepend("Received", receivedValue(facts));
}

/** The header with Date and Message-ID where it has none. RFC 6409 §8.2, §8.3. */
export function withDateAndId(
  header: Header,
  { id, hostname, at }: Pick<SubmittedFacts, "id" | "hostname" | "at">,
): Header {
  let complete = header;
  if (!header.has("Date")) complete = complete.add("Date", formatDate(at));
  if (!header.has("Message-ID")) complete = complete.add("Message-ID", `<${id}@${hostname}>`);
  return complete;
}

/** There is no client to name, and no protocol it came with: the clauses for them are left out. The user is not told the world. */
function receivedValue({ id, hostname, entrance, envelope: { recipients }, at }: SubmittedFacts): string {
  const [first, ...others] = recipients;
  // Others must not see each other. RFC 5321 §7.2.
  const named = first && others.length === 0 ? ` for <${formatMailbox(first.mailbox)}>` : "";
  return `by ${hostname} (OnArrival, ${entrance}) id ${id}${named}; ${formatDate(at)}`;
}
