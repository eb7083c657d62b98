/**
 * What a message needs that a program hands to sendmail: names of this machine without a domain get one, in the header too, and a From field where there is
 * none. The rest (Date, Message-ID, line ends) is the server's affair. Pure.
 */

import { fromField } from "../inbound/submitted-mail.ts";
import { parseAddressList } from "../mail/address-list.ts";
import { encodeWords } from "../mail/encoded-word.ts";
import { type Field, Header, splitMessage } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseReversePath } from "../mail/path.ts";
import { UsageError } from "./failure.ts";

const addressFields = /^(?:resent-)?(?:from|sender|reply-to|to|cc|bcc)$/i;
/** Octets of a line without its end. RFC 5322 §2.1.1. */
const lineOctetsMax = 998;
/** Of the name before an address, so that it fits on a line. */
const nameCharactersMax = 200;
const localName = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+$/;

/** `root` is `root@DOMAIN`; anything else stays as it is. */
export function qualify(text: string, domain: string): string {
  return localName.test(text) ? `${text}@${domain}` : text;
}

/** Recipients of the command line: an address each, or several with names as a header has them. @throws {UsageError} */
export function readAddresses(words: readonly string[], domain: string): readonly string[] {
  return words.flatMap((word) => {
    try {
      return parseAddressList(qualifyList(word, domain)).map(formatMailbox);
    } catch {
      throw new UsageError(`sendmail: ${JSON.stringify(word.slice(0, 100))} is no address`);
    }
  });
}

/** The sender of -f; `<>` and nothing are the null reverse-path. @throws {UsageError} */
export function readSender(text: string, domain: string): string {
  const written = text.trim();
  if (written === "" || written === "<>") return "<>";
  try {
    return formatReversePath(parseReversePath(qualify(written, domain)));
  } catch {
    const [address, ...others] = readAddresses([written], domain);
    if (address === undefined || others.length > 0)
      throw new UsageError(`sendmail: ${JSON.stringify(written.slice(0, 100))} is no sender`);
    return address;
  }
}

/**
 * The message with a From field and without names that have no domain. What is written right stays octet for octet.
 * @param from reverse-path; a message of the null one gets no From field
 */
export function completeMessage(
  octets: Buffer,
  facts: { readonly from: string; readonly fullName: string | null; readonly domain: string },
): Buffer {
  const { header, separator, body } = splitMessage(octets);
  // The line that mailbox files put above a message is no field. RFC 4155.
  const fields = header.fields
    .filter(({ name }, i) => i > 0 || name !== "")
    .map((field) => qualifyField(field, facts.domain));
  const named = new Header(fields);
  const hasFrom = named.has("From") || named.has("Resent-From");
  const complete =
    hasFrom || facts.from === "<>" ? named : named.addField(fromField(facts.from, phraseOf(facts.fullName)));
  return Buffer.concat([complete.octets, separator, body]);
}

/** A quoted string, or encoded words. RFC 5322 §3.2.5, RFC 2047 §5. */
function phraseOf(fullName: string | null): string {
  const plain = (fullName ?? "")
    .toWellFormed()
    .replace(/[\x00-\x1f\x7f]+/g, " ")
    .trim();
  const name = [...plain].slice(0, nameCharactersMax).join("");
  if (name === "") return "";
  return /[^\x20-\x7e]|=\?/.test(name) ? encodeWords(name) : `"${name.replace(/["\\]/g, "\\$&")}"`;
}

/** Octet by octet: what is not ASCII, and encoded words, are somebody else's and stay what they are. */
function qualifyField(field: Field, domain: string): Field {
  if (!addressFields.test(field.name)) return field;
  const text = field.octets.toString("latin1");
  const start = text.indexOf(":") + 1;
  const qualified = qualifyList(text.slice(start), domain);
  if (qualified === text.slice(start)) return field;
  const isTooLong = `${text.slice(0, start)}${qualified}`.split("\n").some((line) => line.length > lineOctetsMax);
  const value = isTooLong ? qualifyList(text.slice(start), domain, true) : qualified;
  return { name: field.name, octets: Buffer.from(text.slice(0, start) + value, "latin1") };
}

/**
 * `Ann <ann>, root (the one)` with `@DOMAIN` behind each name that has no domain: the word in angle brackets, or else the one word outside of comments. Groups and
 * everything that is not plain stay as they are.
 * @param onePerLine whether each begins a line of its own
 */
function qualifyList(value: string, domain: string, onePerLine = false): string {
  let result = "";
  let start = 0;
  let depth = 0;
  let inQuotes = false;
  let inAngle = false;
  for (let i = 0; i <= value.length; i++) {
    const character = value[i];
    if (character === "\\") i++;
    else if (character === '"' && depth === 0) inQuotes = !inQuotes;
    else if (inQuotes && character !== undefined) continue;
    else if (character === "(") depth++;
    else if (character === ")" && depth > 0) depth--;
    else if (depth === 0 && character === "<") inAngle = true;
    else if (depth === 0 && character === ">") inAngle = false;
    else if (character === undefined || (depth === 0 && !inAngle && character === ",")) {
      const item = value.slice(start, i);
      const isFolded = onePerLine && start > 0 && item.trim() !== "";
      result +=
        (isFolded ? `\r\n ${qualifyOne(item.trimStart(), domain)}` : qualifyOne(item, domain)) + (character ?? "");
      start = i + 1;
    }
  }
  return result;
}

function qualifyOne(text: string, domain: string): string {
  const angle = /^([^<]*<\s*)([^<>@\s]+)(\s*>[^<>]*)$/.exec(text);
  if (angle) return `${angle[1]}${qualify(angle[2]!, domain)}${angle[3]}`;
  const bare = /^((?:\s|\([^()]*\))*)([^\s()<>@",:;]+)((?:\s|\([^()]*\))*)$/.exec(text);
  return bare ? `${bare[1]}${qualify(bare[2]!, domain)}${bare[3]}` : text;
}
