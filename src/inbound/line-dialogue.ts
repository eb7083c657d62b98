/** What sinks do with single lines of a client's: onCommand, and the lines a sink asked for. What they may say is checked here; events/dialogue.ts has the rules. */
import type { CapturedLine, Dialogue, LineTaker } from "../events/dialogue.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import type { CommandSubject } from "../events/subject.ts";
import { readVerdict, type Verdict } from "../events/verdict.ts";
import type { Reply } from "../mail/status.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type Answer, objection, temporary } from "./answer.ts";
import type { Eventual } from "./eventual.ts";
import { whenHere } from "./eventual.ts";
import { checkMayAnswer, checkReply } from "./reply-check.ts";
import type { InboundSession } from "./session.ts";

/** What becomes of a line: null where the server itself has to see to it. */
export type LineOutcome = {
  readonly answer: Answer;
  /** The dialogue goes on: the next line is for `take`, and a continuation of the same verb. */
  readonly take: LineTaker | null;
  readonly verb: string;
  /** Who is logged in once the answer is said, where it is positive; null where nobody is. */
  readonly user: string | null;
} | null;

/** A line in a sink's hands. */
class HeldLine implements Dialogue {
  readonly session: InboundSession;
  readonly verb: string;
  #user: string | null = null;
  #said: { readonly reply: Reply; readonly take: LineTaker | null } | null = null;

  constructor(session: InboundSession, verb: string) {
    this.session = session;
    this.verb = verb;
  }

  readonly consume = (reply: Reply): void => this.#say(reply, null);

  readonly capture = (reply: Reply, take: LineTaker): void => this.#say(reply, take);

  readonly acceptAs = (user: string): void => {
    this.#user = user;
  };

  /** What the sinks made of the line, now that they are through. A verdict against it stands above what was said before. */
  outcome(verdict: Verdict): LineOutcome {
    const refusal = objection(verdict);
    if (refusal) return { answer: refusal, take: null, verb: this.verb, user: null };
    if (this.#said === null) return null;
    const { reply, take } = this.#said;
    const close = reply.code === 421;
    return { answer: { ...reply, close }, take: close ? null : take, verb: this.verb, user: this.#user };
  }

  #say(reply: Reply, take: LineTaker | null): void {
    checkReply(reply);
    checkMayAnswer(this.verb, reply, this.#user !== null);
    this.#said = { reply: { code: reply.code, status: reply.status, text: reply.text }, take };
  }
}

class HeldCommand extends HeldLine implements CommandSubject {
  readonly argument: string;
  readonly line: string;
  readonly transaction: CommandSubject["transaction"];

  constructor(session: InboundSession, facts: Pick<CommandSubject, "verb" | "argument" | "line">) {
    super(session, facts.verb);
    this.argument = facts.argument;
    this.line = facts.line;
    this.transaction = session.transaction;
  }
}

class HeldCapturedLine extends HeldLine implements CapturedLine {
  readonly line: string;

  constructor(session: InboundSession, verb: string, line: string) {
    super(session, verb);
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

/** Hands a line to the sink that asked for it. Where that fails the client is told to try again. */
export function handLine(
  { dispatcher, log }: { readonly dispatcher: Dispatcher; readonly log: Log },
  session: InboundSession,
  { take, verb, line }: { readonly take: LineTaker; readonly verb: string; readonly line: string },
): Eventual<LineOutcome> {
  const held = new HeldCapturedLine(session, verb, line);
  const failed = (error: unknown): LineOutcome => {
    log.error("sink.failed", {
      trigger: "onCommand",
      session: session.id,
      verb,
      // Which of them it was is not known here: the line goes to a function, not to a binding.
      bindings: dispatcher.bindingsOf("onCommand").map(({ id }) => id),
      code: error instanceof Fault ? error.code : "sink.failed",
      reason: describeThrown(error),
      ...(error instanceof Fault ? {} : { stack: error instanceof Error ? error.stack : undefined }),
    });
    return { answer: temporary, take: null, verb, user: null };
  };
  const taken = (given: unknown): LineOutcome =>
    held.outcome(readVerdict(given)) ??
    failed(new Fault("reply.invalid", "The sink took a line and gave no reply to it"));
  try {
    const given = take(held);
    return given instanceof Promise ? given.then(taken).catch(failed) : taken(given);
  } catch (error) {
    return failed(error);
  }
}
