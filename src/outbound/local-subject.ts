/** What sinks see at onLocalDelivery, and what they said of it. */
import type { Binding } from "../events/binding.ts";
import type { LocalDeliverySubject } from "../events/subject-transport.ts";
import { Revocable, remember } from "../events/undo.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { parseFolder } from "../mail/maildir-folder.ts";
import type { Message } from "../mail/message.ts";
import { formatNextHop, type NextHop } from "../mail/next-hop.ts";

/** Characters of a sink's words that are kept. */
const wordsLengthMax = 200;

export class LocalSubject extends Revocable implements LocalDeliverySubject {
  readonly message: Message;
  readonly attemptId: string;
  readonly forwardPath: Mailbox;
  readonly nextHop: NextHop;
  folder: string | null;
  /** Who says that it is delivered, and in which words; null: nobody does. */
  consumed: { readonly by: string; readonly words: string } | null = null;
  /** Binding that is asked now. */
  asked = "";

  constructor(facts: Pick<LocalDeliverySubject, "message" | "attemptId" | "forwardPath" | "nextHop" | "folder">) {
    super();
    this.message = facts.message;
    this.attemptId = facts.attemptId;
    this.forwardPath = facts.forwardPath;
    this.nextHop = facts.nextHop;
    this.folder = facts.folder;
  }

  override [remember](binding: Binding): () => void {
    this.asked = binding.id;
    return super[remember](binding);
  }

  // Fields, so that a sink may take them out of its subject.
  readonly fileInto = (folder: string | null): void => {
    this.folder = folder === null ? null : parseFolder(folder);
    this.note(`file into ${this.folder ?? "INBOX"}`);
  };

  readonly consume = (words = ""): void => {
    // A sink's words reach the log and the listing: one line of them.
    const line = String(words)
      .replace(/\p{Cc}+/gu, " ")
      .trim()
      .slice(0, wordsLengthMax);
    this.consumed = { by: this.asked, words: line || `delivered by ${this.asked}` };
    this.note(`consume (in the place of ${formatNextHop(this.nextHop)})`);
  };
}
