/** Envelopes that were read from headers, in one line each. */
import type { Addressed } from "../../src/mail/addressed.ts";
import { type Header, splitMessage } from "../../src/mail/header.ts";
import { formatMailbox } from "../../src/mail/mailbox.ts";
import { formatReversePath } from "../../src/mail/path.ts";

/** Lines end in LF. */
export function headerOf(lines: string): Header {
  return splitMessage(Buffer.from(`${lines.replaceAll("\n", "\r\n")}\r\n\r\n`)).header;
}

/** `from > to to | header`, in one line. */
export function shown({ envelope, header }: Addressed): string {
  const to = envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)).join(" ");
  return `${formatReversePath(envelope.reversePath)} > ${to} | ${header.octets.toString().replaceAll("\r\n", "/")}`;
}
