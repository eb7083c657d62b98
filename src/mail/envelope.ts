/**
 * What a client asks for with a message beside where it goes: the parameters of MAIL and RCPT that outlive the session. They travel on the
 * envelope, are stored with it, and are passed on to the next hop. Pure.
 */

/** RFC 3461 §4.1. `never` stands alone. */
export type Notify = "never" | "success" | "failure" | "delay";

/** The address as the sender wrote it, before anybody rewrote it. RFC 3461 §4.2. */
export interface OriginalRecipient {
  /** `rfc822`, `utf-8`. */
  readonly type: string;
  /** Decoded from xtext; of the type `utf-8` it may still hold `\x{HEX}` as RFC 6533 §3 writes it in ASCII. */
  readonly address: string;
}

/** Of the whole message. What is absent was not asked for. */
export interface EnvelopeOptions {
  /** `BINARYMIME` only where the octets came by BDAT and may be any. RFC 6152, RFC 3030. */
  readonly body?: "7BIT" | "8BITMIME" | "BINARYMIME";
  /** RFC 6531. */
  readonly smtpUtf8?: true;
  /** Only over verified TLS from here on. RFC 8689. */
  readonly requireTls?: true;
  /** How much of the message a report carries. RFC 3461 §4.3. */
  readonly ret?: "FULL" | "HDRS";
  /** Decoded from xtext; goes into reports. RFC 3461 §4.4. */
  readonly envelopeId?: string;
}

/** Of one recipient. */
export interface RecipientOptions {
  /** Which outcomes to report; absent: failure, and delay where we like. RFC 3461 §4.1. */
  readonly notify?: readonly Notify[];
  readonly originalRecipient?: OriginalRecipient;
  /** Next hop that a sink chose for him, as `formatNextHop` writes it; before every route. */
  readonly route?: string;
  /** Folder of his mailbox that a sink chose. */
  readonly folder?: string;
  /** As what a sink took him at RCPT: he is that, though no file names him. */
  readonly accepted?: "local" | "relay";
}

/** MAIL's parameters as a sink sees them: the envelope's options, and those that matter to the session alone. */
export interface MailOptions extends EnvelopeOptions {
  /** What the client says the message will have. RFC 1870. */
  readonly sizeOctets?: number;
  /** Who submitted it, as the client says; "" is nobody. Read and not believed. RFC 4954 §5. */
  readonly submitter?: string;
  /** A reply for each recipient is wanted at the end of data. draft-hall-prdr. */
  readonly prdr?: true;
}

/** Those of MAIL's options that stay with the envelope. */
export function envelopeOptionsOf({
  sizeOctets: _size,
  submitter: _submitter,
  prdr: _prdr,
  ...kept
}: MailOptions): EnvelopeOptions {
  return kept;
}
