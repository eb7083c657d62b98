/** MAIL and RCPT as we say them: the envelope and what its sender asked for, as far as the server knows the extension. RFC 5321 §4.1.1.11. Pure. */
import type { EnvelopeOptions, RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Extensions } from "./client-extensions.ts";
import { encodeXtext } from "./xtext.ts";

export interface MailFacts {
  readonly reversePath: ReversePath;
  readonly options: EnvelopeOptions;
  readonly sizeOctets: number;
  /** Whether there may be octets beyond ASCII in it. */
  readonly eightBit: boolean;
  /** Whether an address of the transaction needs it. RFC 6531. */
  readonly international: boolean;
}

export function mailLine(facts: MailFacts, extensions: Extensions): string {
  const { options } = facts;
  const words = [`MAIL FROM:<${facts.reversePath === null ? "" : formatMailbox(facts.reversePath)}>`];
  if (extensions.has("SIZE")) words.push(`SIZE=${facts.sizeOctets}`); // RFC 1870 §5
  if (options.body === "BINARYMIME")
    words.push("BODY=BINARYMIME"); // RFC 3030 §3
  // RFC 6152 §3; to a server without the extension the octets go as they are (lenient: nobody drops the eighth bit any more).
  else if (facts.eightBit && extensions.has("8BITMIME")) words.push("BODY=8BITMIME");
  if (facts.international && extensions.has("SMTPUTF8")) words.push("SMTPUTF8"); // RFC 6531 §3.4
  if (options.requireTls) words.push("REQUIRETLS"); // RFC 8689 §4.2.1
  if (extensions.has("DSN")) {
    if (options.ret !== undefined) words.push(`RET=${options.ret}`); // RFC 3461 §5.2.1
    if (options.envelopeId !== undefined) words.push(`ENVID=${encodeXtext(options.envelopeId)}`);
  }
  return words.join(" ");
}

export function rcptLine(
  { mailbox, options = {} }: { readonly mailbox: Mailbox; readonly options?: RecipientOptions },
  extensions: Extensions,
): string {
  const words = [`RCPT TO:<${formatMailbox(mailbox)}>`];
  if (extensions.has("DSN")) {
    // RFC 3461 §5.2.1: as they came.
    if (options.notify !== undefined && options.notify.length > 0)
      words.push(`NOTIFY=${options.notify.map((word) => word.toUpperCase()).join(",")}`);
    if (options.originalRecipient !== undefined) {
      const { type, address } = options.originalRecipient;
      const encoded = type.toLowerCase() === "utf-8" ? encodeUtf8Address(address) : encodeXtext(address);
      words.push(`ORCPT=${type};${encoded}`);
    }
  }
  return words.join(" ");
}

/** RFC 6533 §3, the form that is ASCII: what is not plain as \x{HEX}. */
function encodeUtf8Address(text: string): string {
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]/gu, (character) => {
    return `\\x{${character.codePointAt(0)!.toString(16).toUpperCase().padStart(2, "0")}}`;
  });
}
