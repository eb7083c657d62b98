/** One connection to a next hop: opened, used for transactions one after the other, and ended. The events of the session fire here and below. */
import { type PeerLimits, readLimits } from "../smtp/client-extensions.ts";
import type { Conversation } from "./smtp-conversation.ts";
import { type ConnectionSettings, openConversation } from "./smtp-opening.ts";
import { SessionEnd } from "./smtp-subjects.ts";
import { type TransactionResult, type TransactionWork, transact } from "./smtp-transaction.ts";

export class PeerConnection {
  readonly #talk: Conversation;
  readonly #limits: PeerLimits;
  #transactions = 0;
  /** Called once when the connection is over. */
  onEnd: () => void = () => {};

  private constructor(talk: Conversation) {
    this.#talk = talk;
    this.#limits = readLimits(talk.wire.extensions);
    talk.wire.onEnd = () => this.onEnd();
  }

  /** Connects, encrypts and logs in as the settings and onSessionStart have it. @throws {PeerFailure} */
  static async open(settings: ConnectionSettings): Promise<PeerConnection> {
    return new PeerConnection(await openConversation(settings));
  }

  get alive(): boolean {
    return this.#talk.wire.alive;
  }

  get transactions(): number {
    return this.#transactions;
  }

  /** Whether the peer takes no further transaction in this session. RFC 9422 §5.1. */
  get spent(): boolean {
    return this.#transactions >= this.#limits.transactionsMax;
  }

  /** What the peer says it takes at most. */
  get limits(): PeerLimits {
    return this.#limits;
  }

  /** Whether the peer announced an extension, by its keyword in upper case. */
  supports(keyword: string): boolean {
    return this.#talk.wire.extensions.has(keyword);
  }

  /** Whether there is TLS, and the certificate proves the host's name. */
  get verified(): boolean {
    return this.#talk.facts.tls?.certificate?.verified === true;
  }

  /** One transaction. Never throws: what went wrong is in the result. The connection is closed where it cannot be used again. */
  send(work: TransactionWork): Promise<TransactionResult> {
    this.#transactions += 1;
    return transact(this.#talk, work);
  }

  /** Asks onSessionEnd and says QUIT. Resolves with true where a sink wants the connection kept, and `mayKeep` said at that moment that it may be. */
  async finish(mayKeep: () => boolean): Promise<boolean> {
    const talk = this.#talk;
    talk.settleSteps();
    if (talk.wire.alive && talk.watched("onSessionEnd")) {
      const subject = new SessionEnd(talk.facts);
      await talk.ask("onSessionEnd", subject);
      subject.finish();
      try {
        const objection = await talk.insert(subject.inserted);
        if (subject.kept && !objection && talk.wire.alive && mayKeep()) return true;
      } catch {
        // It went while it was talked to; there is nothing to keep.
      }
    }
    await talk.quit();
    return false;
  }

  close(reason = "closed"): void {
    this.#talk.wire.close(reason);
  }
}
