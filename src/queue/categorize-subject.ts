/** What sinks see while recipients are resolved, and what they may do: copies of the message, and the subject of onCategorize, filled. */
import type { Binding } from "../events/binding.ts";
import type { CategorizeSubject, Resolution } from "../events/subject-transport.ts";
import { Revocable, remember } from "../events/undo.ts";
import { formatMailbox, type Mailbox, parseMailbox } from "../mail/mailbox.ts";
import { Message, type Recipient } from "../mail/message.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

/** A copy to be given to sinks: what is done to it later, when it is revoked, reaches nothing. */
export function copyOf(message: Message): Message {
  return new Message(message);
}

/**
 * Fixes a message's recipients: a sink that writes others gets the fault `recipients.fixed` where it writes, and what it did besides is undone with it. The rest of
 * the envelope can be replaced.
 */
export function fixRecipients(message: Message): void {
  let { envelope } = message;
  Object.defineProperty(message, "envelope", {
    configurable: true,
    enumerable: true,
    get: () => envelope,
    set(next: Message["envelope"]) {
      if (!sameRecipients(envelope.recipients, next.recipients))
        throw new Fault(
          "recipients.fixed",
          `Cannot change the recipients of ${message.id} here: expected that of onArrival, or resolve() at onCategorize`,
        );
      envelope = next;
    },
  });
}

function sameRecipients(one: readonly Recipient[], other: readonly Recipient[]): boolean {
  return one === other || (one.length === other.length && one.every((recipient, index) => recipient === other[index]));
}

/** One recipient that is asked about. Powers are fields, so that a sink may take them out of its subject. */
export class CategorizeDecision extends Revocable implements CategorizeSubject {
  readonly message: Message;
  readonly attemptId: string;
  readonly forwardPath: Mailbox;
  readonly expandedFrom: readonly Mailbox[];
  resolution: Resolution | null = null;
  /** Binding whose word that is. */
  resolvedBy: string | null = null;
  isSplit = false;
  /** Binding that is asked now. */
  asked = "";

  constructor(facts: Pick<CategorizeSubject, "message" | "attemptId" | "forwardPath" | "expandedFrom">) {
    super();
    this.message = facts.message;
    this.attemptId = facts.attemptId;
    this.forwardPath = facts.forwardPath;
    this.expandedFrom = facts.expandedFrom;
  }

  override [remember](binding: Binding): () => void {
    this.asked = binding.id;
    return super[remember](binding);
  }

  readonly resolve = (resolution: Resolution): void => {
    this.resolution = checkedResolution(resolution);
    this.resolvedBy = this.asked;
    this.note(describeResolution(this.resolution));
  };

  readonly split = (): void => {
    this.isSplit = true;
    this.note("split");
  };
}

/** Addresses that are named in a trace. */
const namedMax = 5;
/** Characters of a sink's words about nobody: they go into a report. */
const reasonLengthMax = 200;

/** `expand to a@example.org, b@example.org`; for traces and `onarrival route`. */
export function describeResolution(resolution: Resolution): string {
  if (resolution.kind !== "expand") return `resolve as ${resolution.kind}`;
  const { to, owner } = resolution;
  const named = to.slice(0, namedMax).map(formatMailbox).join(", ");
  const more = to.length > namedMax ? ` and ${to.length - namedMax} more` : "";
  return `expand to ${named}${more}${owner ? `, owned by ${formatMailbox(owner)}` : ""}`;
}

/** A copy that is sure to be one. @throws {Fault} `resolution.invalid` */
function checkedResolution(resolution: Resolution): Resolution {
  const kind = (resolution as Partial<Resolution> | null)?.kind;
  switch (resolution?.kind) {
    case "local":
    case "relay":
      return { kind: resolution.kind };
    case "unknown": {
      const reason = String(resolution.reason ?? "")
        .replace(/\p{Cc}+/gu, " ")
        .trim()
        .slice(0, reasonLengthMax);
      return { kind: "unknown", ...(reason !== "" && { reason }) };
    }
    case "expand": {
      const { to, owner } = resolution;
      if (!Array.isArray(to) || to.length === 0)
        throw new Fault("resolution.invalid", "Cannot expand a recipient to nobody: expected one mailbox at least");
      return { kind: "expand", to: to.map(checkedMailbox), ...(owner && { owner: checkedMailbox(owner) }) };
    }
    default:
      throw new Fault(
        "resolution.invalid",
        `Cannot take ${JSON.stringify(kind) ?? "nothing"} for a resolution: expected local, relay, expand or unknown`,
      );
  }
}

/** What a sink made is read like what a client says. @throws {Fault} `resolution.invalid` */
function checkedMailbox(mailbox: Mailbox): Mailbox {
  try {
    return parseMailbox(formatMailbox(mailbox));
  } catch (error) {
    throw new Fault("resolution.invalid", `Cannot expand to what is no mailbox: ${describeThrown(error)}`, {
      cause: error,
    });
  }
}
