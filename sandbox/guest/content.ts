/** Runs inside the isolate: octets and texts a script writes, on their way to the child; and its edits of the body, noted in their order. */
import { describe } from "./headers.ts";
import { Bytes, codeAt, getPrototypeOf, matches, octetsOf, quote, slice, trim, uncurry } from "./primordials.ts";
import { alive, askChild, countAction, fail, invalid, type RunState } from "./run-state.ts";

/** A text, or octets where they are. */
export type GivenContent = string | Uint8Array<ArrayBuffer>;

/** Octets that go over in one piece; a whole number of three, so that base64 has no end in between. */
const pieceOctets = 786_432;
const fileNameLengthMax = 255;
const contentTypeLengthMax = 200;
const contentTypePattern =
  /^[A-Za-z0-9!#$&^_.+-]+\/[A-Za-z0-9!#$&^_.+-]+(?:; ?[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+-]+|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*$/;
const multipartType = /^multipart\//i;
const contentIdPattern = /^[^\s<>\x00-\x20\x7f-\uffff]{1,200}$/;
const control = /[\x00-\x1f\x7f]/;
// Line ends and tabs may be in a text.
const textControl = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;

const { isView } = ArrayBuffer;
const typedArray = getPrototypeOf(Uint8Array.prototype) as object;
const getter = <Value>(of: object, name: string): ((self: object) => Value) =>
  uncurry(Object.getOwnPropertyDescriptor(of, name)!.get as (this: object) => Value);
const viewBuffer = getter<ArrayBuffer>(typedArray, "buffer");
const viewOffset = getter<number>(typedArray, "byteOffset");
const viewLength = getter<number>(typedArray, "byteLength");
const dataBuffer = getter<ArrayBuffer>(DataView.prototype, "buffer");
const dataOffset = getter<number>(DataView.prototype, "byteOffset");
const dataLength = getter<number>(DataView.prototype, "byteLength");
const bufferLength = getter<number>(ArrayBuffer.prototype, "byteLength");
const kindOf = getter<string | undefined>(typedArray, Symbol.toStringTag as never);
const toBase64: (octets: Uint8Array) => string = uncurry(
  (Uint8Array.prototype as Uint8Array & { toBase64(): string }).toBase64,
);

/** A text or octets, as `content` is given. */
export function contentGiven(state: RunState, what: string, given: unknown): GivenContent {
  if (typeof given === "string") return given;
  const octets = octetsGiven(given);
  if (octets) return octets;
  return invalid(state, `${what} is a text or octets (Uint8Array, ArrayBuffer), not ${describe(given)}`);
}

/** A text to be written into a message. */
export function textGiven(state: RunState, what: string, given: unknown): string {
  if (typeof given !== "string") return invalid(state, `${what} takes a text, not ${describe(given)}`);
  if (matches(textControl, given))
    invalid(state, `${what} takes a text without control characters other than line ends and tabs`);
  return given;
}

/** Hands it to the child; gives its number there. */
export function putContent(state: RunState, content: GivenContent): number {
  const max = state.step.contentOctetsMax;
  if (typeof content === "string") {
    count(state, octetsOf(content, max));
    return taken(state, askChild("put", `nt${content}`));
  }
  const length = viewLength(content);
  count(state, length);
  let number = taken(state, askChild("put", "nb"));
  for (let at = 0; at < length; at += pieceOctets) {
    const end = at + pieceOctets < length ? at + pieceOctets : length;
    const piece = new Bytes(viewBuffer(content), viewOffset(content) + at, end - at);
    number = taken(state, askChild("put", `+b${toBase64(piece)}`));
  }
  return number;
}

/** Notes an edit of the body, as JSON of a GuestEdit (step-effects.ts). */
export function noteEdit(state: RunState, json: string): void {
  countAction(state, json.length);
  state.edits += state.edits === "" ? json : `,${json}`;
}

export function fileNameGiven(state: RunState, given: unknown): string {
  if (typeof given !== "string" || trim(given) === "")
    return invalid(state, `A file name is a text of at least one character, not ${describe(given)}`);
  if (given.length > fileNameLengthMax || matches(control, given))
    return invalid(state, `A file name has at most ${fileNameLengthMax} characters, and no control characters`);
  return given;
}

/** null where it is not given. */
export function contentTypeGiven(state: RunState, given: unknown): string | null {
  if (given === undefined) return null;
  if (typeof given !== "string" || given.length > contentTypeLengthMax || !matches(contentTypePattern, given))
    return invalid(state, `A content type is a text such as "application/pdf", not ${describe(given)}`);
  if (matches(multipartType, given))
    return invalid(state, "A content type of one part cannot be a multipart: attach its parts one by one");
  return given;
}

/** JSON of an attachment, its content handed over; null for what is none. */
export function attachmentGiven(state: RunState, given: unknown): string {
  alive(state);
  if (typeof given !== "object" || given === null)
    return invalid(state, `An attachment is { content, fileName }, not ${describe(given)}`);
  // Each is read once: a getter may give something else the next time.
  const { content, fileName, contentType, contentId } = given as {
    content?: unknown;
    fileName?: unknown;
    contentType?: unknown;
    contentId?: unknown;
  };
  const name = fileNameGiven(state, fileName);
  const type = contentTypeGiven(state, contentType);
  if (contentId !== undefined && !(typeof contentId === "string" && matches(contentIdPattern, contentId)))
    invalid(state, 'A content id is a text such as "logo@example.org", without brackets and white space');
  const octets = contentGiven(state, "The content of an attachment", content);
  const number = putContent(state, octets);
  return `{"content":${number},"isText":${typeof octets === "string"},"fileName":${quote(name)},"contentType":${type === null ? "null" : quote(type)},"contentId":${contentId === undefined ? "null" : quote(contentId as string)}}`;
}

/** Whether an option is true; anything else than a truth value is a fault. */
export function flagGiven(state: RunState, options: unknown, name: string): boolean {
  if (options === undefined || options === null) return false;
  if (typeof options !== "object") return invalid(state, `Options are an object, not ${describe(options)}`);
  const value: unknown = (options as Record<string, unknown>)[name];
  if (value === undefined || typeof value === "boolean") return value === true;
  return invalid(state, `${name} is true or false, not ${describe(value)}`);
}

function octetsGiven(given: unknown): Uint8Array<ArrayBuffer> | null {
  if (typeof given !== "object" || given === null) return null;
  if (isView(given)) {
    return kindOf(given) === undefined
      ? new Bytes(dataBuffer(given), dataOffset(given), dataLength(given))
      : new Bytes(viewBuffer(given), viewOffset(given), viewLength(given));
  }
  try {
    bufferLength(given);
  } catch {
    return null;
  }
  return new Bytes(given as ArrayBuffer);
}

function count(state: RunState, octets: number): void {
  state.contentOctets += octets;
  if (state.contentOctets > state.step.contentOctetsMax) tooMuch(state);
}

function taken(state: RunState, number: unknown): number {
  return number === false ? tooMuch(state) : numberOf(number as string);
}

function tooMuch(state: RunState): never {
  return fail(
    state,
    "script.action-limit",
    `More than ${state.step.contentOctetsMax} octets of content in one run: write less, or raise scripts.limits.content_max`,
  );
}

/** The number a text of digits stands for. */
function numberOf(digits: string): number {
  let number = 0;
  for (let i = 0; i < digits.length; i++) number = number * 10 + (codeAt(digits, i) - 48);
  return number;
}

/** A file name or a name for people, cut where it is long. */
export function shown(text: string): string {
  return text.length > 60 ? `${slice(text, 0, 60)}…` : text;
}
