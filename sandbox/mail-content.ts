/**
 * What a script sees inside a message: its attachments from our own walk over the octets (mime.ts), its text and HTML from mailparser.
 * Made only when a script looks. Nothing here throws for what a message holds: what cannot be read is empty and named in `defects`.
 */

import { fileNameOf, isAttachment } from "./attachments.ts";
import { findText, isProtected } from "./body-texts.ts";
import { decodeCharset } from "./content-field.ts";
import { type MimePart, type MimeTree, parseMime } from "./mime.ts";
import { plainLine } from "./plain-line.ts";
import { isInsideSealed, isSealed } from "./protection.ts";
import type { AttachmentFacts, StructureFacts } from "./structure-facts.ts";
import { decodeTransfer } from "./transfer-encoding.ts";

/** Time mailparser gets for one message. */
export const parseMsMax = 2_000;
/** HTML longer than this is not turned into text. Characters. */
const htmlLengthMax = 1_048_576;
/** Parts that are no text and longer than this are kept from mailparser, which would decode them for nothing. Octets. */
const partOctetsMax = 16_384;
const pieceOctets = 65_536;

export class MailContent {
  readonly octets: Buffer;
  #tree: MimeTree | undefined;
  #attachments: Map<string, MimePart> | undefined;
  #structure: string | undefined;
  #texts: { readonly text: string; readonly html: string } | undefined;
  readonly #parseDefects: string[] = [];

  constructor(octets: Buffer) {
    this.octets = octets;
  }

  get tree(): MimeTree {
    return (this.#tree ??= parseMime(this.octets));
  }

  get defects(): readonly string[] {
    return [...(this.#tree?.defects ?? []), ...this.#parseDefects].map((defect) => plainLine(defect, 200));
  }

  /** Parts offered as attachments, by their number in the message, in their order. */
  get attachments(): ReadonlyMap<string, MimePart> {
    return (this.#attachments ??= collectAttachments(this.tree.root));
  }

  /** JSON of StructureFacts, for the guest. */
  structure(): string {
    return (this.#structure ??= JSON.stringify({
      attachments: [...this.attachments.values()].map((part) => this.#facts(part)),
      defects: this.defects,
      text: findText(this, "text/plain").state,
      html: findText(this, "text/html").state,
      isProtected: isProtected(this),
    } satisfies StructureFacts));
  }

  /** What the guest asks about the inside; null where it is not known, or not known yet. */
  answer(ask: string, argument: string): string | Buffer | null {
    switch (ask) {
      case "structure":
        return this.structure();
      case "text":
      case "html":
        return this.#texts?.[ask] ?? null;
      case "raw":
        return this.octets;
      case "content":
      case "content-text": {
        const part = this.attachments.get(argument);
        const octets = part ? this.content(part) : Buffer.alloc(0);
        return ask === "content" ? octets : decodeCharset(octets, part?.type.parameters.get("charset") ?? "utf-8");
      }
      default:
        return null;
    }
  }

  /** Decoded octets of a part. */
  content(part: MimePart): Buffer {
    return decodeTransfer(this.octets.subarray(part.bodyStart, part.bodyEnd), part.encoding);
  }

  /** The texts, once `parse` has found them. */
  get texts(): { readonly text: string; readonly html: string } | undefined {
    return this.#texts;
  }

  /** Gives up on the texts: reading them took a sandbox process down before. */
  skipParsing(): void {
    this.#settle("", "", "The text was not read: reading it took too long");
  }

  /** Finds text and HTML. Never rejects. */
  async parse(): Promise<void> {
    if (this.#texts) return;
    try {
      const { text, html, defect } = await readTexts(this.#readable());
      this.#settle(text, html, defect);
    } catch (thrown) {
      this.#settle(
        "",
        "",
        `The text could not be read: ${thrown instanceof Error ? thrown.message : "no reason given"}`,
      );
    }
  }

  #settle(text: string, html: string, defect: string): void {
    this.#texts = { text, html };
    if (defect !== "") this.#parseDefects.push(defect);
    this.#structure = undefined;
  }

  /** The message without the content of its large attachments. */
  #readable(): Buffer[] {
    const pieces: Buffer[] = [];
    let at = 0;
    for (const part of this.attachments.values()) {
      if (part.children.length > 0 || part.bodyEnd - part.bodyStart <= partOctetsMax || part.bodyStart < at) continue;
      pieces.push(this.octets.subarray(at, part.bodyStart));
      at = part.bodyEnd;
    }
    pieces.push(this.octets.subarray(at));
    return pieces;
  }

  #facts(part: MimePart): AttachmentFacts {
    const fileName = fileNameOf(part);
    const contentId = part.fields
      .get("content-id")
      ?.value.slice(0, 998)
      .replace(/^<([^<>]*)>$/, "$1");
    return {
      part: part.id,
      ...(fileName === undefined ? {} : { fileName }),
      contentType: part.contentType,
      size:
        part.encoding === "identity" || part.encoding === "unknown"
          ? part.bodyEnd - part.bodyStart
          : this.content(part).length,
      ...(contentId ? { contentId } : {}),
      inline:
        part.disposition.value === "inline" ||
        (part.disposition.value === "" && isRelated(part) && contentId !== undefined),
      ...sealedFacts(part),
    };
  }
}

function collectAttachments(root: MimePart): Map<string, MimePart> {
  const found = new Map<string, MimePart>();
  const visit = (part: MimePart) => {
    if (isAttachment(part)) found.set(part.id, part);
    part.children.forEach(visit);
  };
  visit(root);
  return found;
}

function sealedFacts(part: MimePart): Pick<AttachmentFacts, "sealed"> {
  if (isInsideSealed(part)) return { sealed: "inside" };
  if (!isSealed(part)) return {};
  return { sealed: part.parent === null ? "inside" : "whole" };
}

function isRelated(part: MimePart): boolean {
  return part.parent !== null && (part.parent.contentType === "multipart/related" || isRelated(part.parent));
}

/** mailparser's view, with a deadline: it reads piece by piece and can be stopped between them. */
async function readTexts(pieces: readonly Buffer[]): Promise<{ text: string; html: string; defect: string }> {
  const { MailParser } = await import("mailparser");
  const parser = new MailParser({
    skipTextToHtml: true,
    skipImageLinks: true,
    maxHtmlLengthToParse: htmlLengthMax,
    checksumAlgo: false,
  });
  const started = performance.now();
  return await new Promise((resolve, reject) => {
    const result = { text: "", html: "", defect: "" };
    const timer = setTimeout(() => parser.destroy(new Error(`took longer than ${parseMsMax} ms`)), parseMsMax);
    const settle = (error?: Error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve(result);
    };
    parser.on("data", (data) => {
      if (data.type === "attachment") {
        data.content.on("data", () => {});
        data.content.on("end", () => data.release?.());
        return;
      }
      if (typeof data.text === "string") result.text = data.text;
      if (typeof data.html === "string") result.html = data.html;
      if (data.textConversionError)
        result.defect = `The HTML could not be turned into text: ${data.textConversionError.message}`;
    });
    parser.once("error", settle);
    parser.once("end", () => settle());
    feed(parser, pieces, () => performance.now() - started > parseMsMax).catch(settle);
  });
}

async function feed(parser: NodeJS.WritableStream, pieces: readonly Buffer[], isLate: () => boolean): Promise<void> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += pieceOctets) {
      if (isLate()) throw new Error(`took longer than ${parseMsMax} ms`);
      if (!parser.write(piece.subarray(at, at + pieceOctets))) {
        await new Promise<void>((resolve) => parser.once("drain", () => resolve()));
      }
    }
  }
  parser.end();
}
