/** The server's own answer to what a recipient is, where no sink before it has given one: the files of aliases and mailboxes, plus-addressing, role addresses. */
import type { Sink } from "../events/sink.ts";
import type { AddressBook } from "./address-files.ts";

export function categorizer(book: Pick<AddressBook, "resolve">): Sink {
  return {
    name: "categorizer",
    onCategorize({ forwardPath, expandedFrom, resolution, resolve }) {
      if (resolution === null) resolve(book.resolve(forwardPath, expandedFrom).resolution);
    },
  };
}
