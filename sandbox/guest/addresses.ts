/** Runs inside the isolate: addresses of header fields and of the envelope. Reading the grammar is the child's, through the host. */
import type { Address } from "../api.ts";
import { describe, rawValues } from "./headers.ts";
import { append, freeze, indexOf, isArray, jsonParse, lowerCase, matches, slice, trim } from "./primordials.ts";
import { askHost, invalid, type RunState } from "./run-state.ts";

const addressOctetsMax = 320;
const addressesMax = 1_000;
// Roughly: the server reads it again with the grammar of RFC 5321 §4.1.2.
const dotAddress = /^[^\x00-\x20"(),:;<>@[\\\]\x7f]+@(?:[^\x00-\x20"(),:;<>@[\\\]\x7f]+|\[[0-9A-Za-z:.]+\])$/;
const quotedAddress =
  /^"(?:[^\x00-\x1f"\\\x7f]|\\[\x20-\x7e])+"@(?:[^\x00-\x20"(),:;<>@[\\\]\x7f]+|\[[0-9A-Za-z:.]+\])$/;
const nonAscii = /[^\x00-\x7f]/;
const control = /[\x00-\x1f\x7f]/;
const plainPhrase = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*$/;

/** Mailboxes of all fields of that name, decoded. */
export function readAddresses(state: RunState, name: string): readonly Address[] {
  const values = rawValues(state, name);
  const found: Address[] = [];
  for (let i = 0; i < values.length; i++) {
    const list = parseList(values[i]!);
    for (let k = 0; k < list.length && found.length < addressesMax; k++) append(found, list[k]!);
  }
  return freeze(found);
}

/** A field's value from what a script gives for a list of addresses. */
export function formatAddresses(state: RunState, name: string, given: unknown): string {
  return formatAddressList(addressesGiven(state, name, given));
}

/** What a script gives for a list of addresses. */
export function addressesGiven(state: RunState, name: string, given: unknown): readonly Address[] {
  const list = isArray(given) ? given : [given];
  const all: Address[] = [];
  for (let i = 0; i < list.length; i++) {
    const addresses = oneGiven(state, name, list[i]);
    for (let k = 0; k < addresses.length; k++) append(all, addresses[k]!);
  }
  return all;
}

export function formatAddressList(addresses: readonly Address[]): string {
  let value = "";
  for (let i = 0; i < addresses.length; i++) value += (value === "" ? "" : ", ") + formatAddress(addresses[i]!);
  return value;
}

/** An address for the envelope, as it was given. */
export function checkAddress(state: RunState, given: unknown, what: string): string {
  if (typeof given !== "string") return invalid(state, `${what} is an address as text, not ${describe(given)}`);
  const address = trim(given);
  if (!isAddress(address)) invalid(state, `${what} is no address: expected local-part@domain`);
  return address;
}

export function sameAddress(one: string, other: string): boolean {
  return lowerCase(one) === lowerCase(other);
}

function isAddress(text: string): boolean {
  return text.length <= addressOctetsMax && (matches(dotAddress, text) || matches(quotedAddress, text));
}

function oneGiven(state: RunState, name: string, given: unknown): readonly Address[] {
  if (typeof given === "string") {
    if (matches(control, given))
      invalid(state, `The value for ${name} holds CR, LF, NUL or another control character: a field is one line`);
    const list = parseList(given);
    if (list.length === 0)
      invalid(state, `No address for ${name}: expected local-part@domain or Name <local-part@domain>`);
    for (let i = 0; i < list.length; i++) checkMailbox(state, name, list[i]!);
    return list;
  }
  if (typeof given !== "object" || given === null)
    return invalid(state, `${name} is set to an address or a list of addresses, not ${describe(given)}`);
  const { address, name: phrase } = given as { address?: unknown; name?: unknown };
  if (phrase !== undefined && typeof phrase !== "string")
    return invalid(state, `The name of an address for ${name} is a text, not ${describe(phrase)}`);
  return [checkMailbox(state, name, { address: typeof address === "string" ? trim(address) : "", name: phrase ?? "" })];
}

function checkMailbox(state: RunState, name: string, mailbox: Address): Address {
  if (!isAddress(mailbox.address))
    invalid(state, `No address for ${name}: expected local-part@domain or Name <local-part@domain>`);
  if (matches(control, mailbox.name))
    invalid(state, `The value for ${name} holds CR, LF, NUL or another control character: a field is one line`);
  return mailbox;
}

function parseList(value: string): Address[] {
  const answer = askHost("addresses", value);
  const found: Address[] = [];
  if (answer === "") return found;
  const pairs = jsonParse(answer) as readonly (readonly [string, string])[];
  for (let i = 0; i < pairs.length; i++) append(found, freeze({ address: pairs[i]![1], name: pairs[i]![0] }));
  return found;
}

/** RFC 5322 §3.4. A name in other than ASCII is left unquoted: its words become encoded words, which must not stand in quotes (RFC 2047 §5). */
function formatAddress({ address, name }: Address): string {
  const phrase = trim(name);
  if (phrase === "") return address;
  if (matches(nonAscii, phrase) || indexOf(phrase, "=?") !== -1) return `${withoutSpecials(phrase)} <${address}>`;
  return matches(plainPhrase, phrase) ? `${phrase} <${address}>` : `"${escapeQuoted(phrase)}" <${address}>`;
}

function withoutSpecials(text: string): string {
  let kept = "";
  for (let i = 0; i < text.length; i++) {
    const c = slice(text, i, i + 1);
    const special = indexOf('()<>[]:;@\\,"', c) !== -1;
    // White space and what may not stand in a phrase: one space for a run of them.
    if (special || c === " ") {
      if (kept !== "" && slice(kept, -1) !== " ") kept += " ";
    } else kept += c;
  }
  return trim(kept);
}

function escapeQuoted(text: string): string {
  let escaped = "";
  for (let i = 0; i < text.length; i++) {
    const c = slice(text, i, i + 1);
    escaped += c === '"' || c === "\\" ? `\\${c}` : c;
  }
  return escaped;
}
