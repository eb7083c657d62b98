/**
 * Applies what a run asks for: all of it, or, where any of it is not valid, nothing. Everything is checked again here, at the writer:
 * the sandbox is not trusted to have done so.
 */
import type { BodySplice, Effects, FieldResult, PartChange } from "../../sandbox/protocol.ts";
import { decodeWords } from "../mail/encoded-word.ts";
import { createField, type Field, fieldValue, Header } from "../mail/header.ts";
import { formatMailbox, type Mailbox, parseMailbox, sameMailbox } from "../mail/mailbox.ts";
import { type Body, inlineBody, type Message, type Recipient } from "../mail/message.ts";
import { describeThrown, Fault, type FaultCode } from "../platform/fault.ts";
import { applyFolders, applyNotes, applyRoutes } from "./apply-state.ts";
import { hasBareLineEnd } from "./body-lines.ts";
import type { Making, SubmissionMaker } from "./submissions.ts";

export interface FieldChange {
  readonly op: "add" | "set" | "remove";
  readonly name: string;
  readonly before?: string;
  readonly after?: string;
}

/** What a run changed, for people. */
export interface AppliedChanges {
  readonly envelope: {
    readonly from?: string | null;
    readonly added: readonly string[];
    readonly removed: readonly string[];
  };
  readonly fields: readonly FieldChange[];
  readonly parts: readonly PartChange[];
}

/** Recipients a script may make of a message; one that came with more keeps them. */
const recipientsMax = 1_000;

const lineEnd = Buffer.from("\r\n");

const nothing: AppliedChanges = { envelope: { added: [], removed: [] }, fields: [], parts: [] };

/** Who asks: whose grants hold for new messages, and who makes them. */
export interface Author extends Pick<Making, "script" | "grants"> {
  readonly maker: Pick<SubmissionMaker, "make" | "report">;
}

/** Codes that say what was wrong by themselves. */
const ownCodes: readonly FaultCode[] = [
  "script.action-invalid",
  "script.action-limit",
  "grant.missing",
  "grant.limit",
  "next-hop.syntax",
  "folder.invalid",
];

/**
 * Puts the effects of a run on the message; new messages become its `submissions`.
 * @param author absent: a run that makes messages is not granted to
 * @throws {Fault} `script.action-invalid`, `script.action-limit`, `grant.missing`, `grant.limit`, `next-hop.syntax`, `folder.invalid`; then the message is as it was
 */
export async function applyEffects(message: Message, effects: Effects, author?: Author): Promise<AppliedChanges> {
  const before = message.snapshot();
  try {
    const envelope = applyEnvelope(message, effects);
    const fields = effects.fields ? applyFields(message, effects.fields) : [];
    if (effects.splices?.length) {
      message.body = await spliceBody(message.body, effects.splices);
      // A message that ended with its header has no empty line: what is written now would be read as fields.
      if (message.separator.length === 0 && message.body.sizeOctets > 0) message.separator = lineEnd;
    }
    if (effects.notes) applyNotes(message, effects.notes);
    if (effects.routes) applyRoutes(message, effects.routes);
    if (effects.folders) applyFolders(message, effects.folders);
    if (effects.refusals?.length) {
      if (!author) throw new Fault("script.action-invalid", "Cannot refuse single recipients here");
      message.submissions = [
        ...message.submissions,
        ...(await author.maker.report(effects.refusals, message, before.envelope)),
      ];
    }
    if (effects.submissions?.length) {
      if (!author) throw new Fault("grant.missing", "Cannot make messages here: nothing is granted");
      const making = { script: author.script, grants: author.grants, message, header: before.header };
      message.submissions = [...message.submissions, ...(await author.maker.make(effects.submissions, making))];
    }
    return { envelope, fields, parts: effects.parts ?? [] };
  } catch (error) {
    message.restore(before);
    throw error instanceof Fault && ownCodes.includes(error.code)
      ? error
      : new Fault("script.action-invalid", describeThrown(error), { cause: error });
  }
}

/** Whether there is anything to apply. */
export function isEmpty({ powers: _powers, splices = [], parts: _parts, ...others }: Effects): boolean {
  return splices.length === 0 && Object.values(others).every((effect) => effect === undefined);
}

function applyEnvelope(message: Message, { from, to }: Effects): AppliedChanges["envelope"] {
  if (from === undefined && to === undefined) return nothing.envelope;
  const { reversePath, recipients } = message.envelope;
  const newPath = from === undefined ? reversePath : from === null ? null : parseMailbox(from);
  const mailboxes = recipients.map((recipient) => recipient.mailbox);
  let stay: readonly Recipient[] = recipients;
  const added: Mailbox[] = [];
  let removed: readonly Mailbox[] = [];
  if (to !== undefined) {
    const most = Math.max(recipientsMax, recipients.length);
    if (to.length > most)
      throw new Fault("script.action-invalid", `Cannot send to ${to.length} recipients: at most ${most}`);
    const wanted: Mailbox[] = [];
    for (const mailbox of to.map(parseMailbox)) {
      if (wanted.some((other) => sameMailbox(other, mailbox))) continue;
      wanted.push(mailbox);
      if (!mailboxes.some((other) => sameMailbox(other, mailbox))) added.push(mailbox);
    }
    removed = mailboxes.filter((mailbox) => !wanted.some((other) => sameMailbox(other, mailbox)));
    stay = carryOptions(recipients, wanted);
  }
  message.envelope = { ...message.envelope, reversePath: newPath, recipients: stay };
  return {
    ...(from === undefined ? {} : { from }),
    added: added.map(formatMailbox),
    removed: removed.map(formatMailbox),
  };
}

