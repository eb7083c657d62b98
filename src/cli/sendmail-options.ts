/** The options of sendmail, as programs have given them for decades: read as getopt(3) would, taken where they mean something here, harmless where they do not. Pure. */
import type { Notify } from "../mail/envelope.ts";
import { encodeXtext } from "../smtp/xtext.ts";
import { UsageError } from "./failure.ts";

export interface SendmailOptions {
  /** `message`: one from standard input. `session`: -bs, SMTP on standard input and output. `list`: -bp. `flush`: -q. `aliases`: -bi, which has nothing to do. */
  readonly mode: "message" | "session" | "list" | "flush" | "aliases";
  /** -f, -r: as written. */
  readonly from: string | null;
  /** -F */
  readonly fullName: string | null;
  /** -t */
  readonly headerRecipients: boolean;
  /** Whether a line with nothing but a dot ends the message; -i says it does not. */
  readonly dotEnds: boolean;
  /** -N; null: the default. RFC 3461 §4.1. */
  readonly notify: readonly Notify[] | null;
  /** -R */
  readonly ret: "FULL" | "HDRS" | null;
  /** -V */
  readonly envelopeId: string | null;
  /** -C: our configuration. */
  readonly config: string | null;
  readonly recipients: readonly string[];
}

/** Options with a value, in the same word or the next. */
const valued = "ABCFLNORVXbdefhopr";
/** Options without one. -q may have one in the same word. */
const bare = "GIUcimnqtvx";

/** @throws {UsageError} */
export function readSendmailOptions(args: readonly string[]): SendmailOptions {
  const options: { -readonly [Key in keyof SendmailOptions]: SendmailOptions[Key] } = {
    mode: "message",
    from: null,
    fullName: null,
    headerRecipients: false,
    dotEnds: true,
    notify: null,
    ret: null,
    envelopeId: null,
    config: null,
    recipients: [],
  };
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at]!;
    if (word === "--") {
      at++;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    for (let i = 1; i < word.length; i++) {
      const letter = word[i]!;
      if (valued.includes(letter)) {
        const inWord = word.slice(i + 1);
        // -d is for debugging and stands alone as well.
        const value = inWord !== "" || letter === "d" ? inWord : args[++at];
        if (value === undefined) throw new UsageError(`sendmail: -${letter} needs a value`);
        takeValue(options, letter, value);
        break;
      }
      if (!bare.includes(letter)) throw new UsageError(`sendmail: there is no option -${letter}`);
      if (letter === "t") options.headerRecipients = true;
      else if (letter === "i") options.dotEnds = false;
      else if (letter === "I") options.mode = "aliases";
      else if (letter === "q") {
        options.mode = "flush";
        break;
      }
    }
  }
  options.recipients = readRecipients(args.slice(at));
  if (options.mode === "message" && options.recipients.length === 0 && !options.headerRecipients)
    throw new UsageError("sendmail: expected recipients, or -t to read them from the message");
  return options;
}

function takeValue(
  options: { -readonly [Key in keyof SendmailOptions]: SendmailOptions[Key] },
  letter: string,
  value: string,
): void {
  switch (letter) {
    case "b":
      options.mode = readMode(value);
      break;
    case "f":
    case "r":
      options.from = value;
      break;
    case "F":
      options.fullName = value;
      break;
    case "C":
      options.config = value;
      break;
    case "N":
      options.notify = readNotify(value);
      break;
    case "R":
      options.ret = readRet(value);
      break;
    case "V":
      options.envelopeId = readEnvelopeId(value);
      break;
    case "o":
      // -oi and -ot are the old names of -i and -t; every other is a matter of the sendmail program's own.
      if (value === "i") options.dotEnds = false;
      else if (value === "t") options.headerRecipients = true;
      break;
    case "O":
      if (/^IgnoreDots(=true)?$/i.test(value)) options.dotEnds = false;
      break;
  }
}

function readMode(value: string): SendmailOptions["mode"] {
  const modes = { m: "message", s: "session", p: "list", i: "aliases" } as const;
  const mode = modes[value as keyof typeof modes];
  if (!mode)
    throw new UsageError(
      `sendmail: there is no mode -b${value.slice(0, 10)}`,
      "-bm takes a message, -bs speaks SMTP, -bp lists the queue; onarrival serve runs the server, onarrival route tests addresses",
    );
  return mode;
}

function readNotify(value: string): readonly Notify[] {
  const known = ["never", "success", "failure", "delay"] as const satisfies readonly Notify[];
  const words = value.toLowerCase().split(",");
  const wanted = known.filter((one) => words.includes(one));
  if (wanted.length !== words.length || (wanted.length > 1 && wanted.includes("never")))
    throw new UsageError(
      `sendmail: -N: expected never, or some of success,failure,delay, not ${JSON.stringify(value)}`,
    );
  return wanted;
}

function readRet(value: string): "FULL" | "HDRS" {
  const ret = value.toUpperCase();
  if (ret !== "FULL" && ret !== "HDRS")
    throw new UsageError(`sendmail: -R: expected full or hdrs, not ${JSON.stringify(value)}`);
  return ret;
}

/** RFC 3461 §4.4: printable ASCII, and no more than 100 characters once it is xtext. */
function readEnvelopeId(value: string): string {
  if (!/^[\x20-\x7e]+$/.test(value) || encodeXtext(value).length > 100)
    throw new UsageError(
      `sendmail: -V: expected an envelope id of at most 100 printable characters, not ${JSON.stringify(value.slice(0, 120))}`,
    );
  return value;
}

/** Several may stand in one word. */
function readRecipients(words: readonly string[]): readonly string[] {
  return words.flatMap((word) => (/["(<]/.test(word) ? [word] : word.split(/[\s,]+/))).filter((word) => word !== "");
}
