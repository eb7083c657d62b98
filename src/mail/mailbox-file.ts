/** The grammar of the file of mailboxes (docs/addresses.md): one a line, an address or a local part that is there at every local domain. Pure. */
import { mailboxKey, readLocalPart } from "./alias-file.ts";
import { type LineProblem, readEntries } from "./alias-lines.ts";
import { tryParseMailbox } from "./mailbox.ts";

export interface MailboxFile {
  /** As `mailboxKey` writes them. */
  readonly addresses: ReadonlySet<string>;
  /** In lower case. */
  readonly names: ReadonlySet<string>;
  readonly problems: readonly LineProblem[];
}

/** Reads all of it. A mailbox may be named twice. */
export function parseMailboxFile(text: string): MailboxFile {
  const addresses = new Set<string>();
  const names = new Set<string>();
  const problems: LineProblem[] = [];
  for (const entry of readEntries(text)) {
    for (const { text: written, line, column } of entry) {
      const mailbox = tryParseMailbox(written);
      const localPart = mailbox ? undefined : readLocalPart(written);
      if (mailbox) addresses.add(mailboxKey(mailbox));
      else if (localPart !== undefined) names.add(localPart.toLowerCase());
      else
        problems.push({
          line,
          column,
          message: `expected one address or name on the line, found ${JSON.stringify(written.slice(0, 80))}`,
        });
    }
  }
  return { addresses, names, problems };
}
