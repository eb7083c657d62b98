/** Parts that are written anew: texts, attachments, multiparts around them, with their fields. Everything is in ASCII but a message put inside. Pure. */
import { createHash } from "node:crypto";
import { encodeBase64, encodeQuotedPrintable } from "./transfer-encoding.ts";

/** Octets of a line. RFC 5322 §2.1.1. */
export const lineOctetsMax = 998;
/** Characters of one piece of a parameter that is split. RFC 2231 §3. */
const pieceLengthMax = 60;

export interface NewAttachmentInput {
  readonly octets: Buffer;
  /** Whether the script gave a text, which is UTF-8 then. */
  readonly isText: boolean;
  readonly fileName: string;
  readonly contentType: string | null;
  readonly contentId: string | null;
}

const typesByEnding: Readonly<Record<string, string>> = {
  csv: "text/csv",
  doc: "application/msword",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  eml: "message/rfc822",
  gif: "image/gif",
  gz: "application/gzip",
  htm: "text/html",
  html: "text/html",
  ics: "text/calendar",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  odt: "application/vnd.oasis.opendocument.text",
  pdf: "application/pdf",
  png: "image/png",
  ppt: "application/vnd.ms-powerpoint",
  pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
  svg: "image/svg+xml",
  txt: "text/plain",
  vcf: "text/vcard",
  webp: "image/webp",
  xls: "application/vnd.ms-excel",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  xml: "application/xml",
  zip: "application/zip",
};

/** What a file name's ending says; "application/octet-stream" where it says nothing. */
export function typeOfFileName(fileName: string): string {
  const ending = /\.([A-Za-z0-9]{1,8})$/.exec(fileName)?.[1]?.toLowerCase() ?? "";
  return Object.hasOwn(typesByEnding, ending) ? typesByEnding[ending]! : "application/octet-stream";
}

/** A part of text: 7bit where it can be, else quoted-printable; ends without a line end. */
export function textPart(type: "text/plain" | "text/html", text: string, lineEnd: string): Buffer {
  const octets = Buffer.from(withLineEnds(text, lineEnd));
  const ascii = isSevenBit(octets);
  const asIs = ascii && linesFit(octets);
  const head = `Content-Type: ${type}; charset=${ascii ? "us-ascii" : "utf-8"}${lineEnd}${asIs ? "" : `Content-Transfer-Encoding: quoted-printable${lineEnd}`}${lineEnd}`;
  return Buffer.concat([Buffer.from(head), asIs ? octets : encodeQuotedPrintable(octets, lineEnd)]);
}

/** An attachment: base64, but a message, which must not be encoded (RFC 2046 §5.2.1) and is written as it is. */
export function attachmentPart(attachment: NewAttachmentInput, lineEnd: string): Buffer {
  const { fileName, contentId } = attachment;
  const { contentType, encoding, octets } = encodeAttachment(attachment, lineEnd);
  const names = formatParameter("name", fileName);
  const head = [
    `Content-Type: ${[contentType, ...names].join(`;${lineEnd} `)}`,
    ...(encoding === "" ? [] : [`Content-Transfer-Encoding: ${encoding}`]),
    `Content-Disposition: ${[contentId === null ? "attachment" : "inline", ...formatParameter("filename", fileName)].join(`;${lineEnd} `)}`,
    ...(contentId === null ? [] : [`Content-ID: <${contentId}>`]),
  ].join(lineEnd);
  return Buffer.concat([Buffer.from(`${head}${lineEnd}${lineEnd}`), octets]);
}

