/** How talking to a next hop goes wrong. */
import type { Reply } from "../mail/status.ts";
import type { ReplyStage } from "./peer-reply.ts";

/** A transaction or session that did not go through. */
export class PeerFailure extends Error {
  /** The peer's last word, or undefined where it said nothing. */
  readonly reply: Reply | undefined;
  readonly stage: ReplyStage;
  /**
   * `tls`: the handshake failed. `violation`: the peer broke the protocol, so that nothing it said in this transaction counts. `own`: we, or a sink, did
   * not want to; it says nothing of the peer.
   */
  readonly kind: "lost" | "tls" | "violation" | "own";
  /** Enhanced status code where the peer gave none. RFC 3463 §3.5, §3.8. */
  readonly status: string | undefined;

  constructor(
    message: string,
    facts: {
      readonly reply?: Reply | undefined;
      readonly stage?: ReplyStage;
      readonly kind?: PeerFailure["kind"];
      readonly status?: string | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "PeerFailure";
    this.reply = facts.reply;
    this.stage = facts.stage ?? "session";
    this.kind = facts.kind ?? "lost";
    this.status = facts.status;
  }
}
