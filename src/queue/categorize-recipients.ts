/**
 * Recipients and all that they stand for, asked about one by one: aliases, lists and forwards become a graph of addresses, each asked about once, with bounds on
 * how deep and how large it grows, so that it ends whatever anybody answers. What goes out of it is in categorize-results.ts.
 */
import type { Resolution } from "../events/subject-transport.ts";
import type { Verdict } from "../events/verdict.ts";
import { mailboxKey } from "../mail/alias-file.ts";
import { type Mailbox, sameMailbox } from "../mail/mailbox.ts";
import type { Message, Recipient } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { componentsOf } from "./categorize-circles.ts";

/** Expansions on the way from a recipient to the last address; RFC 5321 §6.3 wants loops to end, aliases have no count of their own. */
export const expansionDepthMax = 10;
/** Addresses that the expansions of one message name, lists within lists counted. */
export const expandedMax = 10_000;

/** What was said of one address. */
export interface Answer {
  readonly verdict: Verdict;
  readonly resolution: Resolution | null;
  readonly isSplit: boolean;
  /** The message as it was left. */
  readonly message: Message;
}

export type AskAbout = (forwardPath: Mailbox, expandedFrom: readonly Mailbox[]) => Answer | Promise<Answer>;

/** An end: what becomes of an address. */
export type Said =
  /** It is a recipient; `away`: of a next hop that is not ours. */
  | { readonly kind: "stays"; readonly away: boolean }
  /** Others in its place; `stays`: and it is one itself. */
  | { readonly kind: "expands"; readonly owner: Mailbox | undefined; stays: boolean }
  | { readonly kind: "failed"; readonly reply: Reply; readonly by: string | null }
  | {
      readonly kind: "discarded" | "quarantined";
      readonly reason: string;
      readonly by: string | null;
      readonly message: Message;
    };

export interface AddressNode {
  readonly mailbox: Mailbox;
  readonly expandedFrom: readonly Mailbox[];
  /** null: not asked about yet. */
  said: Said | null;
  children: readonly AddressNode[];
  isSplit: boolean;
  /** Whether anything becomes of it: false where it only leads round in a circle. */
  ends: boolean;
}

/** One recipient of the envelope and the address it is; several may share one. */
export interface Root {
  readonly recipient: Recipient;
  readonly node: AddressNode;
  /** Why nothing of it is taken, where it grew too large. */
  failed: Reply | null;
}

const tooDeep: Reply = {
  code: 554,
  status: "5.4.6",
  text: `The address leads on more than ${expansionDepthMax} times`,
};
/** RFC 3463 §3.3, X.2.4. */
const tooLarge: Reply = { code: 554, status: "5.2.4", text: `The list has more than ${expandedMax} addresses` };
export const circle: Reply = {
  code: 554,
  status: "5.4.6",
  text: "The address leads back to itself and to nobody else",
};

/** All that was said, or a verdict to ask again later. */
export type AskedAbout =
  /** In the order of the envelope. */
  { readonly roots: readonly Root[] } | { readonly deferral: Objection };

type Objection = Exclude<Verdict, { readonly kind: "proceed" }>;

