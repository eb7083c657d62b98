/**
 * Our conversation with one peer: commands, and its replies as they count after sinks had their say at onServerResponse. Which command comes when is
 * the affair of smtp-opening.ts and smtp-transaction.ts.
 */
import type { AskName, EventName, SubjectOf } from "../events/event.ts";
import type { Verdict } from "../events/verdict.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { type ClientCommand, clientCommand } from "../smtp/client-command.ts";
import type { PeerReply } from "../smtp/reply-reader.ts";
import type { ReplyStage } from "./peer-reply.ts";
import { PeerFailure } from "./smtp-failure.ts";
import type { ConnectionLimits } from "./smtp-limits.ts";
import { type Passage, ServerResponse, type SessionFacts } from "./smtp-subjects.ts";
import type { SmtpWire } from "./smtp-wire.ts";

/** Whom to ask about our sessions: the dispatcher, as far as the client needs it. */
export interface OutboundEvents {
  ask<Name extends AskName>(event: Name, subject: SubjectOf<Name>): Verdict | Promise<Verdict>;
  bindingsOf(event: EventName): readonly unknown[];
}

/** What a sink says in the place of a peer, or about its reply. */
export interface Ruling {
  readonly kind: "failed" | "deferred";
  readonly status: string;
  readonly reason: string;
}

/** A reply as it counts. */
export interface Judged {
  readonly reply: PeerReply;
  /** The peer agreed, or a sink did in its place. */
  readonly ok: boolean;
  /** What a sink says it counts as; null leaves it to the reply. */
  readonly ruling: Ruling | null;
  /** What a sink wants to follow; null leaves it to the client. */
  readonly next: "reset" | "quit" | null;
}

/** What a verdict means for whoever waits; null where there is no objection. The status is for the report, the words are for the operator. */
export function rulingOf(verdict: Verdict): Ruling | null {
  if (verdict.kind === "refuse" || verdict.kind === "defer" || verdict.kind === "drop") {
    const kind = verdict.kind === "refuse" ? "failed" : "deferred";
    const reason = `${verdict.text}${verdict.by === undefined ? "" : ` (${verdict.by})`}`;
    return { kind, status: verdict.status, reason };
  }
  return null;
}

export class Conversation {
  readonly wire: SmtpWire;
  readonly facts: SessionFacts;
  readonly limits: ConnectionLimits;
  readonly #events: OutboundEvents;
  /** Whether sinks hear each reply. Settled before commands leave: what was pipelined is heard to its end, whoever is bound meanwhile. */
  stepwise = false;
  /** The transaction in hand. */
  passage: Passage | null = null;

  constructor(wire: SmtpWire, facts: SessionFacts, limits: ConnectionLimits, events: OutboundEvents) {
    this.wire = wire;
    this.facts = facts;
    this.limits = limits;
    this.#events = events;
    this.settleSteps();
  }

  /** Call it where no reply is owed. */
  settleSteps(): void {
    this.stepwise = this.watched("onServerResponse");
  }

  /** Whether a sink is bound: without one nothing is made for it. */
  watched(event: AskName): boolean {
    return this.#events.bindingsOf(event).length > 0;
  }

  ask<Name extends AskName>(event: Name, subject: SubjectOf<Name>): Verdict | Promise<Verdict> {
    return this.#events.ask(event, subject);
  }

  /** Sends one command and hears its reply. @throws {PeerFailure} */
  command(line: string | ClientCommand, stage: ReplyStage = "session"): Promise<Judged> {
    const command = typeof line === "string" ? clientCommand(line) : line;
    this.wire.send(command);
    return this.hear(this.limits.replyMsMax, command.verb, stage);
  }

  /**
   * Sends what sinks inserted, one command after the other: what we do not know is not pipelined. Resolves with the first reply of which a sink said that
   * it matters, else with null.
   */
  async insert(commands: readonly ClientCommand[], stage: ReplyStage = "session"): Promise<Judged | null> {
    for (const command of commands) {
      const judged = await this.command(command, stage);
      if (judged.ruling || judged.next) return judged;
    }
    return null;
  }

  /**
   * Hears the reply to the oldest command that has none. 421 ends the session, whatever it answers. RFC 5321 §3.8.
   * @throws {PeerFailure}
   */
  async hear(timeoutMs: number, what: string, stage: ReplyStage, forwardPath: Mailbox | null = null): Promise<Judged> {
    const answered = await this.wire.reply(timeoutMs, what === "_EOD" ? "the end of data" : what);
    const { reply } = answered;
    let judged: Judged = { reply, ok: reply.code < 400, ruling: null, next: null };
    if (this.stepwise) {
      const subject = new ServerResponse(this.facts, answered, { passage: this.passage, forwardPath });
      const verdict = await this.#events.ask("onServerResponse", subject);
      const ruling = rulingOf(verdict);
      judged = {
        reply,
        ok: (judged.ok || subject.accepted) && ruling === null,
        ruling,
        next: verdict.kind === "drop" ? "quit" : subject.next,
      };
      if (verdict.kind === "drop") this.wire.close(ruling!.reason);
    }
    if (reply.code === 421 && !judged.ok) {
      this.wire.close("it closed the session");
      throw new PeerFailure("it closed the session", { reply, stage });
    }
    return judged;
  }

  /** Says QUIT, and closes once it is answered. Never throws. */
  async quit(): Promise<void> {
    if (!this.wire.alive) return;
    try {
      this.wire.send(clientCommand("QUIT"));
      await this.hear(this.limits.quitMsMax, "QUIT", "session");
    } catch {
      // Closed by then, which is all that is left to do.
    }
    this.wire.close("quit");
  }
}
