/** A new message from what a script gives: fields, texts, attachments. Everything but a message put inside is in ASCII; the server writes the fields (src/mail/header.ts). Pure. */
import { attachmentPart, Boundaries, isSevenBit, multipart, type NewAttachmentInput, textPart } from "./new-part.ts";

export interface ComposeInput {
  readonly id: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly text: string | null;
  readonly html: string | null;
  readonly attachments: readonly NewAttachmentInput[];
}

export interface ComposedMessage {
  /** Those given, and what says what the body is. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

const lineEnd = "\r\n";

export function composeMessage({ id, fields, text, html, attachments }: ComposeInput): ComposedMessage {
  const boundaries = new Boundaries(
    id,
    attachments.map(({ octets }) => octets).concat(Buffer.from(text ?? ""), Buffer.from(html ?? "")),
  );
  const texts = [
    ...(text === null && html !== null ? [] : [textPart("text/plain", text ?? "", lineEnd)]),
    ...(html === null ? [] : [textPart("text/html", html, lineEnd)]),
  ];
  const content = texts.length === 1 ? texts[0]! : multipart("alternative", boundaries.next(), texts, lineEnd);
  const parts = [content, ...attachments.map((attachment) => attachmentPart(attachment, lineEnd))];
  const whole = parts.length === 1 ? content : multipart("mixed", boundaries.next(), parts, lineEnd);
  return splitPart(whole, fields);
}

/** The part's header as fields of a message, and its body, which ends with a line end. */
function splitPart(part: Buffer, fields: ComposedMessage["fields"]): ComposedMessage {
  const end = part.indexOf("\r\n\r\n");
  const own = part
    .toString("latin1", 0, end)
    .replace(/\r\n /g, " ")
    .split("\r\n")
    .map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
  const body = part.subarray(end + 4);
  const hasEncoding = own.some(([name]) => name === "Content-Transfer-Encoding");
  return {
    fields: [
      ...fields,
      ["MIME-Version", "1.0"],
      ...own,
      // A message put inside may hold 8 bits: what is around it says so. RFC 2045 §6.4.
      ...(hasEncoding || isSevenBit(body) ? [] : [["Content-Transfer-Encoding", "8bit"] as const]),
    ],
    body: body.length > 0 && body.at(-1) === 0x0a ? body : Buffer.concat([body, Buffer.from(lineEnd)]),
  };
}
