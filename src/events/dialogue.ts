/** What a sink may do with a client's line: answer it itself, or take the next one too. The listener keeps the promises made here. */
import type { Reply } from "../mail/status.ts";
import type { Verdict } from "./verdict.ts";

/**
 * Verbs whose positive replies only the server itself may give, because a transaction, the session or custody hangs on them: a sink may
 * answer them 4yz or 5yz and nothing else.
 */
export const statefulVerbs: ReadonlySet<string> = new Set([
  "HELO",
  "EHLO",
  "LHLO",
  "MAIL",
  "RCPT",
  "DATA",
  "BDAT",
  "_EOD",
  "RSET",
  "QUIT",
  "STARTTLS",
  "XCLIENT",
]);

/** One line of a client's, to be answered. Only the last call of `consume` or `capture` counts. */
export interface Dialogue {
  /**
   * Answers in the place of the server, which does nothing for the line.
   * @throws {Fault} `reply.invalid` for what is no reply; `reply.custody` for a positive reply that only the server may give
   */
  consume(reply: Reply): void;
  /**
   * Says `reply`, 334 as a rule, and hands the client's next line to `take`, whatever it is.
   * @throws {Fault} `reply.invalid`, `reply.custody`
   */
  capture(reply: Reply, take: LineTaker): void;
  /** The session goes on as this user: a SASL exchange of the sink's own succeeded. RFC 4954. */
  acceptAs(user: string): void;
}

/** Takes a captured line. What it throws, and a verdict, end the dialogue as they do at onCommand. */
export type LineTaker = (line: CapturedLine) => Verdict | undefined | void | Promise<Verdict | undefined | void>;

export interface CapturedLine extends Dialogue {
  /** Without its CRLF; may hold a secret: never log it. */
  readonly line: string;
}
