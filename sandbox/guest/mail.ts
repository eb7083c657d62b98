/** Runs inside the isolate: the `mail` a handler is given (api.ts is its manual). What it reads is looked up late, what it asks for is only noted. */
import type { Attachment, Mail } from "../api.ts";
import { formatAddresses, readAddresses } from "./addresses.ts";
import { accessor, createEnvelope } from "./envelope.ts";
import { createHeaders, describe, firstValue, removeField, setField } from "./headers.ts";
import { append, Bytes, create, DateOf, define, freeze, isInteger, jsonParse, matches, octetsOf, preventExtensions, quote, timeOf, trim } from "./primordials.ts";
import { alive, countAction, invalid, look, type RunState } from "./run-state.ts";

/** Octets of a reply's text or a reason. */
const verdictTextOctetsMax = 480;
/** Characters of a paragraph to append. */
const paragraphLengthMax = 65_536;

interface Structure {
  readonly attachments: readonly AttachmentInput[];
  readonly defects: readonly string[];
  readonly canAppend: boolean;
}

interface AttachmentInput {
  readonly part: string;
  readonly fileName?: string;
  readonly contentType: string;
  readonly size: number;
  readonly contentId?: string;
  readonly inline: boolean;
}

export function createMail(state: RunState): Mail {
  const { mail: input, step } = state;
  const mail = {};
  define(mail, "id", input.id);
  define(mail, "size", input.size);
  accessor(mail, "receivedAt", () => new DateOf(input.receivedAt));
  define(mail, "session", freeze(input.session));
  define(mail, "matchedRecipients", freeze(step.matchedRecipients));
  lazy(mail, "envelope", () => createEnvelope(state));
  lazy(mail, "headers", () => createHeaders(state));
  defineFields(mail, state);
  defineContent(mail, state);
  defineVerdicts(mail, state);
  for (const key of ["id", "size", "session", "matchedRecipients"] as const) lock(mail, key);
  return preventExtensions(mail) as Mail;
}

function defineFields(mail: object, state: RunState): void {
  accessor(
    mail,
    "subject",
    () => firstValue(alive(state), "Subject") ?? "",
    (value) => setField(alive(state), "Subject", typeof value === "string" ? value : invalid(state, `The subject is a text, not ${describe(value)}`)),
  );
  accessor(
    mail,
    "from",
    () => readAddresses(alive(state), "From")[0] ?? null,
    (value) => setField(alive(state), "From", formatAddresses(state, "From", value)),
  );
  const lists: readonly (readonly [key: string, name: string])[] = [["to", "To"], ["cc", "Cc"], ["replyTo", "Reply-To"]];
  for (let i = 0; i < lists.length; i++) {
    const [key, name] = [lists[i]![0], lists[i]![1]];
    accessor(
      mail,
      key,
      () => readAddresses(alive(state), name),
      (value) => {
        const list = formatAddresses(alive(state), name, value);
        if (list === "") removeField(state, name);
        else setField(state, name, list);
      },
    );
  }
  accessor(mail, "messageId", () => firstValue(alive(state), "Message-ID") ?? "");
  accessor(mail, "date", () => {
    const text = firstValue(alive(state), "Date");
    if (text === undefined) return null;
    const date = new DateOf(text);
    // NaN is the one number that is not itself.
    return timeOf(date) === timeOf(date) ? date : null;
  });
}

function defineContent(mail: object, state: RunState): void {
  let list: readonly Attachment[] | undefined;
  const structure = () => jsonParse(look(state, "structure") as string) as Structure;
  const methods = {
    text: async (): Promise<string> => look(state, "text") as string,
    html: async (): Promise<string> => look(state, "html") as string,
    raw: async (): Promise<Uint8Array> => new Bytes(look(state, "raw") as ArrayBuffer),
    appendText: async (text: string): Promise<boolean> => {
      if (typeof text !== "string") invalid(alive(state), `appendText takes a text, not ${describe(text)}`);
      if (text.length > paragraphLengthMax || matches(/[\x00-\x08\x0b\x0e-\x1f\x7f]/, text)) {
        invalid(alive(state), `appendText takes at most ${paragraphLengthMax} characters, without control characters other than line ends`);
      }
      if (!structure().canAppend) return false;
      if (text === "") return true;
      countAction(state, text.length);
      state.appended += (state.appended === "" ? "" : "\r\n\r\n") + text;
      return true;
    },
  };
  define(mail, "text", methods.text);
  define(mail, "html", methods.html);
  define(mail, "raw", methods.raw);
  define(mail, "appendText", methods.appendText);
  accessor(mail, "defects", () => freeze(structure().defects));
  accessor(mail, "attachments", () => {
    alive(state);
    if (list) return list;
    const inputs = structure().attachments;
    const made: Attachment[] = [];
    for (let i = 0; i < inputs.length; i++) {
      if (!isRemoved(state, inputs[i]!.part)) append(made, createAttachment(state, inputs[i]!, () => (list = undefined)));
    }
    return (list = freeze(made));
  });
}

