/** xtext: any octets in the characters a parameter may have; `+` and two hexadecimal digits stand for the others. RFC 3461 §4. Pure. */

const xtext = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*$/;

/** What an xtext says, read as UTF-8; null where it is none, or hides octets that are no UTF-8. (lenient: lower-case digits) */
export function decodeXtext(text: string): string | null {
  const upper = text.replace(/\+[0-9A-Fa-f]{2}/g, (code) => code.toUpperCase());
  if (!xtext.test(upper)) return null;
  if (!upper.includes("+")) return upper;
  const octets = Buffer.from(
    upper.replace(/\+(..)/g, (_code, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
    "latin1",
  );
  const decoded = octets.toString("utf8");
  return Buffer.from(decoded).equals(octets) ? decoded : null;
}

/** The xtext that says this; what is not ASCII as its octets in UTF-8. */
export function encodeXtext(text: string): string {
  if (/^[\x21-\x2a\x2c-\x3c\x3e-\x7e]*$/.test(text)) return text;
  let encoded = "";
  for (const octet of Buffer.from(text)) {
    const plain = octet > 0x20 && octet < 0x7f && octet !== 0x2b && octet !== 0x3d;
    encoded += plain ? String.fromCharCode(octet) : `+${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
