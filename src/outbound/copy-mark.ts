/**
 * Names of the files a message becomes: the same again where a delivery is repeated, because its server was killed before it had written down that it was done.
 * So the copy that lies there already is found, and no second one is made.
 */
import { createHash } from "node:crypto";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";

/** Seven digits that stand for these recipients, with a message's id before them a name of its own. */
export function copyMark(recipients: readonly Mailbox[]): string {
  const hash = createHash("sha256");
  for (const recipient of recipients) hash.update(`${formatMailbox(recipient)}\n`);
  return hash.digest("hex").slice(0, 7).toUpperCase();
}
