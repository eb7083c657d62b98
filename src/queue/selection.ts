/** Which messages or recipients an operator means, and what he is told of a change to them. Pure. */
import { normalizeDomain, parseMailbox } from "../mail/mailbox.ts";
import { Fault } from "../platform/fault.ts";
import type { SpoolSelection } from "../spool/selection.ts";
import type { QueueItem } from "./listing.ts";

/** All that is given has to hold. */
export interface QueueSelection {
  readonly ids?: readonly string[];
  /** Recipient's domain; "*.example.org" is every name below. */
  readonly domain?: string;
  /** Recipient's whole mailbox. */
  readonly recipient?: string;
  /** Reverse-path's mailbox; "<>" the null one; "@example.org" its domain. */
  readonly sender?: string;
  /** Destination as `destinations()` names it. */
  readonly destination?: string;
  readonly olderThanMs?: number;
  readonly newerThanMs?: number;
  /** Of recipients: due or waiting without a failed attempt; waits after one; held; an attempt is under way. */
  readonly state?: "new" | "deferred" | "held" | "running";
}

export interface QueuePage {
  /** Oldest first. */
  readonly items: readonly QueueItem[];
  /** How many are meant, beyond the page too. */
  readonly total: number;
}

export interface QueueChange {
  readonly messages: number;
  readonly recipients: number;
  /** The first `changedIdsMax` of them. */
  readonly ids: readonly string[];
  /** Meant, but could not be changed. */
  readonly skipped: readonly { readonly id: string; readonly reason: string }[];
}

export const changedIdsMax = 1_000;

/**
 * The selection as the spool understands it; `destination` and `running` are the queue's to answer.
 * @throws {Fault} `address.syntax`, `address.too-long` for what is no mailbox or no domain
 */
export function toSpoolSelection(selection: QueueSelection, now: number): SpoolSelection {
  const { ids, domain, recipient, sender, olderThanMs, newerThanMs, state } = selection;
  return {
    ...(ids ? { ids } : {}),
    ...(domain === undefined
      ? {}
      : { domain: domain.startsWith("*.") ? `.${domainOf(domain.slice(2))}` : domainOf(domain) }),
    ...(recipient === undefined ? {} : { recipient: parseMailbox(recipient) }),
    ...(sender === undefined ? {} : { sender: senderOf(sender) }),
    ...(olderThanMs === undefined ? {} : { receivedBefore: now - olderThanMs }),
    ...(newerThanMs === undefined ? {} : { receivedAfter: now - newerThanMs }),
    ...(state === undefined || state === "running" ? {} : { state }),
  };
}

function senderOf(text: string): NonNullable<SpoolSelection["sender"]> | null {
  if (text === "<>" || text === "") return null;
  return text.startsWith("@") ? { localPart: null, domain: domainOf(text.slice(1)) } : parseMailbox(text);
}

function domainOf(text: string): string {
  const domain = normalizeDomain(text);
  if (domain === undefined)
    throw new Fault("address.syntax", `Cannot read the domain ${JSON.stringify(text.slice(0, 100))}: expected a name`);
  return domain;
}
