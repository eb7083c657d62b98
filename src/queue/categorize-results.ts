/**
 * From the graph of addresses to recipients: each address once, with what its sender asked for as far as that goes with it, and those of whom nothing can become.
 * Pure.
 */
import { mailboxKey } from "../mail/alias-file.ts";
import type { Notify, OriginalRecipient, RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox, type Mailbox, tryParseMailbox } from "../mail/mailbox.ts";
import type { Message, Recipient } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { type AddressNode, circle, type Root, type Said } from "./categorize-recipients.ts";

/** How an address was reached. */
interface Way {
  readonly options: RecipientOptions | undefined;
  /** Who hears of failures in the sender's place. */
  readonly owner: Mailbox | undefined;
  /** Of those that get a message of their own: the address it was asked for. */
  readonly split: AddressNode | undefined;
}

/** A recipient of the message that goes on. */
export interface Reached {
  readonly recipient: Recipient;
  readonly owner: Mailbox | undefined;
  readonly split: AddressNode | undefined;
  /** The recipient that he is reached for by forwarding, out of this server. */
  readonly forwardedFor: Mailbox | undefined;
}

export interface Failure {
  readonly recipient: Recipient;
  readonly owner: Mailbox | undefined;
  readonly reply: Reply;
  readonly by: string | null;
}

export interface Ended {
  readonly mailbox: Mailbox;
  readonly said: Extract<Said, { readonly kind: "discarded" | "quarantined" }>;
}

/** A recipient that others stand for now, of which the sender wants to hear. */
export interface Expansion {
  readonly recipient: Recipient;
  /** The mail is the list's from here on, so for its sender it has arrived; an alias has only been followed. */
  readonly isList: boolean;
}

export interface Results {
  readonly reached: readonly Reached[];
  readonly failures: readonly Failure[];
  readonly ended: readonly Ended[];
  readonly expansions: readonly Expansion[];
}

const forwardedHere: Reply = {
  code: 554,
  status: "5.4.6",
  text: "The message was forwarded from here before: mail loops",
};

/** @param message for the Delivered-To fields of former forwards, and whether its failures are reported at all */
export function resultsOf(roots: readonly Root[], message: Message): Results {
  const reached: Reached[] = [];
  const failures: Failure[] = [];
  const ended: Ended[] = [];
  const expansions: Expansion[] = [];
  const visited = new Set<AddressNode>();
  // Who is a recipient himself is one as such, with his own options, and not as a member of a list.
  const direct = new Set(roots.map(({ node }) => node));
  let deliveredTo: ReadonlySet<string> | undefined;

  for (const { recipient, node: top, failed } of roots) {
    if (visited.has(top)) continue;
    visited.add(top);
    if (failed || !top.ends) {
      failures.push({ recipient, owner: undefined, reply: failed ?? circle, by: null });
      continue;
    }
    const mine: Reached[] = [];
    const mineFailed: Failure[] = [];
    const mineEnded: Ended[] = [];
    const mineExpanded: Expansion[] = [];
    const added: AddressNode[] = [];
    const visit = (node: AddressNode, way: Way) => {
      const to = node === top && way.options === recipient.options ? recipient : recipientOf(node.mailbox, way.options);
      const split = node.isSplit ? node : way.split;
      const said = node.said!;
      if (!node.ends) mineFailed.push({ recipient: to, owner: way.owner, reply: circle, by: null });
      else if (said.kind === "failed")
        mineFailed.push({ recipient: to, owner: way.owner, reply: said.reply, by: said.by });
      else if (said.kind === "stays") {
        const forwardedFor = said.away && node !== top ? top.mailbox : undefined;
        mine.push({ recipient: to, owner: way.owner, split, forwardedFor });
      } else if (said.kind === "expands") {
        if (said.stays) mine.push({ recipient: to, owner: way.owner, split, forwardedFor: undefined });
        if (isReported(node, said, way)) mineExpanded.push({ recipient: to, isList: said.owner !== undefined });
        return { ...wayFrom(node, said, way), split };
      } else mineEnded.push({ mailbox: node.mailbox, said });
      return undefined;
    };
    // In the order of a list's members, without recursion.
    const todo: { readonly node: AddressNode; readonly way: Way }[] = [
      { node: top, way: { options: recipient.options, owner: undefined, split: undefined } },
    ];
    for (let step = todo.pop(); step; step = todo.pop()) {
      const way = visit(step.node, step.way);
      if (!way) continue;
      for (const child of step.node.children.toReversed()) {
        if (visited.has(child) || direct.has(child)) continue;
        todo.push({ node: child, way });
      }
      for (const child of step.node.children) {
        if (direct.has(child) || visited.has(child)) continue;
        visited.add(child);
        added.push(child);
      }
    }
    if (mine.some(({ forwardedFor }) => forwardedFor)) {
      deliveredTo ??= addressesOf(message, "Delivered-To");
      if (deliveredTo.has(mailboxKey(top.mailbox))) {
        for (const node of added) visited.delete(node);
        failures.push({ recipient, owner: undefined, reply: forwardedHere, by: null });
        continue;
      }
    }
    reached.push(...mine);
    failures.push(...mineFailed);
    ended.push(...mineEnded);
    expansions.push(...mineExpanded);
  }
  return { reached, failures, ended, expansions };
}

