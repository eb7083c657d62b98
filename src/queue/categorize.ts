/**
 * Categorising: before its first attempt a message's sinks are asked once more (onArrival in its phase `queue`, onPreCategorize), then who each recipient is
 * (onCategorize), then about what came of it (onPostCategorize). Nothing is kept here but what a sink quarantines: the queue commits the result, and asks again where
 * it could not.
 */
import type { ListName } from "../events/binding.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import type { Verdict } from "../events/verdict.ts";
import { madeByNote } from "../mail/made-by.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { Message, type Submission } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import type { Log } from "../platform/log.ts";
import { type Part, partsOf, withFailures, withRecipients } from "./categorize-parts.ts";
import { type Answer, type AskAbout, askAboutAll } from "./categorize-recipients.ts";
import { type Ended, type Failure, type Results, resultsOf } from "./categorize-results.ts";
import { CategorizeDecision, copyOf, fixRecipients } from "./categorize-subject.ts";
import { copyApart } from "./copy-apart.ts";
import type { Categorize, Categorized, Quarantine } from "./ports.ts";

export interface CategorizerOptions {
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly clock: Clock;
  readonly log: Log;
  /** Badmail. Messages it is given have ids of their own. */
  readonly quarantine: Quarantine;
}

type Objection = Exclude<Verdict, { readonly kind: "proceed" }>;

const unchanged: Categorized = { kind: "unchanged" };

export function createCategorizer(options: CategorizerOptions): Categorize {
  const { events, clock, log, quarantine } = options;

  /** Asks about the whole of a message. What sinks did to it is in what is given back. */
  async function askWhole(
    list: "onArrival/queue" | "onPreCategorize" | "onPostCategorize",
    message: Message,
    attemptId: string,
  ): Promise<{ readonly message: Message; readonly verdict: Verdict; readonly made: readonly Submission[] }> {
    const seen = copyOf(message);
    if (list !== "onArrival/queue") fixRecipients(seen);
    const verdict = await (list === "onArrival/queue"
      ? events.ask("onArrival", { message: seen }, "queue")
      : events.ask(list, { message: seen, attemptId }));
    const made = seen.takeSubmissions();
    return { message: takeBack(seen, message), verdict, made };
  }

  const isBound = (list: ListName) => events.bindingsOf(list).length > 0;

  /** A recipient at a time: without a copy where nobody but the server itself looks at it. */
  function askerOf(message: Message, attemptId: string): { readonly ask: AskAbout; present(): Message } {
    const isOurs = events.bindingsOf("onCategorize").every(({ source }) => source === "server");
    let present = message;
    const ask: AskAbout = (forwardPath, expandedFrom) => {
      const seen = isOurs ? present : copyOf(present);
      if (!isOurs) fixRecipients(seen);
      const decision = new CategorizeDecision({ message: seen, attemptId, forwardPath, expandedFrom });
      const finish = (verdict: Verdict): Answer => {
        const left = isOurs ? present : takeBack(seen, present);
        if (verdict.kind === "proceed") present = left;
        return { verdict, resolution: decision.resolution, isSplit: decision.isSplit, message: left };
      };
      const verdict = events.ask("onCategorize", decision);
      return verdict instanceof Promise ? verdict.then(finish) : finish(verdict);
    };
    return { ask, present: () => present };
  }

  /** Keeps a copy for some recipients: the message itself goes on to others. */
  async function keepApart(
    { id }: Message,
    copy: { readonly message: Message; readonly to: readonly Mailbox[] },
    { reason, by }: Pick<Ended["said"], "reason" | "by">,
  ) {
    const { message, to } = copy;
    const recipients = to.map((mailbox) => ({ mailbox }));
    const kept = copyApart(message, recipients, id);
    await quarantine(kept, { reason, binding: by });
    crashPoint("categorize.quarantined");
    log.warn("recipient.quarantined", { message: id, kept: kept.id, to: to.map(formatMailbox), reason, by });
  }

  /** onPostCategorize, for each message that came of it: a verdict is for that one. */
  async function askAboutParts(
    parts: readonly Part[],
    attemptId: string,
  ): Promise<{
    readonly parts: readonly Part[];
    readonly objections: ReadonlyMap<Part, Objection>;
    readonly made: readonly Submission[];
  }> {
    const asked: Part[] = [];
    const made: Submission[] = [];
    const objections = new Map<Part, Objection>();
    for (const part of parts) {
      if (part.message.envelope.recipients.length === 0) {
        asked.push(part);
        continue;
      }
      const { message, verdict, made: ofPart } = await askWhole("onPostCategorize", part.message, attemptId);
      const next: Part = { ...part, message };
      asked.push(next);
      // Of what is refused or deferred nothing comes.
      if (verdict.kind !== "refuse" && verdict.kind !== "drop" && verdict.kind !== "defer") made.push(...ofPart);
      if (verdict.kind !== "proceed") objections.set(next, verdict);
      if (verdict.kind === "defer") break;
    }
    return { parts: asked, objections, made };
  }

  return async function categorize(original, attemptId) {
    const made: Submission[] = [];
    const categorized = await categorizeWhole(original, attemptId, made);
    return made.length > 0 && categorized.kind !== "refused" && categorized.kind !== "deferred"
      ? { ...(categorized.kind === "unchanged" ? asChanged(original) : categorized), submissions: made }
      : categorized;
  };

  /** @param made gets what sinks make of the message on the way */
  async function categorizeWhole(original: Message, attemptId: string, made: Submission[]): Promise<Categorized> {
    let message = original;
    for (const list of ["onArrival/queue", "onPreCategorize"] as const) {
      if (!isBound(list) || (list === "onArrival/queue" && !hasArrival(original))) continue;
      const asked = await askWhole(list, message, attemptId);
      message = asked.message;
      made.push(...asked.made);
      if (asked.verdict.kind !== "proceed") return verdictFor(message, asked.verdict);
    }
    if (message.envelope.recipients.length === 0)
      return { kind: "discarded", reason: "no recipient is left", by: null };

    let results: Results | undefined;
    if (isBound("onCategorize")) {
      const { ask, present } = askerOf(message, attemptId);
      const asked = await askAboutAll(message.envelope.recipients, ask);
      if ("deferral" in asked) return verdictFor(message, asked.deferral);
      message = present();
      results = resultsOf(asked.roots, message);
    }
    let failures: readonly Failure[] = results?.failures ?? [];
    const ended = results?.ended ?? [];
    let expansions = results?.expansions ?? [];
    let parts = results ? partsOf(message, results, clock.now()) : [{ message, owner: undefined }];
    if (isBound("onPostCategorize")) {
      const asked = await askAboutParts(parts, attemptId);
      made.push(...asked.made);
      const [only, ...others] = asked.objections.values();
      if (only?.kind === "defer" || others.some(({ kind }) => kind === "defer"))
        return verdictFor(message, [only!, ...others].find(({ kind }) => kind === "defer")!);
      if (only && parts.length === 1 && failures.length + ended.length === 0)
        return verdictFor(asked.parts[0]!.message, only);
      for (const [part, verdict] of asked.objections) {
        const { recipients } = part.message.envelope;
        if (verdict.kind === "refuse" || verdict.kind === "drop") {
          const { code, status, text, by = null } = verdict;
          const reply = { code, status, text };
          const { owner } = part;
          failures = [...failures, ...recipients.map((recipient) => ({ recipient, owner, reply, by }))];
        } else if (verdict.kind === "quarantine") {
          const to = recipients.map(({ mailbox }) => mailbox);
          const copy = { message: part.message, to };
          await keepApart(original, copy, { reason: verdict.reason, by: verdict.by ?? null });
        } else if (verdict.kind === "discard")
          noteDiscarded(
            message,
            recipients.map(({ mailbox }) => mailbox),
            verdict,
          );
      }
      // Of what goes to nobody there is nothing good to tell.
      parts = asked.parts.map((part) => (asked.objections.has(part) ? withRecipients(part, []) : part));
      if (parts.every((part) => part.message.envelope.recipients.length === 0)) expansions = [];
    }
    for (const { mailbox, said } of ended) {
      if (said.kind === "quarantined") await keepApart(original, { message: said.message, to: [mailbox] }, said);
      else noteDiscarded(message, [mailbox], said);
    }
    const result = withFailures(parts, failures);
    const isAsBefore =
      result.forks.length === 0 && result.failures.length === 0 && isSameState(result.message, original);
    return isAsBefore ? unchanged : { kind: "changed", ...result, expansions };
  }

  function noteDiscarded(
    { id }: Message,
    to: readonly Mailbox[],
    { reason, by }: { readonly reason: string; readonly by?: string | null },
  ): void {
    log.info("recipient.discarded", { message: id, to: to.map(formatMailbox), reason, by: by ?? null });
  }
}

