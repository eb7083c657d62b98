/**
 * The accounts of bindings: how each is doing, and what an answer or a fault of it means. One for each binding that was asked; a binding that faults too often is
 * not asked for a while (breaker.ts).
 */
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Binding } from "./binding.ts";
import { Breaker, type BreakerLimits } from "./breaker.ts";
import type { EventName, Events } from "./event.ts";
import { checkVerdict } from "./event-table.ts";
import { type BindingHealth, freshHealth, type Health, isUsedUp, versionOf } from "./health.ts";
import { nothingDone, type Observation, type SkipReason } from "./observation.ts";
import { onFaultVerdict } from "./on-fault.ts";
import type { SinkContext } from "./sink.ts";
import type { Standing } from "./undo.ts";
import { readVerdict, type Verdict } from "./verdict.ts";

export interface AccountsOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly breaker?: BreakerLimits;
  /** Read anew for each answer: while it is undefined nothing is made for it. */
  readonly observe?: ((observation: Observation) => void) | undefined;
  /** Nothing of it is real: sinks are told, and remember nothing. */
  readonly rehearsal?: boolean;
}

type Subject = Events[EventName]["subject"];

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #health = new Map<string, Health>();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** Other bindings are bound from here on: those that are gone are forgotten. */
  replace(bindings: readonly Binding[]): void {
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
  }

  /** For others to look at. */
  show(bindingId: string): BindingHealth {
    const health = this.#health.get(bindingId);
    if (!health) return freshHealth;
    const { firings, faults, lastFault, lastFaultAt } = health;
    return { firings, faults, breaker: health.breaker.state, lastFault, lastFaultAt };
  }

  of(binding: Binding): Health {
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

  /** The verdict in what a sink answered; where there is none in it, what it did is undone, and that is a fault. */
  answered(
    event: EventName,
    subject: Subject,
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
      return this.faulted(event, subject, binding, error);
    }
    health.breaker.succeeded();
    this.#options.observe?.({ event, subject, binding, verdict, fault: null, did: () => standing.did() });
    return by(binding, verdict);
  }

  /** A sink failed: noted, and its onFault answers. */
  faulted(event: EventName, subject: Subject, binding: Binding, error: unknown): Verdict {
    const fault = this.note(event, subject, binding, error);
    const verdict = onFaultVerdict(event, binding);
    this.#options.observe?.({ event, subject, binding, verdict, fault, did: nothingDone });
    return by(binding, verdict);
  }

  /** A binding whose breaker is open is not asked: its onFault answers. */
  suspended(event: EventName, subject: Subject, binding: Binding): Verdict {
    const verdict = onFaultVerdict(event, binding);
    const fault = new Fault("script.suspended", `${binding.name} is suspended after too many faults`);
    this.#options.observe?.({ event, subject, binding, verdict, fault, did: nothingDone });
    return by(binding, verdict);
  }

  /** Notes a fault, in the log and on the account. */
  note(event: EventName, subject: Subject, binding: Binding, error: unknown): Fault {
    const { clock, log } = this.#options;
    const fault = asFault(error);
    const health = this.of(binding);
    health.faults++;
    health.lastFault = fault;
    health.lastFaultAt = clock.now();
    log.error(binding.target.kind === "script" ? "script.failed" : "sink.failed", {
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
      log.warn("binding.suspended", {
        binding: binding.id,
        onFault: binding.onFault,
        forMs: Math.round(health.breaker.remainingMs),
      });
    }
    return fault;
  }

  #contextOf(binding: Binding): SinkContext {
    return {
      log: this.#options.log.with({ binding: binding.id }),
      bindingId: binding.id,
      properties: binding.properties,
      rehearsal: this.#options.rehearsal ?? false,
    };
  }
}

/** Why a binding is not asked, whatever its rule says. */
export function unasked(binding: Binding, health: Health): SkipReason | null {
  return !binding.enabled ? "disabled" : isUsedUp(binding, health) ? "used-up" : null;
}

/** The message of a subject that has one. */
export function messageOf(subject: object): Message | undefined {
  return (subject as { readonly message?: Message | null }).message ?? undefined;
}

export function asFault(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault("sink.failed", describeThrown(error), { cause: error });
}

function by(binding: Binding, verdict: Verdict): Verdict {
  return verdict.kind === "proceed" ? verdict : { ...verdict, by: binding.id };
}
