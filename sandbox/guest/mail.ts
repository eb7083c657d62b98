/** Runs inside the isolate: the `mail` a handler is given (api.ts is its manual). What it reads is looked up late, what it asks for is only noted. */
import type {
  Address,
  AddressList,
  Attachment,
  Envelope,
  Headers,
  Mail,
  NewAttachment,
  NewMessage,
  Notes,
  ReplyMessage,
  Session,
  Submissions,
  Ways,
} from "../api.ts";
import type { StructureFacts } from "../structure-facts.ts";
import { formatAddresses, readAddresses } from "./addresses.ts";
import { AttachmentView, isRemoved } from "./attachment.ts";
import { attachmentGiven, flagGiven, noteEdit, putContent, textGiven } from "./content.ts";
import { EnvelopeView, redirect } from "./envelope.ts";
import { describe, firstValue, HeadersView, removeField, setField } from "./headers.ts";
import { notesOf } from "./notes.ts";
import { append, Bytes, DateOf, freeze, jsonParse, preventExtensions, timeOf } from "./primordials.ts";
import { alive, fail, invalid, look, type RunState } from "./run-state.ts";
import { forward, reply, submit } from "./submissions.ts";
import { giveFolder, giveRoute } from "./ways.ts";

export class MailView implements Mail, Submissions, Ways {
  readonly #state: RunState;
  #envelope: Envelope | undefined;
  #headers: Headers | undefined;
  #structure: StructureFacts | undefined;
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

  get notes(): Notes {
    return notesOf(this.#state);
  }

  get isProtected(): boolean {
    return this.#inside().isProtected;
  }

  async setText(text: string): Promise<void> {
    this.#setText("setText", text);
  }

  async setHtml(html: string): Promise<void> {
    this.#setText("setHtml", html);
  }

  async appendText(text: string, options?: { readonly wrap?: boolean }): Promise<boolean> {
    const state = alive(this.#state);
    const paragraph = textGiven(state, "appendText", text);
    const wrap = this.#wraps(options);
    if (!wrap && !state.wrapped && this.#inside().text !== "writable") return false;
    if (paragraph === "") return true;
    noteEdit(state, `{"op":"appendText","content":${putContent(state, paragraph)},"wrap":${wrap}}`);
    return true;
  }

  async appendHtml(html: string): Promise<boolean> {
    const state = alive(this.#state);
    const addition = textGiven(state, "appendHtml", html);
    if (this.#inside().html !== "writable") return false;
    if (addition === "") return true;
    noteEdit(state, `{"op":"appendHtml","content":${putContent(state, addition)}}`);
    return true;
  }

  async attach(attachment: NewAttachment, options?: { readonly wrap?: boolean }): Promise<void> {
    const state = alive(this.#state);
    const wrap = this.#wraps(options);
    if (!wrap && !state.wrapped && this.#inside().isProtected)
      this.#protect("attach to", "Attach with { wrap: true } to put it whole into a new message");
    noteEdit(state, `{"op":"attach","attachment":${attachmentGiven(state, attachment)},"wrap":${wrap}}`);
  }

  submit(message: NewMessage): string {
    return submit(this.#state, message);
  }

  reply(message: ReplyMessage): string | null {
    return reply(this.#state, message);
  }

  forward(to: string | readonly string[], options?: { readonly from?: string | null }): string {
    return forward(this.#state, to, options);
  }

  route(nextHop: string, ...recipients: readonly string[]): void {
    giveRoute(alive(this.#state), nextHop, recipients);
  }

  fileInto(folder: string, ...recipients: readonly string[]): void {
    giveFolder(alive(this.#state), folder, recipients);
  }

  redirect(...recipients: readonly string[]): void {
    redirect(this.#state, recipients);
  }

  /** Whether the message is to be wrapped, which it is only where it is protected. */
  #wraps(options: unknown): boolean {
    const state = alive(this.#state);
    if (!flagGiven(state, options, "wrap") || !this.#inside().isProtected) return false;
    if (state.edits !== "" && !state.wrapped)
      invalid(state, "A message that was edited cannot be put whole into a new one: wrap it first");
    return (state.wrapped = true);
  }

  #setText(verb: "setText" | "setHtml", given: unknown): void {
    const state = alive(this.#state);
    const text = textGiven(state, verb, given);
    const { text: plain, html, isProtected } = this.#inside();
    const [own, other] = verb === "setText" ? [plain, html] : [html, plain];
    // Where there is none, it goes beside the other text.
    if (own === "sealed" || (own === "none" && (other === "sealed" || isProtected)) || state.wrapped)
      this.#protect(`${verb} in`, "appendText with { wrap: true } puts it whole into a new message");
    if (own === "unreadable")
      invalid(state, `${verb}: the text there is in a charset or an encoding that nobody knows`);
    noteEdit(state, `{"op":"${verb}","content":${putContent(state, text)}}`);
  }

  #protect(what: string, instead: string): never {
    return fail(
      this.#state,
      "script.protected",
      `Cannot ${what} this message: it is signed or encrypted, and any edit would break that. ${instead}, or ask mail.isProtected first`,
    );
  }

  #inside(): StructureFacts {
    return (this.#structure ??= jsonParse(look(this.#state, "structure") as string) as StructureFacts);
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
