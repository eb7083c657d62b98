/**
 * New parts around those a message has: put beside them in a multipart that is there, or in a new one that goes around what is there. What is inside keeps
 * every octet; of the message itself the content fields move into the header of the part that it becomes. Pure.
 */
import type { FieldEdits } from "./field-edits.ts";
import type { MailContent } from "./mail-content.ts";
import type { MimePart } from "./mime.ts";
import { type Boundaries, isSevenBit, multipartType } from "./new-part.ts";
import { behind, lineEndLength, lineEndOf, type OctetEdit } from "./octet-edit.ts";

/** A new multipart around a part. */
interface Wrapper {
  readonly subtype: "alternative" | "mixed";
  readonly boundary: string;
  readonly before: Buffer[];
  readonly after: Buffer[];
}

/** New parts at one place of a multipart that is there. */
interface Insertion {
  readonly multipart: MimePart;
  readonly at: number;
  readonly parts: Buffer[];
  readonly rank: number;
}

export class Surroundings {
  readonly #content: MailContent;
  readonly #boundaries: Boundaries;
  readonly #header: FieldEdits;
  readonly #lineEnd: string;
  readonly #edits: OctetEdit[] = [];
  readonly #insertions: Insertion[] = [];
  /** Multiparts of the message that get parts. */
  readonly #growing = new Set<MimePart>();
  /** The multipart around an inner part; there is one at most. */
  #alternative: { readonly part: MimePart; readonly wrapper: Wrapper } | undefined;
  /** The multipart around all of the message. */
  #mixed: Wrapper | undefined;
  #wrapsMessage = false;

  constructor(content: MailContent, boundaries: Boundaries, header: FieldEdits) {
    this.#content = content;
    this.#boundaries = boundaries;
    this.#header = header;
    this.#lineEnd = lineEndOf(content);
  }

  nextBoundary(): string {
    return this.#boundaries.next();
  }

  addsTo(part: MimePart): boolean {
    return this.#growing.has(part);
  }

  /** A text as the alternative to another one: `before` for the plainer. RFC 2046 §5.1.4. */
  addAlternative(beside: MimePart, part: Buffer, where: "before" | "behind"): void {
    // HTML and what it shows are one thing: the alternative is to both. RFC 2387.
    let unit = beside;
    while (unit.parent?.contentType === "multipart/related" && unit.parent.children[0] === unit) unit = unit.parent;
    if (unit.parent?.contentType === "multipart/alternative") {
      this.#insert(unit.parent, where === "before" ? this.#inFrontOf(unit) : behind(this.#content, unit), part, 3);
      return;
    }
    const wrapper: Wrapper = { subtype: "alternative", boundary: this.nextBoundary(), before: [], after: [] };
    (where === "before" ? wrapper.before : wrapper.after).push(part);
    this.#alternative = { part: unit, wrapper };
  }

  /** At the start of the message. */
  addFirst(part: Buffer): void {
    const { root } = this.#content.tree;
    const first = root.contentType === "multipart/mixed" ? root.children[0] : undefined;
    if (first) this.#insert(root, this.#inFrontOf(first), part, 0);
    else this.#around().before.push(part);
  }

