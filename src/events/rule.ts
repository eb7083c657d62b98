/**
 * Rules: which messages or commands a binding is asked about. `MAIL FROM = *@partner.example; RCPT TO = sales@*`
 * Parsed once into conditions grouped by key: the same key again means "or", different keys mean "and". docs/rules.md is for those who write them.
 * A condition about something that is not there (no message yet, nobody logged in, no such field) does not hold, whatever its pattern.
 */
import type { AuthFacts } from "../mail/auth-facts.ts";
import type { Header } from "../mail/header.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { formatReversePath, type ReversePath } from "../mail/path.ts";
import type { EventName } from "./event.ts";
import { eventTable } from "./event-table.ts";
import { compileGlob, compileHostGlob, foldCase, foldHost, type Glob, matchesGlob } from "./glob.ts";
import { type AuthKey, compileResultGlob, readResults } from "./rule-auth.ts";
import {
  type ClientPattern,
  compileClientPattern,
  compileMailboxPattern,
  compileSizePattern,
  looseSuffix,
  type MailboxPattern,
  matchesClient,
  matchesMailbox,
  matchesReversePath,
  matchesSize,
  PatternError,
  type SizePattern,
} from "./rule-pattern.ts";
import { type ConditionText, type RuleKey, ruleFault, splitRule } from "./rule-syntax.ts";

/** What a rule may ask about. `null`, an empty HELO name and an undefined reverse-path mean: there is none, or it is not known yet. */
export interface RuleFacts {
  /** Address of the client, without brackets. */
  readonly client: string | null;
  /** Empty before HELO. */
  readonly helo: string;
  readonly user: string | null;
  readonly listener: string;
  /** `null` is the null reverse-path `<>`, which is known; undefined is not known. */
  readonly reversePath: ReversePath | undefined;
  readonly recipients: readonly Mailbox[];
  readonly header: Header | null;
  readonly sizeOctets: number | null;
  readonly verb: string | null;
  /** null, or absent: the message was not checked, or is not here yet. */
  readonly auth?: AuthFacts | null;
}

/** How one condition fared, for `onarrival explain`. */
export interface ConditionReport {
  /** As it was written. */
  readonly condition: string;
  readonly held: boolean;
  /** What it was compared with, in words for people. */
  readonly value: string;
}

export interface Rule {
  /** As it was written. */
  readonly text: string;
  /** Allocates nothing for conditions on mailboxes. Never throws. */
  test(facts: RuleFacts): boolean;
  /** Every condition in the order written, whether the others held or not. */
  explain(facts: RuleFacts): readonly ConditionReport[];
  /** The recipients that meet the RCPT TO conditions; all of them where there are none. */
  matchedRecipients(recipients: readonly Mailbox[]): readonly Mailbox[];
  /** What is legal and most likely not meant, one sentence each. */
  readonly warnings: readonly string[];
  /** Whether MAIL FROM, RCPT TO, SUBJECT, HEADER or SIZE is in it: what an edit by an earlier sink can change. */
  readonly readsMessage: boolean;
  /** Why it can never hold at this event, in words; null where it can. It asks about what comes later: `SUBJECT=*` at onConnect. */
  neverHoldsAt(event: EventName): string | null;
}

/**
 * Compiles a rule. With an event, a word alone is a VERB condition where that is a protocol event, and conditions that cannot hold there are warned about.
 * @throws {Fault} `rule.syntax`, with `column` (from 1) among its facts
 */
export function parseRule(text: string, event?: EventName): Rule {
  const takesVerbs = event !== undefined && eventTable[event].family !== "transport";
  const conditions = splitRule(text, takesVerbs).map((condition) => compileCondition(condition));
  const warnings = conditions.flatMap((condition) => warningsFor(condition, event));
  return new CompiledRule(text, conditions, [...new Set(warnings)]);
}

type Test =
  | { readonly of: "MAIL FROM" | "RCPT TO"; readonly pattern: MailboxPattern }
  | { readonly of: "CLIENT"; readonly pattern: ClientPattern }
  | { readonly of: "SIZE"; readonly pattern: SizePattern }
  | { readonly of: TextKey; readonly pattern: Glob | "present" | "absent" };

type TextKey = Exclude<RuleKey, "MAIL FROM" | "RCPT TO" | "CLIENT" | "SIZE">;

interface Condition {
  readonly written: ConditionText;
  /** Conditions with the same group are alternatives. */
  readonly group: string;
  readonly test: Test;
}

class CompiledRule implements Rule {
  readonly text: string;
  readonly warnings: readonly string[];
  readonly readsMessage: boolean;
  readonly #conditions: readonly Condition[];
  readonly #groups: readonly (readonly Condition[])[];
  readonly #recipients: readonly MailboxPattern[];

