/** Replies of servers we talk to, told apart into what holds for good and what may be tried again. RFC 5321 §4.2.1. Pure. */
import type { Reply } from "../mail/status.ts";

/** At which command a reply came; what is before MAIL is about us and not about the message. */
export type ReplyStage = "session" | "mail" | "rcpt" | "data";

/**
 * Whether the same message would get the same answer again. (lenient: what says "not you, not now, not this order" is tried again though it is 5yz,
 * because the message is not at fault and the operator may mend it.)
 */
export function isPermanent(reply: Reply, stage: ReplyStage): boolean {
  if (reply.code < 500 || stage === "session") return false;
  // Bad sequence: the session went wrong, not the message.
  if (reply.code === 503) return false;
  // Our credentials or our TLS are asked for: RFC 4954 §6, RFC 3207 §4.
  if (reply.code === 530 || reply.code === 534 || reply.code === 535 || reply.code === 538) return false;
  // Too many recipients, said in the old way: RFC 5321 §4.5.3.1.10.
  return !(stage === "rcpt" && reply.code === 552 && (reply.status === undefined || reply.status === "5.5.3"));
}