/** Asks about each address once, and about members of a circle once more. */
export async function askAboutAll(recipients: readonly Recipient[], ask: AskAbout): Promise<AskedAbout> {
  const known = new Map<string, AddressNode>();
  const roots = recipients.map((recipient): Root => {
    const { mailbox } = recipient;
    const key = mailboxKey(mailbox);
    const node = known.get(key) ?? createNode(mailbox, []);
    known.set(key, node);
    return { recipient, node, failed: null };
  });
  let expanded = 0;
  let isLinkedBack = false;
  for (const root of roots) {
    const created: string[] = [];
    const asked: AddressNode[] = [];
    const todo = [root.node];
    for (let at = 0; at < todo.length && !root.failed; at++) {
      const node = todo[at]!;
      if (node.said) continue;
      const given = ask(node.mailbox, node.expandedFrom);
      const answer = given instanceof Promise ? await given : given;
      if (answer.verdict.kind === "defer") return { deferral: answer.verdict };
      asked.push(node);
      node.isSplit = answer.isSplit;
      node.said = readAnswer(answer);
      if (node.said.kind !== "expands") continue;
      const others = othersIn(node, answer);
      if (others.size > 0 && node.expandedFrom.length >= expansionDepthMax) {
        node.said = { kind: "failed", reply: tooDeep, by: null };
        continue;
      }
      const path = [...node.expandedFrom, node.mailbox];
      const children: AddressNode[] = [];
      for (const [key, mailbox] of others) {
        let child = known.get(key);
        if (child) isLinkedBack = true;
        else if (expanded + created.length === expandedMax) {
          root.failed = tooLarge;
          break;
        } else {
          child = createNode(mailbox, path);
          known.set(key, child);
          created.push(key);
        }
        children.push(child);
        if (!child.said) todo.push(child);
      }
      node.children = children;
    }
    if (root.failed) {
      // Others may name the same addresses and stay within the bounds.
      for (const key of created) known.delete(key);
      for (const node of asked) Object.assign(node, { said: null, children: [], isSplit: false });
    } else expanded += created.length;
  }
  return isLinkedBack ? await lookForCircles(roots, ask) : { roots };
}

function createNode(mailbox: Mailbox, expandedFrom: readonly Mailbox[]): AddressNode {
  return { mailbox, expandedFrom, said: null, children: [], isSplit: false, ends: true };
}

function readAnswer({ verdict, resolution, message }: Answer): Said {
  switch (verdict.kind) {
    case "refuse":
    case "defer":
    case "drop": {
      const { code, status, text, by = null } = verdict;
      return { kind: "failed", reply: { code, status, text }, by };
    }
    case "discard":
    case "quarantine": {
      const { reason, by = null } = verdict;
      return { kind: verdict.kind === "discard" ? "discarded" : "quarantined", reason, by, message };
    }
    case "proceed":
      break;
  }
  switch (resolution?.kind) {
    case undefined:
    case "local":
      return { kind: "stays", away: false };
    case "relay":
      return { kind: "stays", away: true };
    case "unknown":
      return {
        kind: "failed",
        reply: { code: 550, status: "5.1.1", text: resolution.reason ?? "No such mailbox here" },
        by: null,
      };
    case "expand":
      return { kind: "expands", owner: resolution.owner, stays: false };
  }
}

/** Whom an expansion names besides the address itself, each once. One that names itself stays what it is. */
function othersIn(node: AddressNode, { resolution }: Answer): Map<string, Mailbox> {
  const others = new Map<string, Mailbox>();
  if (resolution?.kind !== "expand" || node.said?.kind !== "expands") return others;
  for (const mailbox of resolution.to) {
    if (sameMailbox(mailbox, node.mailbox)) node.said.stays = true;
    else {
      const key = mailboxKey(mailbox);
      if (!others.has(key)) others.set(key, mailbox);
    }
  }
  return others;
}

/** Members of a circle are asked about once more, as those who lead back to themselves: who has a mailbox stays. Then it is clear which addresses lead to nobody. */
async function lookForCircles(roots: readonly Root[], ask: AskAbout): Promise<AskedAbout> {
  for (const component of componentsOf(roots.map(({ node }) => node))) {
    for (const node of component.length > 1 ? component : []) {
      if (node.said?.kind !== "expands") continue;
      const given = ask(node.mailbox, [...node.expandedFrom, node.mailbox]);
      const { verdict, resolution } = given instanceof Promise ? await given : given;
      if (verdict.kind === "defer") return { deferral: verdict };
      if (verdict.kind === "proceed" && (resolution?.kind === "local" || resolution?.kind === "relay"))
        node.said.stays = true;
    }
    // Those a component leads to have been decided before it.
    const within = new Set(component);
    const ends = component.some(
      ({ said, children }) =>
        said === null ||
        said.kind !== "expands" ||
        said.stays ||
        children.some((child) => !within.has(child) && child.ends),
    );
    for (const node of component) node.ends = ends;
  }
  return { roots };
}
