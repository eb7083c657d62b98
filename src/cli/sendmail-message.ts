/**
 * What a message needs that a program hands to sendmail: names of this machine without a domain get one, in the header too, and a From field where there is
 * none. The rest (Date, Message-ID, line ends) is the server's affair. Pure.
 */
import { parseAddressList } from "../mail/address-list.ts";
import { encodeWords } from "../mail/encoded-word.ts";
import { createField, type Field, fieldValue, Header, splitMessage } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseReversePath } from "../mail/path.ts";
import { UsageError } from "./failure.ts";

const addressFields = /^(?:resent-)?(?:from|sender|reply-to|to|cc|bcc)$/i;
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
    const [address] = readAddresses([written], domain);
    if (address === undefined) throw new UsageError(`sendmail: ${JSON.stringify(written.slice(0, 100))} is no sender`);
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
  const hasFrom = fields.some(({ name }) => /^(?:resent-)?from$/i.test(name));
  const added = hasFrom || facts.from === "<>" ? fields : [...fields, fromField(facts)];
  return Buffer.concat([new Header(added).octets, separator, body]);
}

/** Without what a pickup folder would take for an envelope of its own. */
export function withoutPickupFields(octets: Buffer): Buffer {
  const { header, separator, body } = splitMessage(octets);
  const first = header.fields.findIndex(({ name }) => !/^x-(?:sender|receiver)$/i.test(name));
  const fields = header.fields.slice(first === -1 ? header.fields.length : first);
  return Buffer.concat([new Header(fields).octets, separator, body]);
}

function fromField({ from, fullName }: { readonly from: string; readonly fullName: string | null }): Field {
  const name = (fullName ?? "").replace(/[\x00-\x1f\x7f]+/g, " ").trim();
  if (name === "") return createField("From", from);
  // A phrase is a quoted string, or encoded words. RFC 5322 §3.2.5, RFC 2047 §5.
  const phrase = /[^\x20-\x7e]/.test(name) ? encodeWords(name) : `"${name.replace(/["\\]/g, "\\$&")}"`;
  return createField("From", `${phrase} <${from}>`);
}

function qualifyField(field: Field, domain: string): Field {
  if (!addressFields.test(field.name)) return field;
  const value = fieldValue(field);
  const qualified = qualifyList(value, domain);
  return qualified === value ? field : createField(field.name, qualified);
}

/**
 * `Ann <ann>, root (the one)` with `@DOMAIN` behind each name that has no domain: the word in angle brackets, or else the one word outside of comments. Groups and
 * everything that is not plain stay as they are.
 */
function qualifyList(value: string, domain: string): string {
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
      result += qualifyOne(value.slice(start, i), domain) + (character ?? "");
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
