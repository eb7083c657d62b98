/** The envelope a message in a file most likely had: read from its header where it is not given, as `sieve-test` does. */
import type { Header } from "./header.ts";
import { type Mailbox, sameMailbox, tryParseMailbox } from "./mailbox.ts";
import type { ReversePath } from "./path.ts";

const unknownSender: Mailbox = { localPart: "sender", domain: "example.com" };
const unknownRecipient: Mailbox = { localPart: "recipient", domain: "example.test" };

/** Characters of a field that are looked at, and recipients that are taken. */
const fieldLengthMax = 256 * 1024;
const recipientsMax = 1_000;

/** Return-Path, else Sender, else From. An empty Return-Path is the null one. RFC 5321 §4.4. */
export function guessReversePath(header: Header): ReversePath {
  if (header.get("Return-Path")?.trim() === "<>") return null;
  for (const name of ["Return-Path", "Sender", "From"]) {
    const mailbox = findMailboxes(header.get(name) ?? "")[0];
    if (mailbox) return mailbox;
  }
  return unknownSender;
}

/** Delivered-To and X-Original-To, which name who really got it; else To, Cc and Bcc. */
export function guessRecipients(header: Header): readonly Mailbox[] {
  for (const names of [
    ["Delivered-To", "X-Original-To"],
    ["To", "Cc", "Bcc"],
  ]) {
    const found: Mailbox[] = [];
    for (const mailbox of names.flatMap((name) => header.getAll(name)).flatMap(findMailboxes)) {
      if (found.length < recipientsMax && !found.some((other) => sameMailbox(other, mailbox))) found.push(mailbox);
    }
    if (found.length > 0) return found;
  }
  return [unknownRecipient];
}

/**
 * Every mailbox in a field's value, in order. Only for guessing: one pass that passes over quoted names and comments and takes what looks
 * like an address, so that no header, however odd, takes long or fails.
 */
export function findMailboxes(value: string): Mailbox[] {
  const found: Mailbox[] = [];
  let word = "";
  let commentDepth = 0;
  let inQuotes = false;
  const endWord = () => {
    const mailbox = word.includes("@") ? tryParseMailbox(word) : undefined;
    if (mailbox && found.length < recipientsMax) found.push(mailbox);
    word = "";
  };
  for (let i = 0; i < Math.min(value.length, fieldLengthMax); i++) {
    const character = value[i]!;
    if (inQuotes || commentDepth > 0) {
      if (character === "\\") {
        if (inQuotes) word += character + (value[i + 1] ?? "");
        i++;
      } else if (inQuotes) {
        word += character;
        // A quoted string is part of an address only where the "@" follows at once.
        if (character === '"') {
          inQuotes = false;
          if (value[i + 1] !== "@") word = "";
        }
      } else commentDepth += character === "(" ? 1 : character === ")" ? -1 : 0;
    } else if (character === '"') {
      endWord();
      inQuotes = true;
      word = character;
    } else if (character === "(") {
      endWord();
      commentDepth = 1;
    } else if (/[\s<>,;:]/.test(character)) endWord();
    else word += character;
  }
  endWord();
  return found;
}