  constructor(text: string, conditions: readonly Condition[], warnings: readonly string[]) {
    this.text = text;
    this.warnings = warnings;
    this.#conditions = conditions;
    this.#groups = [...Map.groupBy(conditions, ({ group }) => group).values()].sort(
      (one, other) => cost(one[0]!) - cost(other[0]!),
    );
    this.#recipients = conditions.flatMap(({ test }) => (test.of === "RCPT TO" ? [test.pattern] : []));
    this.readsMessage = conditions.some(({ test }) =>
      ["MAIL FROM", "RCPT TO", "SUBJECT", "HEADER", "SIZE"].includes(test.of),
    );
  }

  test(facts: RuleFacts): boolean {
    for (const group of this.#groups) if (!groupHolds(group, facts)) return false;
    return true;
  }

  explain(facts: RuleFacts): readonly ConditionReport[] {
    return this.#conditions.map((condition) => ({
      condition: condition.written.text,
      held: groupHolds([condition], facts),
      value: describeValue(condition, facts),
    }));
  }

  neverHoldsAt(event: EventName): string | null {
    const never = this.#groups.find((group) => group.every((condition) => tooEarlyFor(condition, event) !== null));
    return never ? tooEarlyFor(never[0]!, event) : null;
  }

  matchedRecipients(recipients: readonly Mailbox[]): readonly Mailbox[] {
    if (this.#recipients.length === 0) return recipients;
    return recipients.filter((mailbox) => this.#recipients.some((pattern) => matchesMailbox(pattern, mailbox)));
  }
}

/** What is cheap to compare is compared first; decoding a field comes last. */
function cost({ test }: Condition): number {
  return test.of === "SUBJECT" || test.of === "HEADER" ? 2 : test.of === "CLIENT" ? 1 : 0;
}

/** Whether one of several conditions on the same key holds. */
function groupHolds(group: readonly Condition[], facts: RuleFacts): boolean {
  const first = group[0]!;
  switch (first.test.of) {
    case "MAIL FROM":
    case "RCPT TO":
    case "CLIENT":
    case "SIZE":
      for (const { test } of group) if (plainTestHolds(test, facts)) return true;
      return false;
    default: {
      // Read and folded once for all the alternatives.
      const values = readTexts(first.test.of, first.written.fieldName, facts);
      const folded = values?.map(first.test.of === "EHLO" ? foldHost : foldCase);
      return group.some(({ test }) => textTestHolds(test, folded));
    }
  }
}

function plainTestHolds(test: Test, facts: RuleFacts): boolean {
  switch (test.of) {
    case "MAIL FROM":
      return facts.reversePath !== undefined && matchesReversePath(test.pattern, facts.reversePath);
    case "RCPT TO":
      for (const mailbox of facts.recipients) if (matchesMailbox(test.pattern, mailbox)) return true;
      return false;
    case "CLIENT":
      return facts.client !== null && matchesClient(test.pattern, facts.client);
    case "SIZE":
      return facts.sizeOctets !== null && matchesSize(test.pattern, facts.sizeOctets);
    default:
      return false;
  }
}

function textTestHolds({ pattern }: Test, folded: readonly string[] | undefined): boolean {
  if (pattern === "absent") return folded === undefined;
  if (folded === undefined) return false;
  return pattern === "present" || folded.some((text) => matchesGlob(pattern as Glob, text));
}

/** What a text condition looks at; undefined where there is nothing. */
function readTexts(key: TextKey, fieldName: string, facts: RuleFacts): readonly string[] | undefined {
  switch (key) {
    case "EHLO":
      return facts.helo === "" ? undefined : [facts.helo];
    case "USER":
      return facts.user === null ? undefined : [facts.user];
    case "LISTENER":
      return [facts.listener];
    case "VERB":
      return facts.verb === null ? undefined : [facts.verb];
    case "SPF":
    case "DKIM":
    case "DMARC":
    case "ARC":
      return facts.auth ? readResults(key, facts.auth) : undefined;
    case "SUBJECT":
    case "HEADER": {
      const values = facts.header?.getAll(key === "SUBJECT" ? "Subject" : fieldName);
      return values?.length ? values : undefined;
    }
  }
}

function compileCondition(written: ConditionText): Condition {
  try {
    const test = compileTest(written);
    return {
      written,
      group: written.key === "HEADER" ? `HEADER ${written.fieldName.toLowerCase()}` : written.key,
      test,
    };
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw ruleFault(written.patternColumn + error.at, error.message);
  }
}

function compileTest({ key, pattern }: ConditionText): Test {
  // Only HEADER may stand without a pattern: the field is there, whatever it says.
  if (pattern === undefined) return { of: "HEADER", pattern: "present" };
  switch (key) {
    case "MAIL FROM":
      return { of: key, pattern: compileMailboxPattern(pattern) };
    case "RCPT TO": {
      const compiled = compileMailboxPattern(pattern);
      if (compiled.whole === "null")
        throw new PatternError("a recipient is never <>; expected a mailbox pattern such as *@example.org");
      return { of: key, pattern: compiled };
    }
    case "CLIENT":
      return { of: key, pattern: compileClientPattern(pattern) };
    case "SIZE":
      return { of: key, pattern: compileSizePattern(pattern) };
    case "EHLO":
      return { of: key, pattern: compileHostGlob(pattern) };
    case "SPF":
    case "DKIM":
    case "DMARC":
    case "ARC":
      return { of: key, pattern: compileResultGlob(key, pattern) };
    case "USER":
      return { of: key, pattern: pattern.text === "-" && !pattern.quoted ? "absent" : compileGlob(pattern) };
    default:
      return { of: key, pattern: compileGlob(pattern) };
  }
}

/** Events that come too early for a key to have something to look at. */
const beforeMail: readonly EventName[] = ["onConnect", "onTls", "onHelo", "onAuth"];
const beforeHeader: readonly EventName[] = [...beforeMail, "onMailFrom", "onRcptTo", "onData", "onCommand"];
const beforeMessage: readonly EventName[] = [...beforeHeader, "onHeaders"];
const resultsTooEarly: { readonly [Key in AuthKey]: readonly EventName[] } = {
  SPF: beforeMessage,
  DKIM: beforeMessage,
  DMARC: beforeMessage,
  ARC: beforeMessage,
};
const tooEarly: { readonly [Key in RuleKey]?: readonly EventName[] } = {
  EHLO: ["onConnect"],
  USER: ["onConnect"],
  "MAIL FROM": beforeMail,
  "RCPT TO": [...beforeMail, "onMailFrom"],
  SIZE: beforeMail,
  SUBJECT: beforeHeader,
  HEADER: beforeHeader,
  ...resultsTooEarly,
};

function warningsFor({ written, test }: Condition, event: EventName | undefined): string[] {
  const warnings: string[] = [];
  const { key, pattern } = written;
  const suffix = pattern && ["MAIL FROM", "RCPT TO", "EHLO"].includes(key) ? looseSuffix(pattern.text) : undefined;
  if (suffix) {
    // A mailbox pattern needs its "@"; what stands before it here stays.
    const local = key === "EHLO" ? "" : `${/^(.*)@/u.exec(pattern!.text)?.[1] || "*"}@`;
    warnings.push(
      `"${written.text}" matches bad${suffix} too; write ${local}${suffix} for the domain and ${local}*.${suffix} for those below it`,
    );
  }
  const never = event && tooEarlyFor({ written, test }, event);
  if (never) warnings.push(never);
  if (event && key === "VERB" && eventTable[event].family === "transport") {
    warnings.push(`"${written.text}" never holds at ${event}: only protocol events have a verb`);
  }
  return warnings;
}

function tooEarlyFor(
  { written: { key, text }, test }: Pick<Condition, "written" | "test">,
  event: EventName,
): string | null {
  if (!tooEarly[key]?.includes(event) || (test.of === "USER" && test.pattern === "absent")) return null;
  const what = key === "HEADER" || key === "SUBJECT" ? "header" : key in resultsTooEarly ? `result of ${key}` : key;
  return `"${text}" never holds at ${event}: there is no ${what} yet`;
}

/** Characters of a value in a report. */
const valueLengthMax = 200;

function describeValue({ written, test }: Condition, facts: RuleFacts): string {
  switch (test.of) {
    case "MAIL FROM":
      return facts.reversePath === undefined ? "(none yet)" : formatReversePath(facts.reversePath);
    case "RCPT TO":
      return cut(facts.recipients.map(formatMailbox).join(", ")) || "(none yet)";
    case "CLIENT":
      return facts.client ?? "(none)";
    case "SIZE":
      return facts.sizeOctets === null ? "(not known yet)" : `${facts.sizeOctets} octets`;
    default:
      return cut(
        readTexts(test.of, written.fieldName, facts)
          ?.map((text) => JSON.stringify(text))
          .join(", ") ?? "(none)",
      );
  }
}

function cut(text: string): string {
  return text.length > valueLengthMax ? `${text.slice(0, valueLengthMax)}…` : text;
}
