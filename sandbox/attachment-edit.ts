/** Another name or another content for an attachment: its body, and what its fields say then. Pure. */
import { withParameter } from "./content-field.ts";
import type { MimePart } from "./mime.ts";
import { encodeAttachment, formatParameter } from "./new-part.ts";
import type { PartFields } from "./octet-edit.ts";

export interface AttachmentEdit {
  readonly fileName?: string;
  readonly replaced?: { readonly octets: Buffer; readonly isText: boolean; readonly contentType: string | null };
}

export interface EditedAttachment {
  readonly body: Buffer | null;
  readonly fields: PartFields;
}

export function editAttachment(
  part: MimePart,
  { fileName, replaced }: AttachmentEdit,
  lineEnd: string,
): EditedAttachment {
  const written = part.fields.get("content-type")?.value ?? part.contentType;
  const oldName = part.type.parameters.get("name");
  // The name stands in two places in most mail, and a reader may look at either.
  const name = oldName === undefined ? undefined : (fileName ?? oldName);
  const disposition = fileName === undefined ? {} : { disposition: dispositionOf(part, fileName) };
  if (!replaced) return { body: null, fields: { ...disposition, ...(name && { type: named(written, name) }) } };
  const { octets, isText, contentType } = replaced;
  const wanted = contentType ?? part.contentType;
  const encoded = encodeAttachment({ octets, isText, fileName: "", contentType: wanted }, lineEnd);
  let type = encoded.contentType;
  if (contentType === null && type.split(";")[0] === part.contentType) {
    // Octets are said to be what they were: nobody knows better.
    type = type === part.contentType ? written : withParameter(written, "charset", ["charset=utf-8"]);
  }
  const end = part.parent === null && encoded.octets.length > 0 ? lineEnd : "";
  return {
    body: Buffer.concat([encoded.octets, Buffer.from(end)]),
    fields: { type: name ? named(type, name) : type, encoding: encoded.encoding, ...disposition },
  };
}

function named(contentType: string, fileName: string): string {
  return withParameter(contentType, "name", formatParameter("name", fileName));
}

function dispositionOf(part: MimePart, fileName: string): string {
  const written = part.fields.get("content-disposition")?.value ?? "attachment";
  return withParameter(written, "filename", formatParameter("filename", fileName));
}
