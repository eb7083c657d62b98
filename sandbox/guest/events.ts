/**
 * Runs inside the isolate: what a handler is given. For an event of a message that is a view of it (mail.ts), with as much of it as the event lets a script touch; for
 * an event of a session, its facts. Verdicts and powers are beside it; a verb of another event says where it belongs.
 */
import { AttachmentView } from "./attachment.ts";
import { EnvelopeView } from "./envelope.ts";
import { contentVerbs, type EventMembers, eventMembers, eventsWith, hasVerb, missingVerbs } from "./event-members.ts";
import {
  absentMembers,
  createFace,
  type FaceOf,
  frozen,
  joined,
  type Member,
  type Members,
  membersOf,
  valueMember,
  verbMember,
} from "./face.ts";
import { firstValue, HeadersView } from "./headers.ts";
import { MailView } from "./mail.ts";
import { callPower } from "./powers.ts";
import { append, DateOf, freeze } from "./primordials.ts";
import type { RunState } from "./run-state.ts";
import { giveReason, giveReply, giveSettle } from "./verdict.ts";

const readValues: readonly string[] = [
  "id",
  "receivedAt",
  "size",
  "session",
  "matchedRecipients",
  "date",
  "messageId",
  "defects",
  "text",
  "html",
  "raw",
];
const editedValues: readonly string[] = ["subject", "from", "to", "cc", "replyTo"];
const readHeaders: readonly (string | symbol)[] = ["get", "getAll", "has", Symbol.iterator];
const editHeaders: readonly string[] = ["set", "add", "remove"];
const readEnvelope: readonly string[] = ["from", "to"];
const editEnvelope: readonly string[] = ["add", "remove", "replace", "redirect"];
const readAttachment: readonly string[] = [
  "part",
  "fileName",
  "contentType",
  "size",
  "contentId",
  "inline",
  "content",
  "text",
  "stream",
];
const editAttachment: readonly string[] = ["remove", "replace", "rename"];

/** What an event without a message has in its place; nothing of it is shown. */
export const noMail = {
  id: "",
  receivedAt: 0,
  size: 0,
  session: null,
  envelope: { from: null, to: [] },
  fields: [],
};

interface Faces {
  readonly subject: FaceOf;
  readonly headers: FaceOf;
  readonly envelope: FaceOf;
  readonly attachment: FaceOf;
}

/** By event; made with its first run. */
const facesOf = { __proto__: null } as unknown as Record<string, Faces>;

/** What the handler of the run's event is given. */
export function createSubject(state: RunState): object {
  const { event } = state.step;
  const members = eventMembers[event]!;
  const { subject: Kind } = (facesOf[event] ??= createFaces(event, members));
  return new Kind(state, members.mail === null ? new HeadersView(state) : new MailView(state));
}

function createFaces(event: string, members: EventMembers): Faces {
  const cannotEdit = ` at ${event}: a message is edited at ${eventsWith((name) => hasVerb(name, "setText"))}`;
  const cannotSend = ` at ${event}: recipients are changed at ${eventsWith((name) => hasVerb(name, "redirect"))}`;
  const parts = {
    headers: createFace(
      joined([
        membersOf(HeadersView.prototype, readHeaders),
        absentMembers(editHeaders, (name) => `headers.${name} is not available${cannotEdit}`),
      ]),
    ),
    envelope: createFace(
      joined([
        membersOf(EnvelopeView.prototype, readEnvelope, cannotSend),
        absentMembers(editEnvelope, (name) => `envelope.${name} is not available${cannotSend}`),
      ]),
    ),
    attachment: createFace(
      joined([
        membersOf(AttachmentView.prototype, readAttachment),
        absentMembers(editAttachment, (name) => `attachment.${name} is not available${cannotEdit}`),
      ]),
    ),
  };
  const subject = createFace(
    joined([
      absentMembers(
        missingVerbs(event),
        (verb) => `${verb} is not available at ${event}: it is for ${eventsWith((name) => hasVerb(name, verb))}`,
      ),
      members.mail === null ? sessionMembers(event, parts.headers) : mailMembers(members, parts, cannotEdit),
      factMembers(event, members.facts),
      verdictMembers(members.verdicts),
      powerMembers(members.powers),
    ]),
  );
  return { ...parts, subject };
}

