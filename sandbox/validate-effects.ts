/** Checks what a run asks for, as it comes from a sandbox process: whether it can be read at all. Whether it may be done is the writer's to say (src/scripting). */
import type {
  BodySplice,
  Effects,
  FieldResult,
  PartChange,
  RecipientRefusal,
  RunRequest,
  SubmissionResult,
  WayResult,
} from "./protocol.ts";
import { integer, list, ProtocolError, plain, record, text } from "./shape-check.ts";
import { submissionId } from "./submission-id.ts";
import { checkPowers } from "./validate-powers.ts";

const fieldName = /^[!-9;-~]{1,76}$/;
const fieldControl = /[\x00-\x08\x0a-\x1f\x7f]/;
const addressLengthMax = 330;
const fieldValueLengthMax = 65_536;
const partNumber = /^(?:\d{1,4}(?:\.\d{1,4}){0,200})?$/;
/** Parts a message is read as, and a few. */
const partsMax = 2_000;
/** Of each part its body and three fields, and what is put around them. */
const splicesMax = 8_000;
/** Content fields the child may rewrite beside what the script edits. */
const ownFieldEdits = 8;

const partOps = ["add", "remove", "replace", "rename", "append", "set", "wrap"] satisfies PartChange["op"][];
const submissionKinds = ["submit", "reply", "forward"] satisfies SubmissionResult["kind"][];
const notesLengthMax = 65_536;
const notesDepthMax = 64;
const submissionsMax = 1_000;
const recipientsMax = 1_000;
const wayLengthMax = 2_000;
const yearMs = 366 * 86_400_000;

/** Octets of all splices and new messages of a run, one after the other. */
export interface OctetTail {
  at: number;
  readonly tail: Buffer;
}

export interface EffectCounts {
  readonly fields: number;
  readonly recipients: number;
  /** Index of the step in the request. */
  readonly step: number;
}

export function checkEffects(
  effects: Readonly<Record<string, unknown>>,
  request: RunRequest,
  counts: EffectCounts,
  octets: OctetTail,
): Effects {
  const { actionsMax } = request.steps[counts.step]!.limits;
  const addressesMax = counts.recipients + actionsMax;
  const checked: { -readonly [Key in keyof Effects]: Effects[Key] } = {};
  // The octets of the splices come before those of the new messages.
  if (effects["splices"] !== undefined)
    checked.splices = checkSplices(effects["splices"], request.mail?.size ?? 0, octets);
  for (const [key, value] of Object.entries(effects)) {
    if (key === "splices") continue;
    if (key === "from") checked.from = value === null ? null : address(value);
    else if (key === "to") checked.to = list(value, addressesMax, "recipients").map(address);
    else if (key === "fields") checked.fields = checkFields(value, counts.fields, actionsMax);
    else if (key === "parts") checked.parts = list(value, partsMax + actionsMax, "parts").map(checkPart);
    else if (key === "notes") checked.notes = checkNotes(value);
    else if (key === "routes") checked.routes = checkWays(value, actionsMax, addressesMax);
    else if (key === "folders") checked.folders = checkWays(value, actionsMax, addressesMax);
    else if (key === "refusals") checked.refusals = list(value, addressesMax, "refusals").map(checkRefusal);
    else if (key === "submissions") checked.submissions = checkSubmissions(value, request, counts.step, octets);
    else if (key === "powers") checked.powers = checkPowers(value, actionsMax);
    else throw new ProtocolError("An effect of no known kind");
  }
  return checked;
}

function checkNotes(given: unknown): NonNullable<Effects["notes"]> {
  const notes = record(given, "notes");
  checkDepth(notes, 0);
  text(JSON.stringify(notes), notesLengthMax, "notes");
  return notes as NonNullable<Effects["notes"]>;
}

function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > notesDepthMax) throw new ProtocolError("Notes that are nested too deep");
  for (const inner of Object.values(value)) checkDepth(inner, depth + 1);
}

function checkWays(given: unknown, waysMax: number, addressesMax: number): readonly WayResult[] {
  return list(given, waysMax, "ways").map((way): WayResult => {
    const { recipients, to } = record(way, "way");
    return {
      recipients: recipients === null ? null : list(recipients, addressesMax, "recipients").map(address),
      to: to === null ? null : plain(to, wayLengthMax, "way"),
    };
  });
}

