/**
 * The dispatcher: takes an event to its bindings, in order, one after the other, and brings back one verdict.
 * An event with nothing bound costs a look-up. As long as sinks answer without a promise, so does the dispatcher.
 * What a failing sink did to a message, or said of its subject, is undone; then its binding's onFault decides.
 */
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { answerMsDefault, answerWithin } from "./answer-time.ts";
import { type Binding, type ListName, orderBindings, type Phase } from "./binding.ts";
import { Breaker, type BreakerLimits } from "./breaker.ts";
import type { AskName, EventName, SubjectOf, TellName } from "./event.ts";
import { checkVerdict } from "./event-table.ts";
import { type BindingHealth, freshHealth, type Health, isUsedUp, versionOf } from "./health.ts";
import { nothingDone, type Observation, type Skip, type SkipReason } from "./observation.ts";
import { onFaultVerdict } from "./on-fault.ts";
import type { RuleFacts } from "./rule.ts";
import { messageFacts, ruleFacts } from "./rule-facts.ts";
import type { ScriptOutcome, ScriptRunner, ScriptStep } from "./script-runner.ts";
import type { SinkContext } from "./sink.ts";
import { Standing } from "./undo.ts";
import { proceed, readVerdict, settle, type Verdict } from "./verdict.ts";

export interface DispatcherOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly scripts: ScriptRunner;
  readonly breaker?: BreakerLimits;
  /** Read anew for each answer: while it is undefined nothing is made for it. */
  readonly observe?: ((observation: Observation) => void) | undefined;
  /** Nothing of it is real: sinks are told, and remember nothing. */
  readonly rehearsal?: boolean;
  /** Told of each binding that is passed by; of those behind a verdict nothing is told. */
  readonly observeSkip?: (skip: Skip) => void;
}

/** The bindings of one moment. A message in hand keeps the set it began with; a replaced set is released when its last message is done. */
interface BindingSet {
  readonly lists: Partial<Record<ListName, readonly Binding[]>>;
  asksUnderWay: number;
  released: (() => void) | undefined;
}

