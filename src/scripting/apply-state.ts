/** Applies what a run asks for beside envelope, header and body: notes, and ways for recipients. */
import type { Json } from "../../sandbox/api.ts";
import type { WayResult } from "../../sandbox/protocol.ts";
import type { RecipientOptions } from "../mail/envelope.ts";
import { isServerNote } from "../mail/made-by.ts";
import { formatMailbox, parseMailbox, sameMailbox } from "../mail/mailbox.ts";
import { parseFolder } from "../mail/maildir-folder.ts";
import type { Message } from "../mail/message.ts";
import { formatNextHop, parseNextHop } from "../mail/next-hop.ts";
import { Fault } from "../platform/fault.ts";

/** Octets of a script's notes as JSON. */
export const notesOctetsMax = 16_384;
const depthMax = 64;

/** Those of the script in the place of those there were; the server's own stay whatever it says. @throws {Fault} `script.action-invalid`, `script.action-limit` */
export function applyNotes(message: Message, given: { readonly [name: string]: Json }): void {
  checkJson(given, 0);
  const own = Object.entries(given).filter(([name]) => !isServerNote(name));
  const octets = Buffer.byteLength(JSON.stringify(Object.fromEntries(own)));
  if (octets > notesOctetsMax)
    throw new Fault("script.action-limit", `Cannot keep ${octets} octets of notes: expected ${notesOctetsMax} at most`);
  const kept = Object.entries(message.notes).filter(([name]) => isServerNote(name));
  message.notes = Object.fromEntries([...own, ...kept]);
}

/** @throws {Fault} `next-hop.syntax`, `address.syntax`, `script.action-invalid` */
export function applyRoutes(message: Message, ways: readonly WayResult[]): void {
  for (const way of ways) {
    if (way.to === null) throw new Fault("script.action-invalid", "Cannot route to nowhere: expected a next hop");
    const { to } = way;
    // Read for each recipient's domain, as "mx" by itself is his.
    applyWay(message, way, (domain) => ({ route: to === "mx" ? to : formatNextHop(parseNextHop(to, domain)) }));
  }
}

/** @throws {Fault} `folder.invalid`, `address.syntax`, `script.action-invalid` */
export function applyFolders(message: Message, ways: readonly WayResult[]): void {
  for (const way of ways) {
    const folder = way.to === null ? null : parseFolder(way.to);
    applyWay(message, way, () => ({ folder }));
  }
}

function applyWay(
  message: Message,
  { recipients: named }: WayResult,
  optionsFor: (domain: string) => { readonly route?: string; readonly folder?: string | null },
): void {
  const wanted = named?.map(parseMailbox);
  const { recipients } = message.envelope;
  const missing = wanted?.find((mailbox) => !recipients.some((recipient) => sameMailbox(recipient.mailbox, mailbox)));
  if (missing)
    throw new Fault("script.action-invalid", `Cannot send ${formatMailbox(missing)} another way: he is no recipient`);
  message.envelope = {
    ...message.envelope,
    recipients: recipients.map((recipient) => {
      if (wanted && !wanted.some((mailbox) => sameMailbox(recipient.mailbox, mailbox))) return recipient;
      return { ...recipient, options: withOptions(recipient.options ?? {}, optionsFor(recipient.mailbox.domain)) };
    }),
  };
}

function withOptions(
  { folder: before, ...options }: RecipientOptions,
  { folder = before ?? null, ...others }: { readonly route?: string; readonly folder?: string | null },
): RecipientOptions {
  return { ...options, ...others, ...(folder === null ? {} : { folder }) };
}

function checkJson(value: unknown, depth: number): void {
  if (depth > depthMax) throw new Fault("script.action-invalid", "Cannot keep notes nested so deep");
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (typeof value !== "object") throw new Fault("script.action-invalid", "Cannot keep notes that are no JSON");
  for (const [name, inner] of Object.entries(value)) {
    // JSON may name it, and a careless copy of it would be another prototype.
    if (name === "__proto__") throw new Fault("script.action-invalid", "Cannot keep a note named __proto__");
    checkJson(inner, depth + 1);
  }
}