/** What an attachment is written as; `encoding` is "" for 7bit. */
export function encodeAttachment(
  { octets, isText, fileName, contentType }: Omit<NewAttachmentInput, "contentId">,
  lineEnd: string,
): { readonly contentType: string; readonly encoding: string; readonly octets: Buffer } {
  const type = contentType ?? typeOfFileName(fileName);
  if (/^message\//i.test(type)) {
    const message = withLineEndsOf(octets, lineEnd);
    if (!message.includes(0) && linesFit(message))
      return { contentType: type, encoding: isSevenBit(message) ? "" : "8bit", octets: message };
    return {
      contentType: "application/octet-stream",
      encoding: "base64",
      octets: encodeBase64(octets, lineEnd),
    };
  }
  const named = isText && /^text\//i.test(type) && !/;\s*charset\s*=/i.test(type) ? `${type}; charset=utf-8` : type;
  return { contentType: named, encoding: "base64", octets: encodeBase64(octets, lineEnd) };
}

/** A parameter as `name=value`, in as many pieces as it takes, all of them ASCII. RFC 2045 §5.1, RFC 2231. */
export function formatParameter(name: string, value: string): readonly string[] {
  if (/^[\x20-\x7e]*$/.test(value) && value.length <= pieceLengthMax && !value.includes("=?"))
    return [`${name}="${value.replace(/(["\\])/g, "\\$1")}"`];
  const pieces = [""];
  for (const octet of Buffer.from(value)) {
    const plain = /[A-Za-z0-9._-]/.test(String.fromCharCode(octet)) && octet < 0x80;
    const token = plain ? String.fromCharCode(octet) : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
    if (pieces.at(-1)!.length + token.length > pieceLengthMax) pieces.push("");
    pieces.push(pieces.pop()! + token);
  }
  if (pieces.length === 1) return [`${name}*=utf-8''${pieces[0]}`];
  return pieces.map((piece, index) => `${name}*${index}*=${index === 0 ? "utf-8''" : ""}${piece}`);
}

/** Parts put together, and behind the last delimiter nothing. */
export function multipart(
  subtype: "alternative" | "mixed",
  boundary: string,
  parts: readonly Buffer[],
  lineEnd: string,
): Buffer {
  const pieces: Buffer[] = [Buffer.from(`${multipartType(subtype, boundary, lineEnd)}${lineEnd}${lineEnd}`)];
  for (const part of parts) pieces.push(Buffer.from(`--${boundary}${lineEnd}`), part, Buffer.from(lineEnd));
  pieces.push(Buffer.from(`--${boundary}--${lineEnd}`));
  return Buffer.concat(pieces);
}

export function multipartType(subtype: string, boundary: string, lineEnd: string): string {
  return `Content-Type: multipart/${subtype};${lineEnd} boundary="${boundary}"`;
}

/**
 * Boundaries that are in none of these octets: the same ones again for the same octets. `=_` is in no text of ours that is encoded (RFC 2045 §6.7); for what is
 * written as it is, it is looked for.
 */
export class Boundaries {
  readonly #inside: readonly Buffer[];
  readonly #seed: string;
  #count = 0;

  constructor(seed: string, inside: readonly Buffer[]) {
    this.#seed = seed;
    this.#inside = inside;
  }

  next(): string {
    for (;;) {
      const hash = createHash("sha256")
        .update(`${this.#seed}\n${this.#count++}`)
        .digest("hex");
      const boundary = `=_${hash.slice(0, 32)}`;
      if (!this.#inside.some((octets) => octets.includes(boundary, 0, "latin1"))) return boundary;
    }
  }
}

export function withLineEnds(text: string, lineEnd: string): string {
  return text.replace(/\r\n|\r|\n/g, lineEnd);
}

export function isSevenBit(octets: Uint8Array): boolean {
  for (let i = 0; i < octets.length; i++) if (octets[i]! > 0x7f) return false;
  return true;
}

export function linesFit(octets: Buffer): boolean {
  for (let at = 0; at < octets.length; ) {
    const lineFeed = octets.indexOf(0x0a, at);
    const end = lineFeed === -1 ? octets.length : lineFeed;
    if (end - at - (octets[end - 1] === 0x0d ? 1 : 0) > lineOctetsMax) return false;
    at = end + 1;
  }
  return true;
}

function withLineEndsOf(octets: Buffer, lineEnd: string): Buffer {
  return Buffer.from(withLineEnds(octets.toString("latin1"), lineEnd), "latin1");
}
