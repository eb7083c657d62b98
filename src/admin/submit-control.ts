/**
 * Mail of this machine's users, over the control socket. The request is one line of JSON, the envelope, and behind it the message as it is; it is read
 * as it comes and never held whole. Line ends, missing fields and limits are the entrance's affair (src/inbound).
 */
import { type Context, Hono } from "hono";
import { recipientsOf, senderOf, withoutBlindCopies } from "../mail/addressed.ts";
import type { EnvelopeOptions, Notify, RecipientOptions } from "../mail/envelope.ts";
import type { Header } from "../mail/header.ts";
import type { Envelope } from "../mail/message.ts";
import { parseForwardPath, parseReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";
import { answerFault, parseObject, readWords } from "./control-request.ts";

/** The line of JSON. */
export interface SubmitEnvelope {
  /** `<>` for the null reverse-path; null where the header's Sender or From says it. */
  readonly from: string | null;
  /** May be empty where the header names them. */
  readonly to: readonly string[];
  /** Those whom the header names get it too; Bcc is taken out. */
  readonly headerRecipients?: boolean;
  /** By which verb it came, for the trace and the log. */
  readonly origin: "submit" | "sendmail";
  /** The user of this machine, as the command line says. */
  readonly user: string | null;
  /** Which reports are wanted, for every recipient. RFC 3461 §4.1. */
  readonly notify?: readonly Notify[];
  readonly ret?: "FULL" | "HDRS";
  readonly envelopeId?: string;
}

/** What the entrance is handed: an envelope, or how the header tells it. */
export interface SubmitRequest {
  readonly origin: "submit" | "sendmail";
  readonly user: string | null;
  readonly envelope: Envelope | ((header: Header) => { readonly envelope: Envelope; readonly header: Header });
  readonly octets: AsyncIterable<Buffer>;
}

export type SubmitResult =
  | { readonly kind: "accepted" | "discarded" | "quarantined"; readonly id: string }
  | {
      readonly kind: "refused" | "deferred";
      readonly reply: Reply;
      /** For whoever runs this machine. */
      readonly reason: string;
    };

export interface SubmitControl {
  /** Reads the octets to their end, or to the first fault, which is a refusal like any other. An error of `octets` itself means that the client has gone: nothing is kept. */
  submit(request: SubmitRequest): Promise<SubmitResult>;
}

/** Octets of the line with the envelope. */
export const envelopeOctetsMax = 1024 * 1024;
/** Recipients of one message. */
export const submitRecipientsMax = 10_000;
/** Octets that are read and thrown away behind an early no, so that it can be heard. */
const drainedOctetsMax = 512 * 1024 * 1024;

/** `POST /api/v1/submit` */
export function createSubmitApi(control: SubmitControl): Hono {
  const api = new Hono();
  api.post("/api/v1/submit", async (context) => {
    const pieces = piecesOf(context);
    try {
      const { line, rest } = await readLine(pieces);
      return context.json(await control.submit({ ...readRequest(parseObject(line)), octets: rest }));
    } catch (error) {
      return answerFault(error, context);
    } finally {
      // A client that still writes does not read; its connection may not close on it.
      await drain(pieces);
    }
  });
  return api;
}

function piecesOf(context: Context): AsyncIterator<Uint8Array> {
  const body: AsyncIterable<Uint8Array> = context.req.raw.body ?? (async function* () {})();
  return body[Symbol.asyncIterator]();
}

/** The first line, and all that is behind it. @throws {Fault} `control.invalid` */
async function readLine(
  pieces: AsyncIterator<Uint8Array>,
): Promise<{ readonly line: string; readonly rest: AsyncIterable<Buffer> }> {
  const head: Buffer[] = [];
  for (let octets = 0; octets <= envelopeOctetsMax; ) {
    const { done, value } = await pieces.next();
    if (done) throw new Fault("control.invalid", "the request: expected a line with the envelope, and the message");
    const piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const end = piece.indexOf(0x0a);
    head.push(end === -1 ? piece : piece.subarray(0, end));
    octets += head.at(-1)!.length;
    // Joined once: a line may come octet by octet.
    if (end !== -1 && octets <= envelopeOctetsMax)
      return { line: Buffer.concat(head).toString(), rest: behind(piece.subarray(end + 1), pieces) };
  }
  throw new Fault("control.invalid", `the envelope: expected one line of at most ${envelopeOctetsMax} octets`);
}

async function* behind(first: Buffer, pieces: AsyncIterator<Uint8Array>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (;;) {
    const { done, value } = await pieces.next();
    if (done) return;
    yield Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
}

async function drain(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    for (let octets = 0; octets < drainedOctetsMax; ) {
      const { done, value } = await pieces.next();
      if (done) return;
      octets += value.length;
    }
  } catch {
    // The client has gone; there is nobody to hear the answer.
  }
}

/** @throws {Fault} `control.invalid`, `address.syntax`, `address.too-long`, `path.syntax`, `path.too-long` */
function readRequest(line: Readonly<Record<string, unknown>>): Omit<SubmitRequest, "octets"> {
  const { from = null, to = [], headerRecipients = false, origin = "submit", user } = line;
  if (from !== null && typeof from !== "string")
    throw new Fault("control.invalid", "from: expected an address, <>, or null");
  if (!Array.isArray(to) || to.length > submitRecipientsMax || (to.length === 0 && headerRecipients !== true))
    throw new Fault("control.invalid", `to: expected from 1 to ${submitRecipientsMax} addresses`);
  if (origin !== "submit" && origin !== "sendmail")
    throw new Fault("control.invalid", "origin: expected submit or sendmail");
  const { options, ofRecipient } = readReportWishes(line);
  const reversePath = from === null ? undefined : parseReversePath(from);
  const named = to.map((one) => ({ mailbox: parseForwardPath(String(one)), ...ofRecipient }));
  const shared = { origin, user: readWords(user ?? undefined, "user", 64) ?? null } as const;
  if (reversePath !== undefined && headerRecipients !== true)
    return { ...shared, envelope: { reversePath, recipients: named, ...options } };
  return {
    ...shared,
    envelope: (header) => {
      const found = headerRecipients === true ? headerMailboxes(header, named.length > 0) : [];
      const recipients = [...named, ...found.map((mailbox) => ({ mailbox, ...ofRecipient }))];
      return {
        envelope: { reversePath: reversePath === undefined ? senderOf(header) : reversePath, recipients, ...options },
        header: headerRecipients === true ? withoutBlindCopies(header) : header,
      };
    },
  };
}

/** Where others are named, the header may name nobody. */
function headerMailboxes(header: Header, othersAreNamed: boolean): ReturnType<typeof recipientsOf> {
  const namesSome = /^(?:resent-)?(?:to|cc|bcc)$/i;
  return othersAreNamed && !header.fields.some(({ name }) => namesSome.test(name)) ? [] : recipientsOf(header);
}

const notifies = ["never", "success", "failure", "delay"] as const satisfies readonly Notify[];

function readReportWishes({ notify, ret, envelopeId }: Readonly<Record<string, unknown>>): {
  readonly options: { readonly options?: EnvelopeOptions };
  readonly ofRecipient: { readonly options?: RecipientOptions };
} {
  if (ret !== undefined && ret !== "FULL" && ret !== "HDRS")
    throw new Fault("control.invalid", "ret: expected FULL or HDRS");
  const id = readWords(envelopeId, "envelopeId", 100);
  const wanted = notifies.filter((known) => Array.isArray(notify) && notify.includes(known));
  // RFC 3461 §4.1: NEVER stands alone.
  const isWhole =
    notify === undefined || (Array.isArray(notify) && wanted.length === notify.length && wanted.length > 0);
  if (!isWhole || (wanted.length > 1 && wanted.includes("never")))
    throw new Fault("control.invalid", `notify: expected some of ${notifies.join(", ")}; never stands alone`);
  const options: EnvelopeOptions = {
    ...(ret !== undefined && { ret }),
    ...(id !== undefined && { envelopeId: id }),
  };
  return {
    options: Object.keys(options).length > 0 ? { options } : {},
    ofRecipient: notify === undefined ? {} : { options: { notify: wanted } },
  };
}
