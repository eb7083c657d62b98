/** What is asked of an explanation and what it says: plain data, with names that stay. `onarrival explain --json` prints a report as it is. */

/** A message and the session it is to come in by. */
export interface ExplainRequest {
  /** The message, base64. */
  readonly mail: string;
  readonly session: {
    readonly ip: string;
    readonly helo: string;
    readonly user: string | null;
    readonly listener: string;
    readonly tls: boolean;
  };
  /** Brackets or none; "" is the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
}

export interface ExplainedCondition {
  readonly condition: string;
  readonly held: boolean;
  /** What it was compared with. */
  readonly value: string;
}

export interface ExplainedBinding {
  readonly id: string;
  readonly name: string;
  readonly source: string;
  readonly kind: "native" | "script" | "broken";
  readonly priority: number;
  /** As it stands; null without one. */
  readonly rule: string | null;
  /**
   * `asked`; or why it was not: `rule` did not hold, an earlier sink `settled` or `decided`, it is `disabled`, `broken`, `suspended` after too many
   * faults, `used-up`.
   */
  readonly outcome: "asked" | "rule" | "settled" | "decided" | "disabled" | "broken" | "suspended" | "used-up";
  /** What it answered, such as `refuse 550 5.7.1 Not here`; null where it was not asked. */
  readonly verdict: string | null;
  /** Why it failed; null where it did not. */
  readonly fault: string | null;
  /** For `settled` and `decided`: the binding that did. For `broken`: why. */
  readonly by: string | null;
  /** Each condition of its rule with what it was compared with; empty without a rule, or where nobody looked. */
  readonly conditions: readonly ExplainedCondition[];
}

export interface ExplainedEvent {
  /** Of onArrival behind the reply: `onArrival/queue`. */
  readonly event: string;
  /** What it was asked about: a recipient, a domain, a verb; "" for the message or session as a whole. */
  readonly about: string;
  /** In the order they are asked. */
  readonly bindings: readonly ExplainedBinding[];
  /** What the client hears, where the event decides it; "" else. */
  readonly reply: string;
}

/** Where a recipient's mail would end; of an alias or a list, those it stands for. */
export interface ExplainedDestination {
  readonly recipient: string;
  /** `delivered` here, `sent` to a server, `held`, `deferred`, `failed`, `discarded`, `quarantined`. */
  readonly fate: string;
  /** `maildir`, `mx:example.org` …; null where nobody was asked for one. */
  readonly hop: string | null;
  /** Who chose that, or decided otherwise: `route 2`, the id of a binding; null where nobody did. */
  readonly by: string | null;
  /** The reason, the reply or the place; "" where there is nothing more to say. */
  readonly words: string;
}

export interface ExplainReport {
  readonly from: string;
  readonly to: readonly string[];
  /** Each event in the order it fired; those with nothing bound too. */
  readonly events: readonly ExplainedEvent[];
  /** What the client hears last. */
  readonly reply: string;
  /** What becomes of the message: `accepted`, `refused`, `deferred`, `discarded`, `quarantined`. */
  readonly result: string;
  /** Where an accepted message would go from here; empty for all others. */
  readonly destinations: readonly ExplainedDestination[];
  /** Whether the bindings were those of a running server, or read from files. */
  readonly live: boolean;
}
