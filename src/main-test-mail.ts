/** A message for a test, made of the parts a test file names (sandbox/api-test.ts). */
import { composeMessage } from "../sandbox/compose.ts";
import type { NewAttachmentInput } from "../sandbox/new-part.ts";
import { createField } from "./mail/header.ts";

interface GivenAttachment {
  readonly fileName?: unknown;
  readonly contentType?: unknown;
  readonly contentId?: unknown;
  readonly text?: unknown;
  readonly base64?: unknown;
}

const fromDefault = "ann@example.org";
const toDefault = "bob@example.test";
const date = "Thu, 01 Jan 2026 12:00:00 +0000";
const messageId = "<test@example.org>";

/** @throws {Fault} `header.field-name`, `header.field-value` for what cannot be written, {TypeError} for what is none of the parts */
export function composeTestMail(given: unknown): Buffer {
  if (typeof given === "string") return Buffer.from(given.replace(/\r\n?|\n/g, "\r\n"));
  if (typeof given !== "object" || given === null)
    throw new TypeError("mail takes an object, or the text of a message");
  const {
    from = fromDefault,
    to = toDefault,
    cc,
    subject,
    text,
    html,
    headers = {},
    attachments = [],
  } = given as Readonly<Record<string, unknown>>;
  const fields: (readonly [string, string])[] = [
    ["From", line(from, "from")],
    ["To", addresses(to, "to")],
    ...(cc === undefined ? [] : [["Cc", addresses(cc, "cc")] as const]),
    ...(subject === undefined ? [] : [["Subject", line(subject, "subject")] as const]),
    ["Date", date],
    ["Message-ID", messageId],
  ];
  const further = Object.entries(headers as object).map(([name, value]) => [name, line(value, name)] as const);
  const isGiven = (name: string) => further.some(([other]) => other.toLowerCase() === name.toLowerCase());
  const composed = composeMessage({
    id: "test",
    fields: [...fields.filter(([name]) => !isGiven(name)), ...further],
    text: text === undefined ? null : line(text, "text"),
    html: html === undefined ? null : line(html, "html"),
    attachments: (attachments as readonly GivenAttachment[]).map(readAttachment),
  });
  const header = composed.fields.map(([name, value]) => createField(name, value).octets);
  return Buffer.concat([...header, Buffer.from("\r\n"), composed.body]);
}

function readAttachment({ fileName, contentType, contentId, text, base64 }: GivenAttachment): NewAttachmentInput {
  const isText = typeof base64 !== "string";
  return {
    fileName: line(fileName, "fileName"),
    contentType: contentType === undefined ? null : line(contentType, "contentType"),
    contentId: contentId === undefined ? null : line(contentId, "contentId"),
    isText,
    octets: isText ? Buffer.from(line(text, "content")) : Buffer.from(base64, "base64"),
  };
}

function addresses(given: unknown, what: string): string {
  return Array.isArray(given) ? given.map((one) => line(one, what)).join(", ") : line(given, what);
}

function line(given: unknown, what: string): string {
  if (typeof given !== "string") throw new TypeError(`${what} is a text, not ${typeof given}`);
  return given;
}
