/** What comes of a command line: a step to be done, or a reply the session gives by itself. */
import { type Parameters, parseCommandLine } from "./command.ts";
import { offeredKeywords } from "./extensions.ts";
import { ownReplies } from "./own-replies.ts";
import { readMailOptions, readRcptOptions } from "./parameter.ts";
import { type OwedReply, owed } from "./reply-effect.ts";
import { findMisplacement, forgetTransaction, type SessionState } from "./server-order.ts";
import type { ServerSettings } from "./server-settings.ts";
import type { ServerStep } from "./server-step.ts";

/** BDAT and AUTH change how the octets behind them are read: that is the session's. */
export type Outcome =
  | ServerStep
  | OwedReply
  | { readonly kind: "chunk"; readonly sizeOctets: number; readonly last: boolean }
  | { readonly kind: "exchange"; readonly mechanism: string; readonly initial: string | null };

const data: ServerStep = { kind: "data", by: "DATA" };

/** Names of methods that a browser begins with when it was made to talk to us. */
const httpMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS"]);

export function findOutcome(line: string, state: SessionState, settings: ServerSettings): Outcome {
  const parsed = parseCommandLine(line);
  if ("error" in parsed) {
    const { verb, error } = parsed;
    return httpMethods.has(verb) ? owed(verb, ownReplies.notMail, "errors") : owed(verb, error, "error");
  }
  const { command } = parsed;
  const { verb } = command;
  const misplacement = findMisplacement(command, state, settings);
  if (misplacement !== null) return owed(verb, misplacement, "error");
  switch (verb) {
    case "MAIL":
      return beginTransaction(command.path, command.parameters, state, settings);
    case "RCPT": {
      const { path, parameters } = command;
      const options = readRcptOptions(parameters);
      return "code" in options ? owed(verb, options, "none") : { kind: "rcpt", path, parameters, options };
    }
    case "DATA":
      return data;
    case "BDAT":
      return { kind: "chunk", sizeOctets: command.sizeOctets, last: command.last };
    case "AUTH":
      return { kind: "exchange", mechanism: command.mechanism, initial: command.initial };
    case "EHLO":
    case "LHLO":
      return { kind: "helo", verb, name: command.name, keywords: offeredKeywords(settings, state) };
    case "HELO":
      return { kind: "helo", verb, name: command.name, keywords: [] };
    case "RSET":
      return owed(verb, ownReplies.reset, "idle");
    case "NOOP":
      return owed(verb, ownReplies.noop, "idle");
    case "HELP":
      return owed(verb, ownReplies.help, "idle");
    case "VRFY":
      return owed(verb, ownReplies.verify, "idle");
    case "EXPN":
      return owed(verb, ownReplies.expand, "idle");
    case "STARTTLS":
      return owed(verb, ownReplies.startTls, "starttls");
    case "XCLIENT":
    case "XFORWARD": {
      const { attributes } = command;
      if (typeof attributes === "string") return owed(verb, { code: 501, status: "5.5.4", text: attributes }, "error");
      return { kind: verb === "XCLIENT" ? "xclient" : "xforward", attributes };
    }
    case "QUIT":
      return owed(verb, ownReplies.quit, "quit");
  }
}

function beginTransaction(
  path: string,
  parameters: Parameters,
  state: SessionState,
  { binaryMime, protocol }: ServerSettings,
): ServerStep | OwedReply {
  const limits = { binaryMime, secure: state.secure, prdr: protocol === "smtp" };
  const options = readMailOptions(parameters, limits);
  if ("code" in options) return owed("MAIL", options, "none");
  forgetTransaction(state);
  state.prdr = options.prdr === true;
  state.binaryMime = options.body === "BINARYMIME";
  return { kind: "mail", path, parameters, options };
}
