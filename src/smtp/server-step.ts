/** What a server session hands out to be done, one step at a time. Each says which call of the session ends it. */
import type { MailOptions, RecipientOptions } from "../mail/envelope.ts";
import type { Reply } from "../mail/status.ts";
import type { Parameters } from "./command.ts";

export type ServerStep =
  /** A line is here; nothing was done for it. Only where `watchesCommands`. End it with `goOn`, `consume` or `capture`. */
  | { readonly kind: "command"; readonly verb: string; readonly argument: string; readonly line: string }
  /** The line a `capture` waited for. End it with `consume` or `capture`. */
  | { readonly kind: "captured"; readonly line: string }
  /**
   * A reply is about to be written. Only where `watchesReplies`. End it with `say`; what the code then says holds for the session too.
   * The verb is "" for the greeting, `_EOD` at the end of data (PRDR's 353 among them).
   */
  | { readonly kind: "reply"; readonly verb: string; readonly reply: Reply }
  /** HELO, EHLO or LHLO. End it with `welcome`, or `answer` with a refusal. `reset` follows where that ends a transaction. RFC 5321 §4.1.4. */
  | {
      readonly kind: "helo";
      readonly verb: "HELO" | "EHLO" | "LHLO";
      readonly name: string;
      /** What EHLO would be answered with; empty for HELO. */
      readonly keywords: readonly string[];
    }
  /** End it with `answer`. */
  | { readonly kind: "mail"; readonly path: string; readonly parameters: Parameters; readonly options: MailOptions }
  /** End it with `answer`. */
  | {
      readonly kind: "rcpt";
      readonly path: string;
      readonly parameters: Parameters;
      readonly options: RecipientOptions;
    }
  /** DATA, or the first BDAT: `answer` 354 and mail data follows, or refuse. After BDAT 354 is not said; a refusal is, when the chunk is over. */
  | { readonly kind: "data"; readonly by: "DATA" | "BDAT" }
  /** Octets of the message. End it with `goOn` when more may come. */
  | { readonly kind: "octets"; readonly octets: Buffer }
  /** The message is here. End it with `answer`, or with `answerEach` where `perRecipient`. */
  | { readonly kind: "end-of-data"; readonly perRecipient: boolean }
  /** A password is here. End it with `answer`: 235 lets the user in. RFC 4954. */
  | { readonly kind: "auth"; readonly mechanism: string; readonly user: string; readonly secret: string }
  /** A SCRAM exchange has told its user. End it with `challenge`, or `answer` with a refusal. RFC 5802. */
  | { readonly kind: "scram"; readonly mechanism: string; readonly user: string }
  /** The SCRAM proof held. End it with `answer`: 235 lets the user in. */
  | { readonly kind: "proved"; readonly mechanism: string; readonly user: string }
  /** Names to values, checked; a value the peer does not know is null. End it with `answer`: 220 begins the session anew. https://www.postfix.org/XCLIENT_README.html */
  | { readonly kind: "xclient"; readonly attributes: ReadonlyMap<string, string | null> }
  /** The same; end it with `answer` 250. https://www.postfix.org/XFORWARD_README.html */
  | { readonly kind: "xforward"; readonly attributes: ReadonlyMap<string, string | null> }
  /** 220 was said: write it, shake hands, then call `secured`. RFC 3207. */
  | { readonly kind: "starttls" }
  /** The transaction is over without a message; comes before the reply to RSET, behind 250 of EHLO and 220 of STARTTLS. End it with `goOn`. */
  | { readonly kind: "reset"; readonly by: "RSET" | "HELO" | "STARTTLS" }
  /** Nothing follows. */
  | { readonly kind: "close"; readonly reason: "quit" | "errors" | "pipelining" };
