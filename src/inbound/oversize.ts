/** A message larger than is taken: asks whether this one may be, once, and only where somebody is bound. RFC 1870 §6. */
import type { Dispatcher } from "../events/dispatcher.ts";
import type { OversizeSubject } from "../events/subject-transport.ts";
import { Revocable } from "../events/undo.ts";
import { Fault } from "../platform/fault.ts";
import { type Answer, objection, tooLarge } from "./answer.ts";
import type { Room } from "./disk-space.ts";
import { type Eventual, whenHere } from "./eventual.ts";
import type { AskOversize } from "./mail-data.ts";
import type { InboundSession, InboundTransaction } from "./session.ts";

type OversizeFacts = Pick<OversizeSubject, "sizeOctets" | "announced" | "sizeOctetsMax"> & {
  readonly transaction: InboundTransaction | null;
};

class OversizeDecision extends Revocable implements OversizeSubject {
  readonly session: InboundSession;
  readonly transaction: InboundTransaction | null;
  readonly sizeOctets: number;
  readonly announced: boolean;
  readonly sizeOctetsMax: number;
  allowed: number;

  constructor(session: InboundSession, facts: OversizeFacts) {
    super();
    this.session = session;
    this.transaction = facts.transaction;
    this.sizeOctets = facts.sizeOctets;
    this.announced = facts.announced;
    this.sizeOctetsMax = facts.sizeOctetsMax;
    this.allowed = facts.sizeOctetsMax;
  }

  readonly allow = (sizeOctetsMax: number): void => {
    if (!Number.isSafeInteger(sizeOctetsMax) || sizeOctetsMax < 1) {
      throw new Fault(
        "size.invalid",
        `Cannot allow a message ${String(sizeOctetsMax)} octets: expected a whole number from 1`,
      );
    }
    this.allowed = sizeOctetsMax;
    this.note(`allow ${sizeOctetsMax} octets`);
  };
}

/** The size a listener takes, and the room there is for it. */
export class SizePolicy {
  readonly #dispatcher: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly #sizeOctetsMax: number;
  readonly #room: Room | undefined;

  constructor(options: {
    readonly dispatcher: Pick<Dispatcher, "ask" | "bindingsOf">;
    readonly sizeOctetsMax: number;
    readonly room: Room | undefined;
  }) {
    this.#dispatcher = options.dispatcher;
    this.#sizeOctetsMax = options.sizeOctetsMax;
    this.#room = options.room;
  }

  /** At MAIL: the octets this message may have where somebody allowed more than usual, else null; or a refusal. RFC 1870 §6.1. */
  atMail(session: InboundSession, sizeOctets = 0): Eventual<number | Answer | null> {
    const noRoom = this.#room?.refusal(sizeOctets) ?? null;
    if (noRoom || sizeOctets <= this.#sizeOctetsMax) return noRoom;
    const facts = { sizeOctets, sizeOctetsMax: this.#sizeOctetsMax, announced: true, transaction: null };
    return askOversize(this.#dispatcher, session, facts);
  }

  /** Whom to ask where more comes than is taken; null where nobody is bound, or was asked already. RFC 1870 §6.2. */
  dataAsk(session: InboundSession, transaction: InboundTransaction | null): AskOversize | null {
    const sizeOctetsMax = this.#sizeOctetsMax;
    const wasAsked = transaction !== null && transaction.sizeOctetsMax !== null;
    if (wasAsked || this.#dispatcher.bindingsOf("onOversize").length === 0) return null;
    return (sizeOctets) =>
      askOversize(this.#dispatcher, session, { sizeOctets, sizeOctetsMax, announced: false, transaction });
  }
}

/** The octets this message may have, or the reply it is refused with. */
function askOversize(
  dispatcher: Pick<Dispatcher, "ask" | "bindingsOf">,
  session: InboundSession,
  facts: OversizeFacts,
): Eventual<number | Answer> {
  if (dispatcher.bindingsOf("onOversize").length === 0) return tooLarge;
  const decision = new OversizeDecision(session, facts);
  return whenHere(dispatcher.ask("onOversize", decision), (verdict) => {
    const refusal = objection(verdict);
    if (refusal) return refusal;
    return decision.allowed < facts.sizeOctets ? tooLarge : decision.allowed;
  });
}