function checkRefusal(given: unknown): RecipientRefusal {
  const { recipient, code, status, text: words } = record(given, "refusal");
  const number = integer(code, "code");
  if (number < 500 || number > 599) throw new ProtocolError("A refusal with another code");
  const enhanced = text(status, 9, "status");
  if (!/^5\.\d{1,3}\.\d{1,3}$/.test(enhanced)) throw new ProtocolError("A refusal with another status");
  return { recipient: address(recipient), code: number, status: enhanced, text: plain(words, 480, "refusal") };
}

function checkSubmissions(
  given: unknown,
  request: RunRequest,
  step: number,
  octets: OctetTail,
): readonly SubmissionResult[] {
  const { mail } = request;
  if (mail === null) throw new ProtocolError("A message made of none");
  return list(given, submissionsMax, "submissions").map((one, index): SubmissionResult => {
    const { kind, id, from, to, fields, octets: length, onceWithinMs } = record(one, "submission");
    if (!submissionKinds.includes(kind as SubmissionResult["kind"]))
      throw new ProtocolError("A submission of no known kind");
    const expected = submissionId(request, request.steps[step]!, mail, index);
    if (id !== expected) throw new ProtocolError("A submission with an id of its own");
    if ((length === null) !== (kind === "forward")) throw new ProtocolError("A submission with the wrong octets");
    return {
      kind: kind as SubmissionResult["kind"],
      id: expected,
      ...(from === undefined ? {} : { from: from === null ? null : address(from) }),
      to: list(to, recipientsMax, "recipients").map(address),
      fields: list(fields, 1_000, "fields").map(checkNewField),
      octets: length === null ? null : takeOctets(octets, integer(length, "octets")),
      ...(onceWithinMs === undefined ? {} : { onceWithinMs: Math.min(integer(onceWithinMs, "onceWithinMs"), yearMs) }),
    };
  });
}

function takeOctets(octets: OctetTail, length: number): Buffer {
  if (octets.at + length > octets.tail.length) throw new ProtocolError("Octets that did not come");
  octets.at += length;
  return octets.tail.subarray(octets.at - length, octets.at);
}

function checkFields(given: unknown, count: number, actionsMax: number): readonly FieldResult[] {
  const seen = new Set<number>();
  return list(given, count + actionsMax + ownFieldEdits, "fields").map((field): FieldResult => {
    if (typeof field === "number") {
      if (!Number.isInteger(field) || field < 0 || field >= count || seen.has(field))
        throw new ProtocolError("A field that did not go in, or comes back twice");
      seen.add(field);
      return field;
    }
    return checkNewField(field);
  });
}

function checkNewField(given: unknown): readonly [name: string, value: string] {
  const pair = list(given, 2, "field");
  const name = text(pair[0], 76, "field name");
  const value = text(pair[1], fieldValueLengthMax, "field value");
  if (!fieldName.test(name) || fieldControl.test(value)) throw new ProtocolError("A field that cannot be written");
  return [name, value];
}

function checkSplices(given: unknown, sizeOctets: number, octets: OctetTail): readonly BodySplice[] {
  let last = 0;
  return list(given, splicesMax, "splices").map((splice): BodySplice => {
    const [start, end, length] = list(splice, 3, "splice").map((number) => integer(number, "splice")) as [
      number,
      number,
      number,
    ];
    if (length === undefined || start < last || end < start || end > sizeOctets)
      throw new ProtocolError("Splices out of order or outside of the body");
    last = end;
    return { start, end, octets: takeOctets(octets, length) };
  });
}

function checkPart(given: unknown): PartChange {
  const part = record(given, "part");
  const { op, fileName } = part;
  if (!partOps.includes(op as PartChange["op"])) throw new ProtocolError("A part to which something unknown happened");
  const number = text(part["part"], 1_200, "part");
  if (!partNumber.test(number)) throw new ProtocolError("A part with no number");
  const change = {
    op: op as PartChange["op"],
    part: number,
    contentType: plain(part["contentType"], 200, "content type"),
  } as const;
  return fileName === undefined ? change : { ...change, fileName: plain(fileName, 200, "file name") };
}

function address(given: unknown): string {
  const words = text(given, addressLengthMax, "address");
  if (/[\x00-\x1f\x7f]/.test(words) || words.indexOf("@") < 1) throw new ProtocolError("An address that is none");
  return words;
}
