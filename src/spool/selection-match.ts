/** Whether a message or recipient is meant by a selection, for a back end that looks at values; sqlite-query.ts says the same in SQL. Pure. */
import type { ReversePath } from "../mail/path.ts";
import type { SpoolSelection } from "./selection.ts";
import type { HeldBy, StoredRecipient } from "./spool.ts";

/** Whether a recipient is meant; `among` is the caller's affair. */
export function isRecipientMeant(selection: SpoolSelection, recipient: StoredRecipient): boolean {
  const { domain, recipient: wanted, state } = selection;
  const { mailbox } = recipient;
  if (recipient.state !== "queued") return false;
  if (domain !== undefined && !(domain.startsWith(".") ? mailbox.domain.endsWith(domain) : mailbox.domain === domain))
    return false;
  if (
    wanted &&
    (mailbox.domain !== wanted.domain || mailbox.localPart.toLowerCase() !== wanted.localPart.toLowerCase())
  )
    return false;
  return state === undefined || state === stateOf(recipient.heldBy, recipient.attempts);
}

function stateOf(heldBy: HeldBy | undefined, attempts: number): "new" | "deferred" | "held" {
  return heldBy ? "held" : attempts > 0 ? "deferred" : "new";
}

export function isSenderMeant({ sender }: SpoolSelection, reversePath: ReversePath): boolean {
  if (sender === undefined) return true;
  if (sender === null || reversePath === null) return sender === reversePath;
  return (
    reversePath.domain === sender.domain &&
    (sender.localPart === null || reversePath.localPart.toLowerCase() === sender.localPart.toLowerCase())
  );
}
