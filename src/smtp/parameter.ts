/** Parameters of MAIL and RCPT: those of the extensions we offer, checked and typed. RFC 5321 §4.1.1.11. Pure. */
import type { MailOptions, Notify, OriginalRecipient, RecipientOptions } from "../mail/envelope.ts";
import type { CommandError, Parameters } from "./command.ts";
import { decodeXtext, encodeXtext } from "./xtext.ts";

/** What MAIL may ask for here and now. */
export interface MailParameterSettings {
  /** Whether BODY=BINARYMIME is taken. */
  readonly binaryMime: boolean;
  /** Whether TLS is on: without it nobody can ask for it further on. */
  readonly secure: boolean;
  /** Whether a reply for each recipient can be asked for. */
  readonly prdr: boolean;
}

/** Characters of ENVID's value as it is written, and of ORCPT's. RFC 3461 §4. */
const envelopeIdCharactersMax = 100;
const originalRecipientCharactersMax = 500;

const none = {};
const unknown: CommandError = { code: 555, status: "5.5.4", text: "A parameter is not known here" };

/** What MAIL asks for, or what is wrong with its parameters. */
export function readMailOptions(parameters: Parameters, settings: MailParameterSettings): MailOptions | CommandError {
  if (parameters.size === 0) return none;
  const options: { -readonly [Key in keyof MailOptions]: MailOptions[Key] } = {};
  for (const [keyword, value] of parameters) {
    switch (keyword) {
      case "SIZE": {
        // RFC 1870 §5; whether that is too much is not for a parser to say.
        if (!/^\d{1,20}$/.test(value)) return wrong("SIZE needs a number");
        options.sizeOctets = Number(value);
        break;
      }
      case "BODY": {
        // RFC 6152 §2, RFC 3030 §3
        const body = value.toUpperCase();
        if (body === "7BIT" || body === "8BITMIME") options.body = body;
        else if (body === "BINARYMIME" && settings.binaryMime) options.body = body;
        else return wrong(`BODY is 7BIT${settings.binaryMime ? ", 8BITMIME or BINARYMIME" : " or 8BITMIME"}`);
        break;
      }
      case "SMTPUTF8": // RFC 6531 §3.4
        if (value !== "") return wrong("SMTPUTF8 takes no value");
        options.smtpUtf8 = true;
        break;
      case "AUTH": {
        // RFC 4954 §5
        const submitter = value === "<>" ? "" : value === "" ? null : decodeXtext(value);
        if (submitter === null || hasControls(submitter)) return wrong("AUTH needs an address in xtext, or <>");
        options.submitter = submitter;
        break;
      }
      case "RET": {
        // RFC 3461 §4.3
        const ret = value.toUpperCase();
        if (ret !== "FULL" && ret !== "HDRS") return wrong("RET is FULL or HDRS");
        options.ret = ret;
        break;
      }
      case "ENVID": {
        const envelopeId = value === "" ? null : decodeXtext(value);
        // What it says is printable ASCII: it goes into reports. RFC 3461 §4.4.
        if (envelopeId === null || value.length > envelopeIdCharactersMax || !isPrintableAscii(envelopeId)) {
          return wrong(`ENVID needs xtext of at most ${envelopeIdCharactersMax} characters`);
        }
        options.envelopeId = envelopeId;
        break;
      }
      case "REQUIRETLS": // RFC 8689 §2, §4.1
        if (value !== "") return wrong("REQUIRETLS takes no value");
        // Who asks for it in the clear has been overheard already; 5.7.10 is "encryption needed". RFC 5248.
        if (!settings.secure) return { code: 530, status: "5.7.10", text: "REQUIRETLS needs TLS" };
        options.requireTls = true;
        break;
      case "PRDR": // draft-hall-prdr
        if (!settings.prdr) return unknown;
        if (value !== "") return wrong("PRDR takes no value");
        options.prdr = true;
        break;
      default:
        return unknown;
    }
  }
  return options;
}

/** What RCPT asks for, or what is wrong with its parameters. RFC 3461 §4.1, §4.2. */
export function readRcptOptions(parameters: Parameters): RecipientOptions | CommandError {
  if (parameters.size === 0) return none;
  const options: { -readonly [Key in keyof RecipientOptions]: RecipientOptions[Key] } = {};
  for (const [keyword, value] of parameters) {
    if (keyword === "NOTIFY") {
      const notify = readNotify(value);
      if (notify === null) return wrong("NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY");
      options.notify = notify;
    } else if (keyword === "ORCPT") {
      const original = value.length > originalRecipientCharactersMax ? null : readOriginalRecipient(value);
      if (original === null) return wrong("ORCPT needs a type and an address in xtext");
      options.originalRecipient = original;
    } else return unknown;
  }
  return options;
}

/** (lenient: the same outcome twice is it once) */
function readNotify(value: string): Notify[] | null {
  const words = value.toUpperCase().split(",");
  if (words.length === 1 && words[0] === "NEVER") return ["never"];
  const notify = new Set<Notify>();
  for (const word of words) {
    if (word !== "SUCCESS" && word !== "FAILURE" && word !== "DELAY") return null;
    notify.add(word.toLowerCase() as Notify);
  }
  return [...notify];
}

/** `rfc822;ann@example.org`. RFC 3461 §4.2; for `utf-8` RFC 6533 §3. */
function readOriginalRecipient(value: string): OriginalRecipient | null {
  const match = /^([A-Za-z0-9][A-Za-z0-9-]*);(.+)$/s.exec(value);
  if (!match) return null;
  const type = match[1]!.toLowerCase();
  const address = type === "utf-8" ? readUtf8Address(match[2]!) : decodeXtext(match[2]!);
  if (address === null || address === "" || hasControls(address)) return null;
  if (type === "utf-8" || isPrintableAscii(address)) return { type, address };
  // (lenient: Postfix says rfc822 of an international address; it goes on as the type it is.)
  return type === "rfc822" ? { type: "utf-8", address } : null;
}

/** `\x{20AC}` stands for a character, and UTF-8 for itself; (lenient: `+` and two digits too, as in any other type). RFC 6533 §3. */
function readUtf8Address(text: string): string | null {
  let isSound = true;
  const plain = text.replace(/\\(?:x\{(10[0-9A-Fa-f]{4}|[0-9A-Fa-f]{1,5})\})?/g, (_escape, digits?: string) => {
    const point = digits === undefined ? -1 : Number.parseInt(digits, 16);
    if (point < 0 || (point >= 0xd800 && point <= 0xdfff)) {
      isSound = false;
      return "";
    }
    return encodeXtext(String.fromCodePoint(point));
  });
  if (!isSound) return null;
  return decodeXtext(plain.replace(/[^\x00-\x7f]+/g, encodeXtext));
}

function isPrintableAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** Line ends above all: decoded, it would be more than one value. */
function hasControls(text: string): boolean {
  return /[\x00-\x1f\x7f-\x9f]/.test(text);
}

function wrong(text: string): CommandError {
  return { code: 501, status: "5.5.4", text };
}
