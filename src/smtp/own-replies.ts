/** What a server session says by itself. RFC 5321 §4.2, RFC 3463. */
import type { Reply } from "../mail/status.ts";

export const ownReplies = {
  reset: { code: 250, status: "2.0.0", text: "Reset" },
  noop: { code: 250, status: "2.0.0", text: "Nothing done" },
  help: { code: 214, status: "2.0.0", text: "See RFC 5321" },
  // RFC 5321 §7.3: who is here is nobody's business.
  verify: { code: 252, status: "2.1.5", text: "Send mail, and it will be tried" },
  expand: { code: 502, status: "5.5.1", text: "EXPN is not there" },
  quit: { code: 221, status: "2.0.0", text: "Bye" },
  startTls: { code: 220, status: "2.0.0", text: "Go ahead" },
  eachRecipient: { code: 353, status: undefined, text: "A reply for each recipient follows" },
  notMail: { code: 421, status: "4.7.0", text: "This is a mail server" },
  endless: { code: 421, status: "4.5.0", text: "The line has no end" },
  overlong: { code: 500, status: "5.5.2", text: "The line is too long" },
  early: { code: 503, status: "5.5.0", text: "Wait for 354 before you send mail data" },
  noTransaction: { code: 503, status: "5.5.1", text: "MAIL and RCPT first" },
  spoiled: { code: 503, status: "5.5.1", text: "A chunk was refused: RSET first" },
  tooMany: {
    error: { code: 421, status: "4.7.0", text: "Too many errors" },
    idle: { code: 421, status: "4.7.0", text: "Too many commands that lead nowhere" },
  },
} as const satisfies Record<string, Reply | Record<string, Reply>>;
