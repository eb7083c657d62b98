/**
 * Which parts are signed or encrypted: an octet changed in there, and the signature is void or nothing can be read. RFC 1847 (multipart/signed,
 * multipart/encrypted), RFC 8551 (S/MIME), RFC 3156 and RFC 9580 (OpenPGP, also as text with a signature or cipher of its own in it).
 */
import type { ReadableParts } from "./attachments.ts";
import type { MimePart } from "./mime.ts";

const pgpBlock = /^-----BEGIN PGP (?:SIGNED |)MESSAGE/m;
/** Octets of a text that are looked at for such a block. */
const startOctets = 65_536;

/** Whether this part, with all that is in it, is signed or encrypted. */
export function isSealed(part: MimePart): boolean {
  if (/^multipart\/(?:signed|encrypted)$|^application\/(?:x-)?pkcs7-mime$/.test(part.contentType)) return true;
  if (part.contentType !== "application/octet-stream") return false;
  // Older S/MIME names itself by its file alone. RFC 8551 §3.2.1.
  const name = part.disposition.parameters.get("filename") || part.type.parameters.get("name") || "";
  return /\.p7m$/i.test(name);
}

/** Whether the part is inside of one that is sealed. */
export function isInsideSealed(part: MimePart): boolean {
  for (let outer = part.parent; outer !== null; outer = outer.parent) if (isSealed(outer)) return true;
  return false;
}

/** Whether a text holds a signature or a cipher. */
export function hasPgpBlock(content: ReadableParts, part: MimePart): boolean {
  return pgpBlock.test(content.content(part).toString("latin1", 0, startOctets));
}