/** The message, as far as the event lets a script touch it. */
function mailMembers({ mail, ways }: EventMembers, parts: Omit<Faces, "subject">, cannotEdit: string): Members {
  const { prototype } = MailView;
  const read = membersOf(prototype, readValues);
  const verbs = membersOf(prototype, ways);
  const envelope = valueMember("envelope", (state) => new parts.envelope(state, new EnvelopeView(state)));
  if (mail === "read")
    return joined([
      read,
      membersOf(prototype, editedValues, cannotEdit),
      [envelope],
      readOnly(parts, cannotEdit),
      verbs,
    ]);
  return joined([
    read,
    membersOf(prototype, editedValues),
    membersOf(prototype, ["headers", "attachments", "notes", "isProtected"]),
    mail === "edit" ? membersOf(prototype, ["envelope"]) : [envelope],
    membersOf(prototype, contentVerbs),
    verbs,
  ]);
}

/** What has verbs of its own, without those that edit. */
function readOnly(parts: Omit<Faces, "subject">, fixed: string): Members {
  const attachments = membersOf(MailView.prototype, ["attachments"])[0];
  const notes = membersOf(MailView.prototype, ["notes"])[0];
  return [
    valueMember("headers", (state) => new parts.headers(state, new HeadersView(state)), fixed),
    valueMember(
      "attachments",
      (state, target) => {
        const all = attachments!.read!(state, target) as readonly object[];
        const seen: object[] = [];
        for (let i = 0; i < all.length; i++) append(seen, new parts.attachment(state, all[i]!));
        return freeze(seen);
      },
      fixed,
    ),
    valueMember("notes", (state, target) => frozen(notes!.read!(state, target)), fixed),
  ];
}

/** Before there is a message there may be its header. */
function sessionMembers(event: string, Headers: FaceOf): Members {
  if (event !== "onHeaders") return [];
  return [
    valueMember("headers", (state, target) => new Headers(state, target)),
    valueMember("subject", (state) => firstValue(state, "Subject") ?? ""),
  ];
}

function factMembers(event: string, names: readonly string[]): Members {
  const members: Member[] = [];
  for (let i = 0; i < names.length; i++) {
    const key = names[i]!;
    const factOf = (state: RunState) => frozen(state.step.subject[key]);
    const read = key === "nextAttemptAt" ? (state: RunState) => new DateOf(factOf(state) as number) : factOf;
    append(members, valueMember(key, read, `: it is a fact of ${event}`));
  }
  return members;
}

function verdictMembers(names: readonly string[]): Members {
  const members: Member[] = [];
  for (let i = 0; i < names.length; i++) {
    const key = names[i]!;
    append(members, verbMember(key, verdictOf(key)));
  }
  return members;
}

function verdictOf(key: string): Member["call"] {
  switch (key) {
    case "refuse":
    case "defer":
      return (state, _, args) => giveReply(state, key, args[0], args[1]);
    case "drop":
      return (state, _, args) => giveReply(state, key, args[0] ?? "Closing connection", args[1]);
    case "discard":
    case "quarantine":
      return (state, _, args) => giveReason(state, key, args[0]);
    default:
      return (state) => giveSettle(state);
  }
}

function powerMembers(names: readonly string[]): Members {
  const members: Member[] = [];
  for (let i = 0; i < names.length; i++) {
    const key = names[i]!;
    append(
      members,
      verbMember(key, (state, _, args) => callPower(state, key, args)),
    );
  }
  return members;
}
