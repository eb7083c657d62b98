/** What sinks do with single lines of a client's: onCommand, and the lines a sink asked for. What they may say is checked here; events/dialogue.ts has the rules. */

import type { Binding } from "../events/binding.ts";
import type { CapturedLine, Dialogue, LineTaker } from "../events/dialogue.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import type { CommandSubject } from "../events/subject.ts";
import { Revocable, remember } from "../events/undo.ts";
import { readVerdict, type Verdict } from "../events/verdict.ts";
import { formatReply, type Reply } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";
import { type Answer, objection, temporary } from "./answer.ts";
import type { Eventual } from "./eventual.ts";
import { whenHere } from "./eventual.ts";
import { checkMayAnswer, checkReply } from "./reply-check.ts";
import type { InboundSession } from "./session.ts";

/** Whose the client's next line is: a continuation of the same verb. */
export interface Capture {
  readonly take: LineTaker;
  readonly verb: string;
  /** Who asked for it; what its taker fails at is its fault. */
  readonly binding: Binding;
}

/** What becomes of a line: null where the server itself has to see to it. */
export type LineOutcome = {
  readonly answer: Answer;
  /** The dialogue goes on with the next line. */
  readonly capture: Capture | null;
  /** Who is logged in once the answer is said, where it is positive; null where nobody is. */
  readonly user: string | null;
} | null;

/** A line in a sink's hands. */
class HeldLine extends Revocable implements Dialogue {
  readonly session: InboundSession;
  readonly verb: string;
  /** Who is asked now. */
  asked: Binding | null;
  user: string | null = null;
  given: { readonly reply: Reply; readonly take: LineTaker | null; readonly by: Binding | null } | null = null;

  constructor(session: InboundSession, verb: string, asked: Binding | null) {
    super();
    this.session = session;
    this.verb = verb;
    this.asked = asked;
  }

  override [remember](binding: Binding): () => void {
    this.asked = binding;
    return super[remember](binding);
  }

  readonly consume = (reply: Reply): void => this.#say(reply, null);

  readonly capture = (reply: Reply, take: LineTaker): void => this.#say(reply, take);

  readonly acceptAs = (user: string): void => {
    this.user = user;
    this.note(`accept as ${user}`);
  };

  /** What the sinks made of the line, now that they are through. A verdict against it stands above what was said before. */
  outcome(verdict: Verdict): LineOutcome {
    const refusal = objection(verdict);
    if (refusal) return { answer: refusal, capture: null, user: null };
    if (this.given === null) return null;
    const { reply, take, by } = this.given;
    const close = reply.code === 421;
    const goesOn = take !== null && by !== null && !close;
    return {
      answer: { ...reply, close },
      capture: goesOn ? { take, verb: this.verb, binding: by } : null,
      user: this.user,
    };
  }

  #say(reply: Reply, take: LineTaker | null): void {
    checkReply(reply);
    checkMayAnswer(this.verb, reply, this.user !== null);
    this.given = { reply: { code: reply.code, status: reply.status, text: reply.text }, take, by: this.asked };
    this.note(`${take === null ? "consume" : "capture"} ${formatReply(reply)}`);
  }
}

class HeldCommand extends HeldLine implements CommandSubject {
  readonly argument: string;
  readonly line: string;
  readonly transaction: CommandSubject["transaction"];

  constructor(session: InboundSession, facts: Pick<CommandSubject, "verb" | "argument" | "line">) {
    super(session, facts.verb, null);
    this.argument = facts.argument;
    this.line = facts.line;
    this.transaction = session.transaction;
  }
}

class HeldCapturedLine extends HeldLine implements CapturedLine {
  readonly line: string;

  constructor(session: InboundSession, { verb, binding }: Capture, line: string) {
    super(session, verb, binding);
    this.line = line;
  }
}

/** Asks onCommand of a command. */
export function askCommand(
  dispatcher: Dispatcher,
  session: InboundSession,
  command: Pick<CommandSubject, "verb" | "argument" | "line">,
): Eventual<LineOutcome> {
  const held = new HeldCommand(session, command);
  return whenHere(dispatcher.ask("onCommand", held), (verdict) => held.outcome(verdict));
}

/** Hands a line to the sink that asked for it. Where that fails its binding's onFault answers; the client is owed a reply, so `proceed` is "try again". */
export function handLine(
  dispatcher: Dispatcher,
  session: InboundSession,
  capture: Capture & { readonly line: string },
): Eventual<LineOutcome> {
  const held = new HeldCapturedLine(session, capture, capture.line);
  const failed = (error: unknown): LineOutcome => {
    const { verb, line } = capture;
    const subject = new HeldCommand(session, { verb, argument: "", line });
    const verdict = dispatcher.failedLater("onCommand", subject, capture.binding, error);
    return { answer: objection(verdict) ?? temporary, capture: null, user: null };
  };
  const taken = (given: unknown): LineOutcome => {
    const outcome = held.outcome(readVerdict(given));
    return outcome ?? failed(new Fault("reply.invalid", "The sink took a line and gave no reply to it"));
  };
  try {
    const given = capture.take(held);
    return given instanceof Promise ? given.then(taken).catch(failed) : taken(given);
  } catch (error) {
    return failed(error);
  }
}
