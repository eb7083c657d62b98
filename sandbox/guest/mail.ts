/** Runs inside the isolate: the `mail` a handler is given (api.ts is its manual). What it reads is looked up late, what it asks for is only noted. */
import type { Address, AddressList, Attachment, Envelope, Headers, Mail, Session } from "../api.ts";
import { formatAddresses, readAddresses } from "./addresses.ts";
import { type AttachmentInput, AttachmentView, isRemoved } from "./attachment.ts";
import { EnvelopeView } from "./envelope.ts";
import { describe, firstValue, HeadersView, removeField, setField } from "./headers.ts";
import { append, Bytes, DateOf, freeze, jsonParse, matches, preventExtensions, timeOf } from "./primordials.ts";
import { alive, countAction, invalid, look, type RunState } from "./run-state.ts";
import { giveReason, giveReply, giveSettle } from "./verdict.ts";

/** Characters of a paragraph to append. */
const paragraphLengthMax = 65_536;
// Line ends and tabs may be in a paragraph.
const controlCharacter = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;

interface Structure {
  readonly attachments: readonly AttachmentInput[];
  readonly defects: readonly string[];
  readonly canAppend: boolean;
}

export class MailView implements Mail {
  readonly #state: RunState;
  #envelope: Envelope | undefined;
  #headers: Headers | undefined;
  #structure: Structure | undefined;
  #attachments: readonly Attachment[] = [];
  /** How many parts were removed when the list was made. */
  #listedAt = -1;

  constructor(state: RunState) {
    this.#state = state;
    preventExtensions(this);
  }

  get id(): string {
    return alive(this.#state).mail.id;
  }

  get receivedAt(): Date {
    return new DateOf(alive(this.#state).mail.receivedAt);
  }

  get size(): number {
    return alive(this.#state).mail.size;
  }

  get session(): Session {
    return freezeSession(alive(this.#state).mail.session);
  }

  get envelope(): Envelope {
    return (this.#envelope ??= new EnvelopeView(alive(this.#state)));
  }

  get matchedRecipients(): readonly string[] {
    const { step, mail } = alive(this.#state);
    return freeze(step.matchedRecipients ?? mail.envelope.to);
  }

  get headers(): Headers {
    return (this.#headers ??= new HeadersView(alive(this.#state)));
  }

  get subject(): string {
    return firstValue(alive(this.#state), "Subject") ?? "";
  }

  set subject(text: string) {
    if (typeof text !== "string") invalid(alive(this.#state), `The subject is a text, not ${describe(text)}`);
    setField(alive(this.#state), "Subject", text);
  }

  get from(): Address | null {
    return readAddresses(alive(this.#state), "From")[0] ?? null;
  }

  set from(address: Address | string) {
    setField(this.#state, "From", formatAddresses(alive(this.#state), "From", address));
  }

  get to(): readonly Address[] {
    return readAddresses(alive(this.#state), "To");
  }

  set to(addresses: AddressList) {
    setAddresses(this.#state, "To", addresses);
  }

  get cc(): readonly Address[] {
    return readAddresses(alive(this.#state), "Cc");
  }

  set cc(addresses: AddressList) {
    setAddresses(this.#state, "Cc", addresses);
  }

  get replyTo(): readonly Address[] {
    return readAddresses(alive(this.#state), "Reply-To");
  }

  set replyTo(addresses: AddressList) {
    setAddresses(this.#state, "Reply-To", addresses);
  }

  get date(): Date | null {
    const text = firstValue(alive(this.#state), "Date");
    if (text === undefined) return null;
    const date = new DateOf(text);
    const time = timeOf(date);
    return time >= 0 || time < 0 ? date : null;
  }

  get messageId(): string {
    return firstValue(alive(this.#state), "Message-ID") ?? "";
  }

  async text(): Promise<string> {
    return look(this.#state, "text") as string;
  }

  async html(): Promise<string> {
    return look(this.#state, "html") as string;
  }

  async raw(): Promise<Uint8Array> {
    return new Bytes(look(this.#state, "raw") as ArrayBuffer);
  }

  get attachments(): readonly Attachment[] {
    const state = alive(this.#state);
    if (this.#listedAt === state.removed.length) return this.#attachments;
    const inputs = this.#inside().attachments;
    const list: Attachment[] = [];
    for (let i = 0; i < inputs.length; i++)
      if (!isRemoved(state, inputs[i]!.part)) append(list, new AttachmentView(state, inputs[i]!));
    this.#listedAt = state.removed.length;
    return (this.#attachments = freeze(list));
  }

  get defects(): readonly string[] {
    return freeze(this.#inside().defects);
  }

  async appendText(text: string): Promise<boolean> {
    const state = alive(this.#state);
    if (typeof text !== "string") invalid(state, `appendText takes a text, not ${describe(text)}`);
    if (text.length > paragraphLengthMax || matches(controlCharacter, text)) {
      invalid(
        state,
        `appendText takes at most ${paragraphLengthMax} characters, without control characters other than line ends and tabs`,
      );
    }
    if (!this.#inside().canAppend) return false;
    if (text === "") return true;
    countAction(state, text.length);
    state.appended += (state.appended === "" ? "" : "\r\n\r\n") + text;
    return true;
  }

  refuse(text: string, reply?: { readonly code?: number; readonly status?: string }): void {
    giveReply(this.#state, "refuse", text, reply);
  }

  defer(text: string, reply?: { readonly code?: number; readonly status?: string }): void {
    giveReply(this.#state, "defer", text, reply);
  }

  discard(reason: string): void {
    giveReason(this.#state, "discard", reason);
  }

  quarantine(reason: string): void {
    giveReason(this.#state, "quarantine", reason);
  }

  settle(): void {
    giveSettle(this.#state);
  }

  #inside(): Structure {
    return (this.#structure ??= jsonParse(look(this.#state, "structure") as string) as Structure);
  }
}

freeze(MailView.prototype);

/** All of it, the results of authentication inside too. */
function freezeSession(session: Session): Session {
  const { auth } = session;
  if (auth !== null) {
    for (let i = 0; i < auth.dkim.length; i++) freeze(auth.dkim[i]);
    freeze(auth.dkim);
    freeze(auth.dmarc.alignedBy);
    freeze(auth.arc.sealers);
    freeze(auth.spf);
    freeze(auth.dmarc);
    freeze(auth.arc);
    freeze(auth.iprev);
    freeze(auth);
  }
  return freeze(session);
}

function setAddresses(state: RunState, name: string, addresses: AddressList): void {
  const value = formatAddresses(alive(state), name, addresses);
  if (value === "") removeField(state, name);
  else setField(state, name, value);
}
