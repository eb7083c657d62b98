/** What a session knows of itself, and which commands make sense by it. RFC 5321 §4.1.4. Pure. */
import type { Command, CommandError } from "./command.ts";
import type { ServerSettings } from "./server-settings.ts";

/** `bdat`: between the chunks of a message. `spoiled`: a chunk was refused, and with it the message. */
export type TransactionState = "none" | "mail" | "rcpt" | "bdat" | "spoiled";

export interface SessionState {
  /** HELO, EHLO or LHLO was answered 250; `extended`: it was not HELO. */
  greeted: boolean;
  extended: boolean;
  secure: boolean;
  authenticated: boolean;
  transaction: TransactionState;
  /** Accepted in this transaction. */
  recipients: number;
  /** What MAIL of this transaction asked for. */
  prdr: boolean;
  binaryMime: boolean;
  /** Whether XCLIENT says that the client it speaks of is logged in. */
  claimsLogin: boolean;
  errors: number;
  idleCommands: number;
}

export function createSessionState(): SessionState {
  return {
    greeted: false,
    extended: false,
    secure: false,
    authenticated: false,
    transaction: "none",
    recipients: 0,
    prdr: false,
    binaryMime: false,
    claimsLogin: false,
    errors: 0,
    idleCommands: 0,
  };
}

/** The session begins anew; who it is with stays. */
export function forgetDialogue(state: SessionState): void {
  state.greeted = false;
  state.extended = false;
  forgetTransaction(state);
}

export function forgetTransaction(state: SessionState): void {
  state.transaction = "none";
  state.recipients = 0;
  state.prdr = false;
  state.binaryMime = false;
}

/** What the session speaks, for trace fields. RFC 3848, which has no word for HELO with TLS; RFC 6531 §4.3 for the UTF8 forms. */
export function protocolName(
  protocol: ServerSettings["protocol"],
  { extended, secure, authenticated }: SessionState,
  utf8: boolean,
): string {
  if (!extended) return "SMTP";
  const base = protocol === "lmtp" ? "LMTP" : utf8 ? "SMTP" : "ESMTP";
  return `${utf8 ? "UTF8" : ""}${base}${secure ? "S" : ""}${authenticated ? "A" : ""}`;
}

/** Whether that makes too many. */
export function countUp(what: "error" | "idle", state: SessionState, settings: ServerSettings): boolean {
  if (what === "error") return ++state.errors >= settings.errorsMax;
  return ++state.idleCommands >= settings.idleCommandsMax;
}

/** Between the chunks of a message only these make sense. RFC 3030 §2. */
const amongChunks: ReadonlySet<string> = new Set(["BDAT", "RSET", "QUIT", "NOOP", "EHLO", "HELO", "LHLO"]);

/** Why a command cannot be carried out here and now; null where it can. BDAT is judged when its chunk is over. */
export function findMisplacement(command: Command, state: SessionState, settings: ServerSettings): CommandError | null {
  const { transaction } = state;
  if ((transaction === "bdat" || transaction === "spoiled") && !amongChunks.has(command.verb)) {
    return outOfOrder(transaction === "bdat" ? "BDAT or RSET first" : "RSET first");
  }
  switch (command.verb) {
    case "EHLO":
    case "HELO":
      return settings.protocol === "lmtp" ? notHere("This is LMTP: LHLO first") : null; // RFC 2033 §4.1
    case "LHLO":
      return settings.protocol === "smtp" ? notHere("This is SMTP: EHLO first") : null;
    case "MAIL":
      if (!state.greeted) return outOfOrder(`${settings.protocol === "lmtp" ? "LHLO" : "EHLO"} first`);
      return transaction === "none" ? null : outOfOrder("There is a transaction already");
    case "RCPT":
      return transaction === "none" ? outOfOrder("MAIL first") : null;
    case "DATA":
      if (transaction === "none") return outOfOrder("MAIL first");
      if (transaction !== "rcpt") return outOfOrder("RCPT first");
      // Lines end at dots, and BINARYMIME has no lines. RFC 3030 §3.
      return state.binaryMime ? outOfOrder("BINARYMIME comes by BDAT") : null;
    case "STARTTLS":
      if (!settings.startTls) return { code: 502, status: "5.5.1", text: "STARTTLS is not offered" };
      return state.secure ? outOfOrder("TLS is there already") : null;
    case "AUTH":
      return findAuthMisplacement(command.mechanism, state, settings);
    case "XCLIENT":
    case "XFORWARD":
      if (!settings[command.verb === "XCLIENT" ? "xclient" : "xforward"]) {
        return { code: 550, status: "5.7.0", text: `${command.verb} is not for you` };
      }
      return transaction === "none" ? null : outOfOrder("Not within a transaction");
    default:
      return null;
  }
}

/** RFC 4954 §4. */
function findAuthMisplacement(mechanism: string, state: SessionState, settings: ServerSettings): CommandError | null {
  if (!state.greeted) return outOfOrder("EHLO first");
  if (state.authenticated) return outOfOrder("You are logged in already");
  if (state.transaction !== "none") return outOfOrder("Not within a transaction");
  const offered = settings.mechanisms();
  if (offered.includes(mechanism)) return null;
  if (offered.length > 0) return { code: 504, status: "5.5.4", text: "The mechanism is not offered" };
  return settings.startTls && !state.secure
    ? { code: 538, status: "5.7.11", text: "STARTTLS first" }
    : { code: 502, status: "5.5.1", text: "AUTH is not offered" };
}

function outOfOrder(text: string): CommandError {
  return { code: 503, status: "5.5.1", text };
}

function notHere(text: string): CommandError {
  return { code: 500, status: "5.5.1", text };
}
