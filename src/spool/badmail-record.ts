/** What stands beside a message in badmail: `reason.json`, as it is written and read. docs/folders.md tells operators of it. Pure. */
import type { EnvelopeOptions, RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox, parseMailbox } from "../mail/mailbox.ts";
import type { Envelope, Message, Origin } from "../mail/message.ts";
import { formatReversePath, parseReversePath } from "../mail/path.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

/** Why a message is here. */
export interface BadMailReason {
  readonly reason: string;
  /** Binding whose verdict it was. */
  readonly binding: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** Rule of that binding. */
  readonly rule?: string | null;
  /** Code of the fault that led here. */
  readonly fault?: string | null;
}

/** A file that could not be used; there is no message in it yet, and no envelope. */
export interface BadFile extends BadMailReason {
  readonly id: string;
  /** Its name, for whoever put it there. */
  readonly file: string;
  /** Where it was put. */
  readonly origin: string;
}

/** What is known of one that is kept. */
export interface BadMailRecord {
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  readonly quarantinedAt: number;
  readonly reason: string;
  readonly binding: string | null;
  readonly rule: string | null;
  readonly fault: string | null;
  /** null: a file that never was a message. */
  readonly message: {
    readonly envelope: Envelope;
    readonly origin: Origin;
    readonly notes: Readonly<Record<string, unknown>>;
    /** Where the body begins; null in records of earlier versions: at the first empty line. */
    readonly parts: { readonly headerOctets: number; readonly separatorOctets: number } | null;
  } | null;
  /** Name of the file it was; null where it came as a message. */
  readonly file: string | null;
}

export function formatMessageRecord(message: Message, reason: BadMailReason): string {
  const { reversePath, recipients, options } = message.envelope;
  return format({
    id: message.id,
    ...reasonFields(reason, message.receivedAt),
    from: formatReversePath(reversePath),
    to: recipients.map((recipient) => formatMailbox(recipient.mailbox)),
    // Absent where nothing was asked; a recipient's are in its place.
    options,
    toOptions: recipients.some((recipient) => recipient.options)
      ? recipients.map((recipient) => recipient.options ?? null)
      : undefined,
    origin: message.origin,
    notes: message.notes,
    headerOctets: message.header.octets.length,
    separatorOctets: message.separator.length,
  });
}

export function formatFileRecord(file: BadFile): string {
  return format({ id: file.id, ...reasonFields(file, file.at), file: file.file, origin: { listener: file.origin } });
}

function reasonFields({ reason, binding, rule = null, fault = null, at }: BadMailReason, receivedAt: number): object {
  return {
    receivedAt: new Date(receivedAt).toISOString(),
    quarantinedAt: new Date(at).toISOString(),
    reason,
    binding,
    rule,
    fault,
  };
}

function format(record: object): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** As JSON has it: nothing of it is believed before it is looked at. */
type Raw = Readonly<Record<string, unknown>>;

/** @throws {Fault} `badmail.unreadable` where it is no such record */
export function parseRecord(id: string, text: string): BadMailRecord {
  try {
    const raw = JSON.parse(text) as Raw;
    const isFile = typeof raw.file === "string";
    return {
      id,
      receivedAt: readTime(raw.receivedAt, "receivedAt"),
      quarantinedAt: readTime(raw.quarantinedAt, "quarantinedAt"),
      reason: readText(raw.reason, "reason"),
      binding: readTextOrNull(raw.binding),
      rule: readTextOrNull(raw.rule),
      fault: readTextOrNull(raw.fault),
      message: isFile ? null : readMessage(raw),
      file: isFile ? (raw.file as string) : null,
    };
  } catch (error) {
    throw new Fault("badmail.unreadable", `Cannot read reason.json of ${id}: ${describeThrown(error)}`, {
      cause: error,
    });
  }
}

function readMessage(raw: Raw): BadMailRecord["message"] {
  const { to, toOptions, options, origin, notes, headerOctets, separatorOctets } = raw;
  if (!Array.isArray(to)) throw new Error("to is no list");
  if (typeof origin !== "object" || origin === null) throw new Error("origin is no object");
  const recipients = to.map((mailbox: unknown, place) => {
    const asked = Array.isArray(toOptions) ? (toOptions[place] as RecipientOptions | null | undefined) : null;
    return { mailbox: parseMailbox(String(mailbox)), ...(asked && { options: asked }) };
  });
  const envelope: Envelope = {
    reversePath: parseReversePath(readText(raw.from, "from")),
    recipients,
    // Ours, as they were written.
    ...(typeof options === "object" && options !== null && { options: options as EnvelopeOptions }),
  };
  return {
    envelope,
    origin: origin as Origin,
    notes: typeof notes === "object" && notes !== null ? (notes as Readonly<Record<string, unknown>>) : {},
    parts: isCount(headerOctets) && isCount(separatorOctets) ? { headerOctets, separatorOctets } : null,
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readTime(value: unknown, name: string): number {
  const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(at)) throw new Error(`${name} is no time`);
  return at;
}

function readText(value: unknown, name: string): string {
  if (typeof value !== "string") throw new Error(`${name} is no text`);
  return value;
}

function readTextOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
