/**
 * What goes to the thread that verifies and what comes back; and how much of a header it is shown. Somebody who writes a message chooses how many
 * fields and signatures it has: what is over a bound is not looked at, and never stops the mail.
 */
import type { AuthFacts } from "../mail/auth-facts.ts";
import { type Field, Header } from "../mail/header.ts";

export interface VerifyWork {
  readonly ip: string;
  readonly helo: string;
  readonly hostname: string;
  /** Without brackets; null for the null reverse-path. */
  readonly reversePath: string | null;
  /** The header as far as it is looked at, with the empty line behind it. */
  readonly header: Uint8Array;
  /** The octets, or the path of the file that holds them. */
  readonly body: Uint8Array | string;
  /** The header was too large: its signatures are not looked at. */
  readonly cut: boolean;
}

export type VerifyResult = Omit<AuthFacts, "iprev">;

export interface DnsQuestion {
  readonly name: string;
  /** `A`, `AAAA`, `MX`, `TXT`, `PTR`, `CNAME`. */
  readonly type: string;
}

/** As node:dns has it; `failed` with its error code. */
export type DnsReply =
  | { readonly kind: "found"; readonly values: readonly unknown[] }
  | { readonly kind: "failed"; readonly code: string };

/** Look-ups for one message: SPF may need some 110 (RFC 7208 §4.6.4), a signature one, DMARC a few. */
export const lookupsMax = 200;

/** DKIM signatures that are looked at, from the top. RFC 6376 §6.1 leaves the number to us. */
export const signaturesMax = 10;
/** Octets of one signature field; the largest there is need is that of a 4,096 bit key and a long list of fields. */
export const signatureOctetsMax = 8 * 1024;
/**
 * Fields, octets, lines and blanks in a row above which no signature is looked at: the library's time grows with the square of some of them, and whoever writes
 * a message chooses them.
 */
export const fieldsMax = 1_000;
export const headerOctetsMax = 128 * 1024;
export const linesMax = 4_000;
export const blanksMax = 256;
/** From fields that are shown where the header is too large: two are enough to see that there is not one. */
const fromFieldsMax = 2;

/** What of the header is looked at. SPF and DMARC are asked whatever its size, so that no header is a way around them. */
export function visibleHeader(header: Header): { readonly header: Header; readonly cut: boolean } {
  if (header.fields.length > fieldsMax || isTooLarge(header.octets)) {
    const from = header.fields.filter((field) => isNamed(field, "from") && field.octets.length <= signatureOctetsMax);
    return { header: new Header(from.slice(0, fromFieldsMax)), cut: true };
  }
  let signatures = 0;
  const fields = header.fields.filter((field) => {
    if (!isNamed(field, "dkim-signature")) return true;
    return field.octets.length <= signatureOctetsMax && ++signatures <= signaturesMax;
  });
  return { header: fields.length === header.fields.length ? header : new Header(fields), cut: false };
}

function isTooLarge(octets: Buffer): boolean {
  if (octets.length > headerOctetsMax) return true;
  let lines = 0;
  let blanks = 0;
  for (const octet of octets) {
    if (octet === 0x0a && ++lines > linesMax) return true;
    const isBlank = octet === 0x20 || octet === 0x09 || octet === 0x0a || octet === 0x0d;
    blanks = isBlank ? blanks + 1 : 0;
    if (blanks > blanksMax) return true;
  }
  return false;
}

function isNamed(field: Field, name: string): boolean {
  return field.name.length === name.length && field.name.toLowerCase() === name;
}
