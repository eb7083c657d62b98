/**
 * What a guest's answer becomes on its way to the server: edits of the body are made splices, new messages are composed, and what a step
 * changed is what the next one sees. In the child, behind the isolate; everything in here is checked again by the server.
 */
import { type BodyEdit, editBody } from "./body-edit.ts";
import { type ComposeInput, composeMessage } from "./compose.ts";
import type { MailContent } from "./mail-content.ts";
import type { Effects, MailInput } from "./protocol.ts";
import { readRawMessage } from "./raw-message.ts";
import type { WrittenContent } from "./written-content.ts";

/** A call that edits the body, as guest/content.ts tells it: `content` is the number of what was written. */
type GuestEdit =
  | { readonly op: "remove"; readonly part: string }
  | { readonly op: "rename"; readonly part: string; readonly fileName: string }
  | {
      readonly op: "replace";
      readonly part: string;
      readonly content: number;
      readonly isText: boolean;
      readonly fileName: string | null;
      readonly contentType: string | null;
    }
  | { readonly op: "setText" | "setHtml" | "appendHtml"; readonly content: number }
  | { readonly op: "appendText"; readonly content: number; readonly wrap: boolean }
  | { readonly op: "attach"; readonly attachment: GuestAttachment; readonly wrap: boolean };

interface GuestAttachment {
  readonly content: number;
  readonly isText: boolean;
  readonly fileName: string;
  readonly contentType: string | null;
  readonly contentId: string | null;
}

/** A new message, as guest/submissions.ts tells it; `compose` is null for the message in hand. */
interface GuestSubmission {
  readonly kind: "submit" | "reply" | "forward";
  readonly id: string;
  readonly from?: string | null;
  readonly to: readonly string[];
  readonly onceWithinMs?: number;
  readonly compose:
    | {
        readonly fields: readonly (readonly [name: string, value: string])[];
        readonly text: number | null;
        readonly html: number | null;
        readonly attachments: readonly GuestAttachment[];
      }
    | { readonly raw: number }
    | null;
}

/** The parts of a guest's answer that are looked at here; the rest passes as text. */
interface GuestAnswer {
  readonly edits?: readonly GuestEdit[];
  readonly submissions?: readonly GuestSubmission[];
  readonly effects: Effects;
  readonly verdict: unknown;
  readonly log: unknown;
}

/** What a step is finished with: the octets its script wrote, and the message where it looked inside. */
export interface StepMaterial {
  readonly mailJson: string;
  readonly content: MailContent | undefined;
  readonly written: WrittenContent;
}

/** `"effects":…,"verdict":…,"log":…` of a StepFrame, and its tail. */
export interface FinishedStep {
  readonly json: string;
  readonly tails: readonly Uint8Array[];
}

/** The step's part of a StepFrame, from the guest's answer; `flags` are those of guest/result.ts. */
export function finishStep(flags: string, json: string, material: StepMaterial): FinishedStep {
  const [editsBody, submits] = [flags.includes("b"), flags.includes("s")];
  if (!editsBody && !submits) return { json, tails: [] };
  const told = JSON.parse(`{${json}}`) as GuestAnswer;
  const mail = JSON.parse(material.mailJson) as MailInput;
  const tails: Uint8Array[] = [];
  let effects: object = told.effects;
  if (editsBody) {
    const fields = told.effects.fields ?? mail.fields.map((_, index) => index);
    const edits = told.edits!.map((edit) => withOctets(edit, material.written));
    const edited = editBody(material.content!, edits, fields, mail);
    tails.push(...edited.splices.map((splice) => splice.octets));
    effects = {
      ...effects,
      ...(edited.fieldsChanged ? { fields: edited.fields } : {}),
      splices: edited.splices.map(({ start, end, octets }) => [start, end, octets.length]),
      parts: edited.parts,
    };
  }
  if (submits) {
    const submissions = told.submissions!.map(({ compose, ...submission }) => {
      if (compose === null) return { ...submission, fields: [], octets: null };
      const { fields, body } =
        "raw" in compose
          ? readRawMessage(material.written.octets(compose.raw), submission.kind)
          : composeMessage(composeInput(submission.id, compose, material.written));
      tails.push(body);
      return { ...submission, fields, octets: body.length };
    });
    effects = { ...effects, submissions };
  }
  return {
    json: `"effects":${JSON.stringify(effects)},"verdict":${JSON.stringify(told.verdict)},"log":${JSON.stringify(told.log)}`,
    tails,
  };
}

/** The message as the next step sees it: what this one changed is in it. */
export function carryOver(json: string, mailJson: string): string {
  const { effects } = JSON.parse(`{${json}}`) as GuestAnswer;
  const mail = JSON.parse(mailJson) as MailInput;
  const { from = mail.envelope.from, to = mail.envelope.to, notes = mail.notes } = effects;
  const fields =
    effects.fields?.map((field) => (typeof field === "number" ? mail.fields[field]! : field)) ?? mail.fields;
  return JSON.stringify({ ...mail, envelope: { from, to }, fields, notes });
}

function withOctets(edit: GuestEdit, written: WrittenContent): BodyEdit {
  switch (edit.op) {
    case "remove":
    case "rename":
      return edit;
    case "replace":
      return { ...edit, octets: written.octets(edit.content) };
    case "attach":
      return { ...edit, attachment: attachmentOf(edit.attachment, written) };
    case "appendText":
      return { op: edit.op, text: written.octets(edit.content).toString(), wrap: edit.wrap };
    default:
      return { op: edit.op, text: written.octets(edit.content).toString() };
  }
}

function composeInput(
  id: string,
  { fields, text, html, attachments }: Exclude<GuestSubmission["compose"], { readonly raw: number } | null>,
  written: WrittenContent,
): ComposeInput {
  return {
    id,
    fields,
    text: text === null ? null : written.octets(text).toString(),
    html: html === null ? null : written.octets(html).toString(),
    attachments: attachments.map((attachment) => attachmentOf(attachment, written)),
  };
}

function attachmentOf({ content, ...facts }: GuestAttachment, written: WrittenContent) {
  return { ...facts, octets: written.octets(content) };
}