function createAttachment(state: RunState, input: AttachmentInput, onRemoved: () => void): Attachment {
  return freeze({
    part: input.part,
    fileName: input.fileName,
    contentType: input.contentType,
    size: input.size,
    contentId: input.contentId,
    inline: input.inline,
    content: async (): Promise<Uint8Array> => new Bytes(look(state, "content", input.part) as ArrayBuffer),
    remove(): void {
      if (isRemoved(alive(state), input.part)) return;
      countAction(state);
      append(state.removed, input.part);
      onRemoved();
    },
  });
}

function isRemoved(state: RunState, part: string): boolean {
  for (let i = 0; i < state.removed.length; i++) if (state.removed[i] === part) return true;
  return false;
}

function defineVerdicts(mail: object, state: RunState): void {
  const reply = (kind: "refuse" | "defer", codeClass: 5 | 4) => (text: string, options?: { code?: number; status?: string }) => {
    begin(state, kind);
    const words = verdictText(state, kind, text);
    const code: unknown = options?.code;
    const status: unknown = options?.status;
    if (code !== undefined && !(isInteger(code) && (code as number) >= codeClass * 100 && (code as number) <= codeClass * 100 + 99)) {
      invalid(state, `${kind} takes a code from ${codeClass}00 to ${codeClass}99`);
    }
    if (status !== undefined && !(typeof status === "string" && matches(codeClass === 5 ? permanentStatus : transientStatus, status))) {
      invalid(state, `${kind} takes a status such as "${codeClass}.7.1"`);
    }
    const parts = `${code === undefined ? "" : `"code":${code as number},`}${status === undefined ? "" : `"status":${quote(status as string)},`}`;
    state.verdict = `{"kind":"${kind}",${parts}"text":${quote(words)}}`;
  };
  const keep = (kind: "discard" | "quarantine") => (reason: string) => {
    begin(state, kind);
    state.verdict = `{"kind":"${kind}","reason":${quote(verdictText(state, kind, reason))}}`;
  };
  define(mail, "refuse", reply("refuse", 5));
  define(mail, "defer", reply("defer", 4));
  define(mail, "discard", keep("discard"));
  define(mail, "quarantine", keep("quarantine"));
  define(mail, "settle", () => {
    begin(state, "settle");
    state.settled = true;
  });
  for (const key of ["refuse", "defer", "discard", "quarantine", "settle", "text", "html", "raw", "appendText"]) lock(mail, key);
}

const permanentStatus = /^5\.\d{1,3}\.\d{1,3}$/;
const transientStatus = /^4\.\d{1,3}\.\d{1,3}$/;
const notPlain = /[^\x20-\x7e\u00a0-\uffff]/;

function begin(state: RunState, kind: string): void {
  countAction(alive(state));
  if (state.verdict !== "" || state.settled) invalid(state, `${kind}: this run has given a verdict already, and one is all it has`);
}

function verdictText(state: RunState, kind: string, text: unknown): string {
  if (typeof text !== "string" || trim(text) === "") return invalid(state, `${kind} takes a text that says why`);
  if (matches(notPlain, text)) invalid(state, `${kind} takes one line of text, without control characters`);
  if (octetsOf(text, verdictTextOctetsMax) > verdictTextOctetsMax) invalid(state, `${kind} takes at most ${verdictTextOctetsMax} octets of text`);
  return text;
}

/** A property that is made when it is first read. */
function lazy(object: object, key: string, make: () => unknown): void {
  let made: unknown;
  accessor(object, key, () => (made ??= make()));
}

function lock(object: object, key: string): void {
  const { defineProperty } = locker;
  defineProperty(object, key, { __proto__: null, writable: false, configurable: false } as PropertyDescriptor);
}

const locker = freeze({ defineProperty: Object.defineProperty, create });
