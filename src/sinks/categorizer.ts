/** The server's own answer to what a recipient is, where no sink before it has given one: the files of aliases and mailboxes, plus-addressing, role addresses. */
import type { Sink } from "../events/sink.ts";
import { type Mailbox, sameMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { AddressBook } from "./address-files.ts";

/** As what a sink took the recipient when he was named: he was answered 250 for that. */
function acceptedAs({ envelope }: Message, forwardPath: Mailbox): "local" | "relay" | undefined {
  return envelope.recipients.find(({ mailbox }) => sameMailbox(mailbox, forwardPath))?.options?.accepted;
}

export function categorizer(book: Pick<AddressBook, "resolve">): Sink {
  return {
    name: "categorizer",
    onCategorize({ message, forwardPath, expandedFrom, resolution, resolve }) {
      if (resolution !== null) return;
      const { resolution: known } = book.resolve(forwardPath, expandedFrom);
      const accepted =
        known.kind === "unknown" && expandedFrom.length === 0 ? acceptedAs(message, forwardPath) : undefined;
      resolve(accepted ? { kind: accepted } : known);
    },
  };
}
