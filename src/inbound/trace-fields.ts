/** Trace fields: what we write on top of a message as it comes in. RFC 5321 §4.4. Return-Path is written at final delivery. */
import { formatDate } from "../mail/date.ts";
import { Header } from "../mail/header.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";

export interface ReceivedFacts {
  readonly helo: string;
  readonly host: string | null;
  readonly ip: string;
  /** Our own name. */
  readonly by: string;
  /** `ESMTP`, `ESMTPS`, `ESMTPA`, `ESMTPSA`, `SMTP`, with `UTF8` in front. RFC 3848, RFC 6531. */
  readonly protocol: string;
  readonly id: string;
  readonly recipients: readonly Mailbox[];
  readonly at: number;
}

/** The header with a Received field on top. A recipient is named only where there is one: others must not see each other. RFC 5321 §7.2. */
export function withReceived(header: Header, facts: ReceivedFacts): Header {
  const clauses = receivedClauses(facts);
  const text = `Received: ${clauses.join("\r\n ")}\r\n`;
  // Characters beyond ASCII have to be encoded; else each clause is a line, and nobody has to look for places to fold.
  if (!/^[\x20-\x7e\r\n]*$/.test(text)) return header.prepend("Received", clauses.join(" "));
  const octets = Buffer.from(text, "latin1");
  return new Header([{ name: "Received", octets }, ...header.fields], Buffer.concat([octets, header.octets]));
}

function receivedClauses(facts: ReceivedFacts): string[] {
  const literal = facts.ip.includes(":") ? `[IPv6:${facts.ip}]` : `[${facts.ip}]`;
  // The client's own words go into a field only where they are a name or an address.
  const helo = /^[A-Za-z0-9._:[\]-]{1,255}$/.test(facts.helo) ? facts.helo : "unknown";
  const host = facts.host && /^[A-Za-z0-9._-]{1,255}$/.test(facts.host) ? `${facts.host} ` : "";
  const [recipient, ...others] = facts.recipients;
  const named = recipient && others.length === 0 ? ` for <${formatMailbox(recipient)}>` : "";
  return [
    `from ${helo} (${host}${literal})`,
    `by ${facts.by} (OnArrival)`,
    `with ${facts.protocol} id ${facts.id}${named};`,
    formatDate(facts.at),
  ];
}