  /** At the end of the message. */
  addLast(part: Buffer): void {
    const { root } = this.#content.tree;
    const last = root.contentType === "multipart/mixed" && !this.#mixed ? root.children.at(-1) : undefined;
    if (last && !this.#wrapsMessage) this.#insert(root, behind(this.#content, last), part, 4);
    else this.#around().after.push(part);
  }

  /** Puts the whole message, its header too, into a new one; `text` stands before it. */
  wrapMessage(text: Buffer | undefined): void {
    this.#wrapsMessage = true;
    if (text) this.#around().before.push(text);
    else this.#around();
  }

  /** The edits that all of this comes to. */
  finish(): readonly OctetEdit[] {
    const { root } = this.#content.tree;
    const inner = this.#alternative;
    for (const insertion of this.#insertions) this.#writeInsertion(insertion);
    if (inner && inner.part !== root) this.#wrapPart(inner.part, inner.wrapper);
    const aroundRoot = [
      ...(this.#mixed ? [this.#mixed] : []),
      ...(inner && inner.part === root ? [inner.wrapper] : []),
    ];
    if (aroundRoot.length > 0) this.#wrapRoot(aroundRoot);
    return this.#edits;
  }

  #around(): Wrapper {
    return (this.#mixed ??= { subtype: "mixed", boundary: this.nextBoundary(), before: [], after: [] });
  }

  /** One more part of a multipart, in front of a delimiter line or at the end of the message. */
  #insert(multipart: MimePart, at: number, part: Buffer, rank: number): void {
    this.#growing.add(multipart);
    const same = this.#insertions.find((one) => one.multipart === multipart && one.at === at);
    if (same) same.parts.push(part);
    else this.#insertions.push({ multipart, at, parts: [part], rank });
  }

  #writeInsertion({ multipart, at, parts, rank }: Insertion): void {
    const boundary = multipart.type.parameters.get("boundary")!.trimEnd();
    const lineEnd = Buffer.from(this.#lineEnd);
    // Written as it was read: as octets, whatever they say.
    const delimiter = Buffer.from(`--${boundary}`, "latin1");
    // What was never closed is closed now, or its last part would go on and on.
    const isOpen = at === this.#content.octets.length;
    const pieces = parts.flatMap((part) => [delimiter, lineEnd, part, lineEnd]);
    if (isOpen) pieces.push(delimiter, Buffer.from("--"), lineEnd);
    this.#edits.push({ start: at, end: at, octets: Buffer.concat([...(isOpen ? [lineEnd] : []), ...pieces]), rank });
  }

  #inFrontOf(part: MimePart): number {
    return part.delimiterStart + lineEndLength(this.#content.octets, part.delimiterStart);
  }

  #wrapPart(part: MimePart, wrapper: Wrapper): void {
    const { octets } = this.#content;
    const lineEnd = this.#lineEnd;
    const type = `${multipartType(wrapper.subtype, wrapper.boundary, lineEnd)}${lineEnd}${eightBitField(part, lineEnd)}${lineEnd}`;
    const prefix = Buffer.concat([Buffer.from(type), this.#head(wrapper)]);
    this.#edits.push({ start: part.start, end: part.start, octets: prefix, rank: -1 });
    const at = behind(this.#content, part);
    const gap = at === octets.length && lineEndLength(octets, part.bodyEnd) === 0 ? lineEnd : "";
    this.#edits.push({ start: at, end: at, octets: Buffer.concat([Buffer.from(gap), this.#tail(wrapper)]), rank: 2 });
  }

  /** @param wrappers outermost first */
  #wrapRoot(wrappers: readonly Wrapper[]): void {
    const { octets, tree } = this.#content;
    const { root } = tree;
    const lineEnd = this.#lineEnd;
    const eightBit = this.#wrapsMessage ? !isSevenBit(octets) : isEightBit(root);
    const encoding = eightBit ? `Content-Transfer-Encoding: 8bit${lineEnd}` : "";
    const moved = this.#header.takeContentFields(this.#content, lineEnd);
    const [outermost, ...others] = wrappers;
    const prefix: Buffer[] = [this.#head(outermost!)];
    for (const wrapper of others) {
      const type = `${multipartType(wrapper.subtype, wrapper.boundary, lineEnd)}${lineEnd}${encoding}${lineEnd}`;
      prefix.push(Buffer.from(type), this.#head(wrapper));
    }
    if (this.#wrapsMessage) {
      const type = `Content-Type: message/rfc822${lineEnd}Content-Disposition: inline${lineEnd}${encoding}${lineEnd}`;
      prefix.push(Buffer.from(type), octets.subarray(0, root.bodyStart));
    } else prefix.push(moved, Buffer.from(lineEnd));
    const suffix: Buffer[] = [Buffer.from(lineEnd)];
    for (const wrapper of wrappers.toReversed()) suffix.push(this.#tail(wrapper));
    if (!this.#header.has("MIME-Version")) this.#header.set("MIME-Version", "1.0");
    this.#header.set("Content-Type", `multipart/${outermost!.subtype}; boundary="${outermost!.boundary}"`);
    if (eightBit) this.#header.set("Content-Transfer-Encoding", "8bit");
    this.#edits.push(
      { start: root.bodyStart, end: root.bodyStart, octets: Buffer.concat(prefix), rank: -1 },
      { start: octets.length, end: octets.length, octets: Buffer.concat(suffix), rank: 5 },
    );
  }

  /** What a wrapper has in front of the part that it is around. */
  #head({ boundary, before }: Wrapper): Buffer {
    const lineEnd = this.#lineEnd;
    const delimiter = Buffer.from(`--${boundary}${lineEnd}`);
    return Buffer.concat([...before.flatMap((part) => [delimiter, part, Buffer.from(lineEnd)]), delimiter]);
  }

  /** What it has behind it, from the start of a line on. */
  #tail({ boundary, after }: Wrapper): Buffer {
    const lineEnd = this.#lineEnd;
    const delimiter = Buffer.from(`--${boundary}${lineEnd}`);
    return Buffer.concat([
      ...after.flatMap((part) => [delimiter, part, Buffer.from(lineEnd)]),
      Buffer.from(`--${boundary}--${lineEnd}`),
    ]);
  }
}

/** Around what has 8 bits there must not be less. RFC 2045 §6.4. */
function isEightBit(part: MimePart): boolean {
  const encoding = part.fields.get("content-transfer-encoding")?.value ?? "";
  return /^(?:8bit|binary)$/i.test(encoding) || part.children.some(isEightBit);
}

function eightBitField(part: MimePart, lineEnd: string): string {
  return isEightBit(part) ? `Content-Transfer-Encoding: 8bit${lineEnd}` : "";
}
