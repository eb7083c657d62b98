/**
 * `X-Sender` and `X-Receiver`, which stand above a message in the pickup folder and in the drop folder: what MAIL and RCPT say, on paper. An address alone, or in
 * brackets with the parameters of the command behind it: `X-Sender: <ann@example.org> RET=HDRS`. Pure.
 */
import { parseAddressList } from "../mail/address-list.ts";
import { type EnvelopeOptions, envelopeOptionsOf } from "../mail/envelope.ts";
import { Header } from "../mail/header.ts";
import { formatMailbox, quoteForLog } from "../mail/mailbox.ts";
import type { Envelope, Recipient } from "../mail/message.ts";
import { formatReversePath, parseForwardPath, parseReversePath, type ReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import type { Extensions } from "./client-extensions.ts";
import { mailLine, rcptLine } from "./client-parameters.ts";
import { type CommandError, type Parameters, parseCommandLine } from "./command.ts";
import { readMailOptions, readRcptOptions } from "./parameter.ts";

/** What is written down; SIZE and BODY=8BITMIME can be seen from the message. */
const written: Extensions = new Map([
  ["DSN", ""],
  ["SMTPUTF8", ""],
]);
/** A file is nobody's connection: nothing is overheard, and what octets it may hold is not for its writer to say. */
const read = { binaryMime: false, secure: true, prdr: false } as const;

/** The fields with their line ends. */
export function formatPickupFields({ reversePath, recipients, options = {} }: Envelope): string {
  const { body: _body, ...kept } = options;
  const facts = { reversePath, options: kept, sizeOctets: 0, eightBit: false, international: kept.smtpUtf8 === true };
  const sender = mailLine(facts, written).slice("MAIL FROM:".length);
  const lines = [
    `X-Sender: ${withoutNeedlessBrackets(sender, formatReversePath(reversePath))}`,
    ...recipients.map((recipient) => {
      const receiver = receiverLine(recipient).slice("RCPT TO:".length);
      return `X-Receiver: ${withoutNeedlessBrackets(receiver, formatMailbox(recipient.mailbox))}`;
    }),
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

/** The original recipient beyond ASCII may be longer in ASCII than anybody reads; then it is left out. RFC 3461 §4.2. */
function receiverLine({ mailbox, options = {} }: Recipient): string {
  const line = rcptLine({ mailbox, options }, written);
  const { originalRecipient, ...others } = options;
  if (originalRecipient === undefined) return line;
  const command = readCommand("", line);
  return command && !("code" in readRcptOptions(command.parameters))
    ? line
    : rcptLine({ mailbox, options: others }, written);
}

/** Without parameters it is an address, which simpler readers know. */
function withoutNeedlessBrackets(path: string, address: string): string {
  return path === `<${address}>` ? address : path;
}

/** Without the fields at the very top that would be taken for the envelope. */
export function withoutPickupFields(header: Header): Header {
  const count = countPickupFields(header);
  return count === 0 ? header : new Header(header.fields.slice(count));
}

/** How many fields at the very top are the envelope. */
export function countPickupFields({ fields }: Header): number {
  const count = fields.findIndex(({ name }) => !/^x-(?:sender|receiver)$/i.test(name));
  return count === -1 ? fields.length : count;
}

/** The value of an X-Sender. @throws {Fault} `submission.malformed` */
export function readSenderField(value: string): {
  readonly reversePath: ReversePath;
  readonly options: EnvelopeOptions;
} {
  return named("X-Sender", value, () => {
    const command = readCommand("MAIL FROM:", value);
    if (command === null) return { reversePath: parseReversePath(value), options: {} };
    const options = orThrow(readMailOptions(command.parameters, read));
    return { reversePath: parseReversePath(command.path), options: envelopeOptionsOf(options) };
  });
}

/** The value of an X-Receiver: one with parameters, or any number without. @throws {Fault} `submission.malformed` */
export function readReceiverField(value: string): readonly Recipient[] {
  return named("X-Receiver", value, () => {
    const command = readCommand("RCPT TO:", value);
    if (command === null) return parseAddressList(value).map((mailbox) => ({ mailbox }));
    return [{ mailbox: parseForwardPath(command.path), options: orThrow(readRcptOptions(command.parameters)) }];
  });
}

/** Null where there are no parameters. */
function readCommand(
  verb: "MAIL FROM:" | "RCPT TO:" | "",
  value: string,
): { readonly path: string; readonly parameters: Parameters } | null {
  const line = parseCommandLine(verb + value);
  return "command" in line && "parameters" in line.command && line.command.parameters.size > 0 ? line.command : null;
}

function orThrow<Options extends object>(options: Options | CommandError): Options {
  if ("code" in options) throw new Fault("submission.malformed", (options as CommandError).text);
  return options;
}

function named<T>(field: string, value: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault("submission.malformed", `Cannot read the ${field} ${quoteForLog(value)}: ${error.message}`, {
      cause: error,
    });
  }
}