/**
 * The recipients wanted, with what was asked for them. Who stays keeps it. Who stands where one was taken out has that one's, so that NOTIFY=NEVER
 * holds for the new address too and a report names the one the sender knows (RFC 3461 §5.2.7); where several were taken out next to each other,
 * only as many others can be paired with them. Nobody asked anything for those who were added.
 */
function carryOptions(before: readonly Recipient[], wanted: readonly Mailbox[]): Recipient[] {
  if (!before.some((recipient) => recipient.options)) return wanted.map((mailbox) => ({ mailbox }));
  const from = wanted.map((mailbox) => before.findIndex((recipient) => sameMailbox(recipient.mailbox, mailbox)));
  const gone = gatherBehind(
    before.map(({ mailbox }, place) => (wanted.some((other) => sameMailbox(other, mailbox)) ? place : -1)),
  );
  for (const [behind, newcomers] of gatherBehind(from)) {
    const predecessors = gone.get(behind) ?? [];
    newcomers.forEach((place, nth) => {
      if (predecessors.length === 1) from[place] = predecessors[0]!;
      else if (predecessors.length === newcomers.length) from[place] = predecessors[nth]!;
    });
  }
  return wanted.map((mailbox, place) => {
    const options = before[from[place]!]?.options;
    return options ? { mailbox, options } : { mailbox };
  });
}

/** Places of the entries that are -1, gathered under the entry that stands before them; under -1 those in front. */
function gatherBehind(entries: readonly number[]): Map<number, number[]> {
  const gathered = new Map<number, number[]>();
  let behind = -1;
  entries.forEach((entry, place) => {
    if (entry !== -1) behind = entry;
    else if (gathered.has(behind)) gathered.get(behind)!.push(place);
    else gathered.set(behind, [place]);
  });
  return gathered;
}

function applyFields(message: Message, results: readonly FieldResult[]): FieldChange[] {
  const originals = message.header.fields;
  const kept = new Set<number>();
  const fields: Field[] = results.map((result) => {
    if (typeof result !== "number") return createField(result[0], result[1]);
    const original = originals[result];
    if (!original || kept.has(result))
      throw new Fault(
        "script.action-invalid",
        `Cannot keep field ${result}: there is no such field, or it was kept already`,
      );
    kept.add(result);
    return original;
  });
  message.header = new Header(fields.map((field, index) => (index < fields.length - 1 ? ended(field) : field)));
  return describeFieldChanges(originals, results);
}

/** A message may break off within its header: the last field then lacks its line end, and something may stand behind it now. */
function ended(field: Field): Field {
  return field.octets.at(-1) === 0x0a ? field : { name: field.name, octets: Buffer.concat([field.octets, lineEnd]) };
}

/** Pairs what was written with what went: a new field of the same name as one that went is a change of it. */
function describeFieldChanges(originals: readonly Field[], results: readonly FieldResult[]): FieldChange[] {
  const kept = new Set(results.filter((result) => typeof result === "number"));
  const gone = originals.filter((_, index) => !kept.has(index));
  const changes: FieldChange[] = [];
  for (const result of results) {
    if (typeof result === "number") continue;
    const [name, after] = result;
    const at = gone.findIndex((field) => field.name.toLowerCase() === name.toLowerCase());
    if (at === -1) changes.push({ op: "add", name, after });
    else changes.push({ op: "set", name, before: shown(gone.splice(at, 1)[0]!), after });
  }
  for (const field of gone) changes.push({ op: "remove", name: field.name, before: shown(field) });
  return changes;
}

function shown(field: Field): string {
  return decodeWords(fieldValue(field));
}

async function spliceBody(body: Body, splices: readonly BodySplice[]): Promise<Body> {
  const octets = await body.octets();
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const { start, end, octets: inserted } of splices) {
    if (!(Number.isInteger(start) && Number.isInteger(end) && at <= start && start <= end && end <= octets.length)) {
      throw new Fault("script.action-invalid", `Cannot edit octets ${start} to ${end} of a body of ${octets.length}`);
    }
    pieces.push(octets.subarray(at, start), inserted);
    at = end;
  }
  pieces.push(octets.subarray(at));
  const edited = Buffer.concat(pieces);
  // What stood alone before is not the script's doing; a listener takes no such message.
  if (hasBareLineEnd(edited) && !hasBareLineEnd(octets))
    throw new Fault("script.action-invalid", "Cannot write a body with a CR, LF or NUL that stands alone");
  return inlineBody(edited);
}
