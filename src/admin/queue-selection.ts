/** Which messages and recipients of the queue are meant, as a request says it. Everything that is given has to hold. */
import { formatMailbox, normalizeDomain } from "../mail/mailbox.ts";
import { formatReversePath, parseForwardPath, parseReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import { readCount, readIds, readWords } from "./control-request.ts";

/**
 * Of recipients: waits, never tried without success | waits after a failed attempt | is not tried until it is released, or until a route lets it |
 * an attempt is under way.
 */
export const queueStates = ["new", "deferred", "held", "running"] as const;
export type QueueState = (typeof queueStates)[number];

export interface QueueSelection {
  readonly ids?: readonly string[];
  /** Recipient's domain; `*.example.org` is every name below. */
  readonly domain?: string;
  /** Recipient's whole mailbox. */
  readonly recipient?: string;
  /** Reverse-path's mailbox; `<>` the null one; `@example.org` its domain. */
  readonly sender?: string;
  /** As the list of destinations names it. */
  readonly destination?: string;
  /** Since it was received. */
  readonly olderThanMs?: number;
  readonly newerThanMs?: number;
  readonly state?: QueueState;
}

/** Octets of a destination's name: a URL at most. */
const destinationLengthMax = 2_100;
/** A hundred years: more is a slip of the pen. */
const ageMsMax = 100 * 365 * 86_400_000;

const keys = [
  "ids",
  "domain",
  "recipient",
  "sender",
  "destination",
  "olderThanMs",
  "newerThanMs",
  "state",
] as const satisfies readonly (keyof QueueSelection)[];

/**
 * Names and addresses in the form they are compared in. An unknown key is an error: to overlook a condition would mean more messages than are meant.
 * @throws {Fault} `control.invalid`, `address.syntax`, `address.too-long`, `path.syntax`, `path.too-long`
 */
export function readSelection(raw: unknown): QueueSelection {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    throw new Fault("control.invalid", "selection: expected an object");
  // A JSON object, checked above.
  const given = raw as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(given).find((key) => !keys.some((known) => known === key));
  if (stranger !== undefined)
    throw new Fault("control.invalid", `selection: unknown key ${JSON.stringify(stranger.slice(0, 40))}`);
  const selection = {
    ids: readIds(given.ids),
    domain: readDomain(given.domain),
    recipient: readRecipient(given.recipient),
    sender: readSender(given.sender),
    destination: readWords(given.destination, "destination", destinationLengthMax),
    olderThanMs: readCount(given.olderThanMs, { name: "olderThanMs", min: 0, max: ageMsMax }),
    newerThanMs: readCount(given.newerThanMs, { name: "newerThanMs", min: 0, max: ageMsMax }),
    state: readState(given.state),
  };
  return withoutAbsent(selection);
}

/** Whether it means the whole queue. */
export function selectsAll(selection: QueueSelection): boolean {
  return keys.every((key) => selection[key] === undefined);
}

function readDomain(value: unknown): string | undefined {
  const text = readWords(value, "domain", 300);
  if (text === undefined) return undefined;
  const below = text.startsWith("*.");
  const domain = normalizeDomain(text.slice(below ? 2 : 0).replace(/\.$/, ""));
  if (domain === undefined)
    throw new Fault("control.invalid", `domain: ${JSON.stringify(text)} is no domain; *.example.org means all below`);
  return below ? `*.${domain}` : domain;
}

function readRecipient(value: unknown): string | undefined {
  const text = readWords(value, "recipient", 1_000);
  return text === undefined ? undefined : formatMailbox(parseForwardPath(text));
}

function readSender(value: unknown): string | undefined {
  const text = readWords(value, "sender", 1_000);
  if (text === undefined) return undefined;
  if (!text.startsWith("@")) return formatReversePath(parseReversePath(text));
  const domain = normalizeDomain(text.slice(1).replace(/\.$/, ""));
  if (domain === undefined) throw new Fault("control.invalid", `sender: ${JSON.stringify(text)} names no domain`);
  return `@${domain}`;
}

function readState(value: unknown): QueueState | undefined {
  const state = queueStates.find((known) => known === value);
  if (value !== undefined && state === undefined)
    throw new Fault("control.invalid", `state: expected ${queueStates.join(", ")}`);
  return state;
}

function withoutAbsent(
  selection: { readonly [Key in keyof QueueSelection]: QueueSelection[Key] | undefined },
): QueueSelection {
  // Only keys with a value are left, so the optional ones are exact.
  return Object.fromEntries(Object.entries(selection).filter(([, value]) => value !== undefined)) as QueueSelection;
}
