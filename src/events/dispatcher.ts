/**
 * The dispatcher: takes an event to its bindings, in order, one after the other, and brings back one verdict.
 * An event with nothing bound costs a look-up. As long as sinks answer without a promise, so does the dispatcher.
 * What a failing sink did to a message, or said of its subject, is undone; then its binding's onFault decides.
 */
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { Accounts, messageOf, unasked } from "./accounts.ts";
import { answerMsDefault, answerWithin } from "./answer-time.ts";
import { type Binding, type ListName, orderBindings, type Phase } from "./binding.ts";
import type { BreakerLimits } from "./breaker.ts";
import type { AskName, SubjectOf, TellName } from "./event.ts";
import { type BindingHealth, isUsedUp } from "./health.ts";
import type { Observation, Skip } from "./observation.ts";
import { ruleFacts } from "./rule-facts.ts";
import { askScripts, tellScripts } from "./script-hop.ts";
import type { ScriptRunner } from "./script-runner.ts";
import { TellQueue } from "./tell-queue.ts";
import { Standing } from "./undo.ts";
import { proceed, settle, type Verdict } from "./verdict.ts";

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
  readonly #accounts: Accounts;
  readonly #tells: TellQueue;
  #set: BindingSet = emptySet();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#accounts = new Accounts(options);
    this.#tells = new TellQueue(options);
  }

  /**
   * Puts these bindings in the place of all the former ones, at once. `onReleased` is called when no ask uses the former ones any more.
   * @throws {Fault} `binding.invalid`; then nothing changed
   */
  replaceBindings(bindings: readonly Binding[], onReleased?: () => void): void {
    const lists = orderBindings(bindings);
    const former = this.#set;
    this.#set = { lists, asksUnderWay: 0, released: undefined };
    this.#accounts.replace(bindings);
    if (former.asksUnderWay === 0) onReleased?.();
    else former.released = onReleased;
  }

  /** The bindings of an event, in the order they are asked; those of onArrival's phase `queue` are a list of their own. */
  bindingsOf(list: ListName): readonly Binding[] {
    return this.#set.lists[list] ?? [];
  }

  healthOf(bindingId: string): BindingHealth {
    return this.#accounts.show(bindingId);
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

  /** Tells the bindings of an event; nobody waits, nothing can be changed. Native sinks are told at once, scripts in their turn (tell-queue.ts). */
  tell<Name extends TellName>(event: Name, subject: SubjectOf<Name>): void {
    const set = this.#set;
    const bindings = set.lists[event];
    if (bindings === undefined) return;
    let scripts: Binding[] | undefined;
    for (const binding of bindings) {
      const { target } = binding;
      if (target.kind === "script") (scripts ??= []).push(binding);
      if (target.kind !== "native") continue;
      const health = this.#accounts.of(binding);
      if (!binding.enabled || isUsedUp(binding, health)) continue;
      try {
        if (binding.rule && !binding.rule.test(ruleFacts(event, subject))) continue;
        if (!health.breaker.admits()) continue;
        health.firings++;
        const told = target.handler(subject, health.context);
        if (told instanceof Promise) {
          told.then(
            () => health.breaker.succeeded(),
            (error: unknown) => this.#accounts.note(event, subject, binding, error),
          );
        } else health.breaker.succeeded();
      } catch (error) {
        this.#accounts.note(event, subject, binding, error);
      }
    }
    const run = scripts && tellScripts(this.#hopParts, event, subject, scripts);
    if (!run) return;
    set.asksUnderWay++;
    this.#tells.add({ run, over: () => this.#letGo(set) });
  }

  /** Resolves when every script has been told what there was to tell. */
  async whenTold(): Promise<void> {
    await this.#tells.whenIdle();
  }

  /** A sink failed at what it began at an event: noted like any fault, and its onFault answers. */
  failedLater<Name extends AskName>(event: Name, subject: SubjectOf<Name>, binding: Binding, error: unknown): Verdict {
    return this.#accounts.faulted(event, subject, binding, error);
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
      if (target.kind === "script")
        return this.#held(set, this.#askScripts({ start: i, settled }, event, subject, bindings, set));
      const health = this.#accounts.of(binding);
      const reason =
        unasked(binding, health) ?? (binding.rule && !binding.rule.test(ruleFacts(event, subject)) ? "rule" : null);
      if (reason !== null) {
        this.#options.observeSkip?.({ event, subject, binding, reason });
        continue;
      }
      if (!health.breaker.admits()) {
        const verdict = this.#accounts.suspended(event, subject, binding);
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
        const verdict = this.#accounts.faulted(event, subject, binding, error);
        if (verdict.kind !== "proceed") return verdict;
        continue;
      }
      if (answer instanceof Promise) {
        const inTime = answerWithin(answer, binding.timeoutMs ?? answerMsDefault, this.#options.clock);
        const rest = inTime.then(
          (value) => this.#accounts.answered(event, subject, binding, health, value, standing),
          (error: unknown) => {
            standing.undo();
            return this.#accounts.faulted(event, subject, binding, error);
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
      const verdict = this.#accounts.answered(event, subject, binding, health, answer, standing);
      if (verdict.kind !== "proceed") return verdict;
      settled ||= verdict.settled;
    }
    return settled ? settle : proceed;
  }

  /** Asks the scripts that stand together from `start` on, then the list behind them. */
  async #askScripts<Name extends AskName>(
    { start, settled }: { readonly start: number; readonly settled: boolean },
    event: Name,
    subject: SubjectOf<Name>,
    bindings: readonly Binding[],
    set: BindingSet,
  ): Promise<Verdict> {
    const end = await askScripts(this.#hopParts, event, subject, { bindings, start });
    if (end.verdict) return end.verdict;
    return this.#askFrom({ start: end.next, settled: settled || end.settled }, event, subject, bindings, set);
  }

  get #hopParts() {
    const { scripts, observeSkip } = this.#options;
    return { accounts: this.#accounts, scripts, observeSkip };
  }

  /** Counts an ask that has to wait, so that the set it uses is not released under it. */
  #held(set: BindingSet, verdict: Promise<Verdict>): Promise<Verdict> {
    set.asksUnderWay++;
    return verdict.finally(() => this.#letGo(set));
  }

  #letGo(set: BindingSet): void {
    set.asksUnderWay--;
    if (set.asksUnderWay > 0 || !set.released) return;
    const { released } = set;
    set.released = undefined;
    released();
  }
}