function recipientOf(mailbox: Mailbox, options: RecipientOptions | undefined): Recipient {
  return { mailbox, ...(options && { options }) };
}

/** What goes on to those an address stands for; what a sink chose for its own mail (`route`, `folder`) does not. RFC 3461 §5.2.7. */
function wayFrom(
  { mailbox, children }: AddressNode,
  { owner, stays }: Extract<Said, { readonly kind: "expands" }>,
  way: Way,
): Way {
  // A list: its mail is a message of the owner's, and the sender's wishes end here. RFC 3461 §5.2.7.1, RFC 5321 §3.9.2.
  if (owner) return { ...way, owner, options: undefined };
  if (way.owner) return { ...way, options: undefined };
  const { notify, originalRecipient = originalOf(mailbox) } = way.options ?? {};
  // An alias for one other: everything goes on (RFC 3461 §5.2.7.2). For several: all but SUCCESS, of which there is a report now (RFC 3461 §5.2.7.3, case c).
  const isAlone = children.length === 1 && !stays;
  const kept = isAlone ? notify : notify && withoutSuccess(notify);
  return { ...way, options: { ...(kept && { notify: kept }), originalRecipient } };
}

/**
 * Whether a wish to hear of success is fulfilled by the expansion itself: at a list, and at an alias for several. An address that is a recipient too keeps the wish
 * for its own mail. RFC 3461 §5.2.7.1, §5.2.7.3.
 */
function isReported(
  { children }: AddressNode,
  { owner, stays }: Extract<Said, { readonly kind: "expands" }>,
  { options }: Way,
): boolean {
  return !stays && (owner !== undefined || children.length > 1) && options?.notify?.includes("success") === true;
}

function withoutSuccess(notify: readonly Notify[]): readonly Notify[] {
  const rest = notify.filter((word) => word !== "success");
  // Who asked for nothing but that asked for nothing else to be reported.
  return rest.length > 0 ? rest : ["never"];
}

/** The address as its sender wrote it, for reports of others in its place. RFC 3461 §4.2, RFC 6533 §3. */
function originalOf(mailbox: Mailbox): OriginalRecipient {
  const address = formatMailbox(mailbox);
  return { type: /[^\x00-\x7f]/.test(address) ? "utf-8" : "rfc822", address };
}

function addressesOf({ header }: Message, name: string): ReadonlySet<string> {
  const keys = header
    .getAll(name)
    .map((value) => tryParseMailbox(value.replace(/^<(.*)>$/, "$1")))
    .filter((mailbox) => mailbox !== undefined)
    .map(mailboxKey);
  return new Set(keys);
}