const emptySet = (): BindingSet => ({ lists: {}, asksUnderWay: 0, released: undefined });

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #health = new Map<string, Health>();
  #set: BindingSet = emptySet();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /**
   * Puts these bindings in the place of all the former ones, at once. `onReleased` is called when no ask uses the former ones any more.
   * @throws {Fault} `binding.invalid`; then nothing changed
   */
  replaceBindings(bindings: readonly Binding[], onReleased?: () => void): void {
    const lists = orderBindings(bindings);
    const former = this.#set;
    this.#set = { lists, asksUnderWay: 0, released: undefined };
    const ids = new Set(bindings.map((binding) => binding.id));
    for (const id of this.#health.keys()) if (!ids.has(id)) this.#health.delete(id);
    for (const binding of bindings) {
      const health = this.#health.get(binding.id);
      if (!health) continue;
      // What a binding is handed may have changed with it.
      health.context = this.#contextOf(binding);
      // An edit is asked at once: what the version before it did is not held against it.
      if (health.version !== versionOf(binding)) {
        health.version = versionOf(binding);
        health.breaker = new Breaker(this.#options.clock, this.#options.breaker);
      }
    }
    if (former.asksUnderWay === 0) onReleased?.();
    else former.released = onReleased;
  }

  /** The bindings of an event, in the order they are asked; those of onArrival's phase `queue` are a list of their own. */
  bindingsOf(list: ListName): readonly Binding[] {
    return this.#set.lists[list] ?? [];
  }

  healthOf(bindingId: string): BindingHealth {
    const health = this.#health.get(bindingId);
    if (!health) return freshHealth;
    const { firings, faults, lastFault, lastFaultAt } = health;
    return { firings, faults, breaker: health.breaker.state, lastFault, lastFaultAt };
  }

  /** Asks the bindings of an event. Without a promise where no sink needed one. Never throws for what a sink does. */
  ask<Name extends AskName>(
    event: Name,
    subject: SubjectOf<Name>,
    phase: Phase = "session",
  ): Verdict | Promise<Verdict> {
    const set = this.#set;
    const bindings = set.lists[phase === "queue" ? "onArrival/queue" : event];
    if (bindings === undefined) return proceed;
    return this.#askFrom({ start: 0, settled: false }, event, subject, bindings, set);
  }

  /** Tells the bindings of an event; nobody waits, nothing can be changed. */
  tell<Name extends TellName>(event: Name, subject: SubjectOf<Name>): void {
    const bindings = this.#set.lists[event];
    if (bindings === undefined) return;
    for (const binding of bindings) {
      if (binding.target.kind !== "native") continue;
      const health = this.#healthFor(binding);
      if (!binding.enabled || isUsedUp(binding, health)) continue;
      try {
        if (binding.rule && !binding.rule.test(ruleFacts(event, subject))) continue;
        if (!health.breaker.admits()) continue;
        health.firings++;
        const told = binding.target.handler(subject, health.context);
        if (told instanceof Promise) {
          told.then(
            () => health.breaker.succeeded(),
            (error: unknown) => this.#noteFault(event, binding, health, error, subject),
          );
        } else health.breaker.succeeded();
      } catch (error) {
        this.#noteFault(event, binding, health, error, subject);
      }
    }
  }

  /** A sink failed at what it began at an event: noted like any fault, and its onFault answers. */
  failedLater<Name extends AskName>(event: Name, subject: SubjectOf<Name>, binding: Binding, error: unknown): Verdict {
    return this.#afterFault(event, subject, binding, this.#healthFor(binding), error);
  }

  /** Goes through the list from `start`. Once a sink settled, only the server's own handling is still asked: nobody settles his way past the relay control. */
  #askFrom<Name extends AskName>(
    { start, settled: settledBefore }: { readonly start: number; readonly settled: boolean },
    event: Name,
    subject: SubjectOf<Name>,
    bindings: readonly Binding[],
    set: BindingSet,
  ): Verdict | Promise<Verdict> {
    const message = messageOf(subject);
    let settled = settledBefore;
    for (let i = start; i < bindings.length; i++) {
      const binding = bindings[i]!;
      const { target } = binding;
      if (target.kind === "broken" || (settled && binding.source !== "server")) {
        this.#options.observeSkip?.({
          event,
          subject,
          binding,
          reason: target.kind === "broken" ? "broken" : "settled",
        });
        continue;
      }
      if (target.kind === "script") {
        if (message) return this.#held(set, this.#runScripts(i, event, subject, message, bindings, set));
        continue;
      }
      const health = this.#healthFor(binding);
      const reason =
        unasked(binding, health) ?? (binding.rule && !binding.rule.test(ruleFacts(event, subject)) ? "rule" : null);
      if (reason !== null) {
        this.#options.observeSkip?.({ event, subject, binding, reason });
        continue;
      }
      if (!health.breaker.admits()) {
        const verdict = this.#suspended(event, subject, binding);
        if (verdict.kind !== "proceed") return verdict;
        continue;
      }
      health.firings++;
      const standing = new Standing(subject, message, binding);
      let answer: unknown;
      try {
        answer = target.handler(subject, health.context);
      } catch (error) {
        standing.undo();
        const verdict = this.#afterFault(event, subject, binding, health, error);
        if (verdict.kind !== "proceed") return verdict;
        continue;
      }
      if (answer instanceof Promise) {
        const inTime = answerWithin(answer, binding.timeoutMs ?? answerMsDefault, this.#options.clock);
        const rest = inTime.then(
          (value) => this.#answered(event, subject, binding, health, value, standing),
          (error: unknown) => {
            standing.undo();
            return this.#afterFault(event, subject, binding, health, error);
          },
        );
        return this.#held(
          set,
          rest.then((verdict) =>
            verdict.kind === "proceed"
              ? this.#askFrom({ start: i + 1, settled: settled || verdict.settled }, event, subject, bindings, set)
              : verdict,
          ),
        );
      }
      const verdict = this.#answered(event, subject, binding, health, answer, standing);
      if (verdict.kind !== "proceed") return verdict;
      settled ||= verdict.settled;
    }
    return settled ? settle : proceed;
  }

  /** Runs the consecutive scripts from `start` in one hop, then goes on behind the last one that ran. */
  async #runScripts<Name extends AskName>(
    start: number,
    event: Name,
    subject: SubjectOf<Name>,
    message: Message,
    bindings: readonly Binding[],
    set: BindingSet,
  ): Promise<Verdict> {
    const steps: (ScriptStep & { readonly at: number })[] = [];
    const recipients = message.envelope.recipients.map((recipient) => recipient.mailbox);
    let facts: RuleFacts | undefined;
    let stopOnChange = false;
    let settled = false;
    let end = start;
    for (; end < bindings.length; end++) {
      const binding = bindings[end]!;
      const { rule, target } = binding;
      if (target.kind === "native") break;
      if (target.kind === "broken") {
        this.#options.observeSkip?.({ event, subject, binding, reason: "broken" });
        continue;
      }
      // Behind the first script the message may be another one: a rule that looks at what scripts edit is tested again then.
      if (steps.length > 0 && rule?.readsMessage) stopOnChange = true;
      if (rule) facts ??= messageFacts(message);
      const health = this.#healthFor(binding);
      const reason = unasked(binding, health) ?? (rule && !rule.test(facts!) ? "rule" : null);
      if (reason !== null) {
        this.#options.observeSkip?.({ event, subject, binding, reason });
        continue;
      }
      // A suspended script, or its probe, begins a hop of its own: a probe that is admitted is sure to run.
      if (steps.length > 0 && health.breaker.state !== "closed") break;
      if (!health.breaker.admits()) {
        const verdict = this.#suspended(event, subject, binding);
        if (verdict.kind !== "proceed") return verdict;
        continue;
      }
      const matched = rule ? rule.matchedRecipients(recipients) : recipients;
      steps.push({ at: end, binding, matchedRecipients: matched === recipients ? null : matched });
    }
    if (steps.length > 0) {
      const outcomes = await this.#options.scripts
        .run(event, message, steps, stopOnChange)
        .catch((error: unknown): ScriptOutcome[] => [
          { binding: steps[0]!.binding, verdict: proceed, fault: asFault(error) },
        ]);
      for (const { binding, verdict: given, fault, did = nothingDone } of outcomes) {
        const health = this.#healthFor(binding);
        health.firings++;
        const verdict = fault
          ? this.#afterFault(event, subject, binding, health, fault)
          : this.#answered(event, subject, binding, health, given, { undo: () => {}, did });
        if (verdict.kind !== "proceed") return verdict;
        settled ||= verdict.settled;
      }
      // It may have stopped early: what it did not run is asked anew, with the message as it is now.
      if (outcomes.length < steps.length || stopOnChange) end = steps[outcomes.length - 1]!.at + 1;
    }
    return this.#askFrom({ start: end, settled }, event, subject, bindings, set);
  }

  #answered<Name extends AskName>(
    event: Name,
    subject: SubjectOf<Name>,
    binding: Binding,
    health: Health,
    answer: unknown,
    standing: Pick<Standing, "undo" | "did">,
  ): Verdict {
    let verdict: Verdict;
    try {
      verdict = readVerdict(answer);
      checkVerdict(event, verdict);
    } catch (error) {
      standing.undo();
      return this.#afterFault(event, subject, binding, health, error);
    }
    health.breaker.succeeded();
    this.#options.observe?.({ event, subject, binding, verdict, fault: null, did: () => standing.did() });
    return by(binding, verdict);
  }

  #afterFault<Name extends AskName>(
    event: Name,
    subject: SubjectOf<Name>,
    binding: Binding,
    health: Health,
    error: unknown,
  ): Verdict {
    const fault = this.#noteFault(event, binding, health, error, subject);
    const verdict = onFaultVerdict(event, binding);
    this.#options.observe?.({ event, subject, binding, verdict, fault, did: nothingDone });
    return by(binding, verdict);
  }

  #noteFault(event: EventName, binding: Binding, health: Health, error: unknown, subject: object): Fault {
    const fault = asFault(error);
    health.faults++;
    health.lastFault = fault;
    health.lastFaultAt = this.#options.clock.now();
    this.#options.log.error(binding.target.kind === "script" ? "script.failed" : "sink.failed", {
      trigger: event,
      binding: binding.id,
      session: (subject as { readonly session?: { readonly id: string } }).session?.id,
      message: messageOf(subject)?.id,
      code: fault.code,
      reason: fault.message,
      ...fault.facts,
      ...(error instanceof Fault ? {} : { stack: error instanceof Error ? error.stack : undefined }),
    });
    if (health.version === versionOf(binding) && health.breaker.faulted()) {
      this.#options.log.warn("binding.suspended", {
        binding: binding.id,
        onFault: binding.onFault,
        forMs: Math.round(health.breaker.remainingMs),
      });
    }
    return fault;
  }

  /** A binding whose breaker is open is not asked: its onFault answers. */
  #suspended<Name extends AskName>(event: Name, subject: SubjectOf<Name>, binding: Binding): Verdict {
    const verdict = onFaultVerdict(event, binding);
    this.#options.observe?.({
      event,
      subject,
      binding,
      verdict,
      fault: new Fault("script.suspended", `${binding.name} is suspended after too many faults`),
      did: nothingDone,
    });
    return by(binding, verdict);
  }

  #healthFor(binding: Binding): Health {
    let health = this.#health.get(binding.id);
    if (!health) {
      health = {
        firings: 0,
        faults: 0,
        lastFault: null,
        lastFaultAt: 0,
        breaker: new Breaker(this.#options.clock, this.#options.breaker),
        version: versionOf(binding),
        context: this.#contextOf(binding),
      };
      this.#health.set(binding.id, health);
    }
    return health;
  }

  #contextOf(binding: Binding): SinkContext {
    return {
      log: this.#options.log.with({ binding: binding.id }),
      bindingId: binding.id,
      properties: binding.properties,
      rehearsal: this.#options.rehearsal ?? false,
    };
  }

  /** Counts an ask that has to wait, so that the set it uses is not released under it. */
  #held(set: BindingSet, verdict: Promise<Verdict>): Promise<Verdict> {
    set.asksUnderWay++;
    return verdict.finally(() => {
      set.asksUnderWay--;
      if (set.asksUnderWay === 0 && set.released) {
        const { released } = set;
        set.released = undefined;
        released();
      }
    });
  }
}

function unasked(binding: Binding, health: Health): SkipReason | null {
  return !binding.enabled ? "disabled" : isUsedUp(binding, health) ? "used-up" : null;
}

function messageOf(subject: object): Message | undefined {
  return (subject as { readonly message?: Message | null }).message ?? undefined;
}

function asFault(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault("sink.failed", describeThrown(error), { cause: error });
}

function by(binding: Binding, verdict: Verdict): Verdict {
  return verdict.kind === "proceed" ? verdict : { ...verdict, by: binding.id };
}
