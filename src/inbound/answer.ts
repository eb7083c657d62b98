/** What a client hears: the reply a verdict or a fault stands for. Generic words; which policy fired is for the log alone. */
import type { Verdict } from "../events/verdict.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";

/** A reply, and whether the connection ends with it. */
export interface Answer extends Reply {
  readonly close: boolean;
  /** Id of the binding whose verdict it is: for the log, never for the client. */
  readonly by?: string | undefined;
}

export const ok = (text: string, status: string): Answer => ({ code: 250, status, text, close: false });
export const no = (code: number, status: string, text: string, close = false): Answer => ({
  code,
  status,
  text,
  close,
});

/** The greeting: `text` are its words behind our name, "" for the usual ones. */
export const welcome = (text = ""): Answer => ({ code: 220, status: undefined, text, close: false });
export const goAhead: Answer = {
  code: 354,
  status: undefined,
  text: "Send the message, end with <CRLF>.<CRLF>",
  close: false,
};
export const temporary = no(451, "4.3.0", "Temporary problem, please try again later");
/** Said before the greeting. RFC 5321 §3.8. */
export const tooBusy = no(421, "4.3.2", "Too busy, please try again later", true);
export const noRoom = no(452, "4.3.1", "Not enough room, please try again later");
export const tooLarge = no(552, "5.3.4", "The message is too large");
export const noUtf8 = no(553, "5.6.7", "An address with characters beyond ASCII needs SMTPUTF8");

export function queued(messageId: string): Answer {
  return ok(`queued as ${messageId}`, "2.0.0");
}

/** The reply a verdict stands for; null where there is no objection. */
export function objection(verdict: Verdict): Answer | null {
  switch (verdict.kind) {
    case "refuse":
    case "defer":
    case "drop":
      return { ...no(verdict.code, verdict.status, verdict.text, verdict.kind === "drop"), by: verdict.by };
    default:
      return null;
  }
}

/** RFC 6531 §3.3. A domain is ASCII in our form, whatever the client wrote. */
export function needsUtf8(path: ReversePath): boolean {
  return path !== null && /[^\x00-\x7f]/.test(path.localPart);
}

export function syntaxAnswer(error: unknown, status: string, text: string): Answer {
  if (!(error instanceof Fault)) throw error;
  return error.code.endsWith("too-long") ? no(501, status, "The path is too long") : no(501, status, text);
}

export function spoolFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT"
    ? new Fault("spool.full", "Cannot keep the message: the disk is full", { cause: error })
    : new Fault("spool.failed", "Cannot keep the message", { cause: error });
}

/** What a client hears of a fault at end of data: generic words, RELIABILITY P1's codes. */
export function answerOf(error: unknown): Answer {
  switch (error instanceof Fault ? error.code : undefined) {
    case "message.too-large":
      return tooLarge;
    case "message.header-too-large":
      return no(552, "5.3.4", "The header of the message is too large");
    case "message.bare-line-end":
      return no(550, "5.6.0", "The message holds a bare CR or LF");
    case "message.nul":
      return no(550, "5.6.0", "The message holds a NUL");
    case "submission.malformed":
      return no(550, "5.6.0", "The message cannot be read");
    case "spool.full":
      return noRoom;
    default:
      return temporary;
  }
}