/** Whether its arrival is still to be asked about: somebody looked at what was released, and what scripts made never came in. */
function hasArrival({ notes }: Message): boolean {
  return notes["released"] === undefined && notes[madeByNote] === undefined;
}

/** As it was, but with something to commit beside it. */
function asChanged(message: Message): Categorized {
  return { kind: "changed", message, forks: [], failures: [] };
}

/** What a verdict means for all of a message. */
function verdictFor(message: Message, verdict: Objection): Categorized {
  const by = verdict.by ?? null;
  switch (verdict.kind) {
    case "refuse":
    case "drop":
    case "defer": {
      const { code, status, text } = verdict;
      return { kind: verdict.kind === "defer" ? "deferred" : "refused", reply: { code, status, text }, by };
    }
    case "discard":
      return { kind: "discarded", reason: verdict.reason, by };
    case "quarantine":
      return { kind: "quarantined", message, reason: verdict.reason, by };
  }
}

/** What sinks left of a copy, which they cannot change any more; the original where they changed nothing. */
function takeBack(seen: Message, original: Message): Message {
  const left = isSameState(seen, original)
    ? original
    : new Message({ ...seen.snapshot(), id: seen.id, receivedAt: seen.receivedAt, origin: seen.origin });
  seen.revoke();
  return left;
}

function isSameState(one: Message, other: Message): boolean {
  return (
    one === other ||
    (one.envelope === other.envelope &&
      one.header === other.header &&
      one.body === other.body &&
      one.separator === other.separator &&
      one.notes === other.notes)
  );
}
