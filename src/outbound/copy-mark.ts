/**
 * Names of the files a message becomes: the same again where a delivery is repeated, because its server was killed before it had written down that it was done.
 * So the copy that lies there already is found, and no second one is made.
 */
import { createHash } from "node:crypto";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";

/** Digits enough that nobody finds two lists of recipients with the same ones. */
const digits = 32;

/** What stands for these recipients: with a message's id before it, a name of its own. */
export function copyMark(recipients: readonly Mailbox[]): string {
  const hash = createHash("sha256");
  for (const recipient of recipients) hash.update(`${formatMailbox(recipient)}\n`);
  return hash.digest("hex").slice(0, digits).toUpperCase();
}
