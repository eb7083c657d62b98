/**
 * A test run: one message through the server's own dispatcher, sandbox and applier, with nothing behind them. What a run shows is what the
 * live server would do, because it is the same code; only the bindings are fewer and nothing is spooled.
 */
import type { Sandbox } from "../sandbox/host.ts";
import { type HostCalls, noCalls } from "../sandbox/host-call.ts";
import type { RunRequest, ScriptFault, ScriptLimits, StepResult } from "../sandbox/protocol.ts";
import type { Binding, OnFault } from "./events/binding.ts";
import { Dispatcher } from "./events/dispatcher.ts";
import type { AskName, EventName, SubjectOf, TellName } from "./events/event.ts";
import { eventTable } from "./events/event-table.ts";
import type { ConditionReport } from "./events/rule.ts";
import { ruleFacts } from "./events/rule-facts.ts";
import { discard, proceed, type Verdict } from "./events/verdict.ts";
import { decodeWords } from "./mail/encoded-word.ts";
import { fieldValue } from "./mail/header.ts";
import { formatMailbox } from "./mail/mailbox.ts";
import { Message, type MessageState } from "./mail/message.ts";
import type { TestResult } from "./main-test-result.ts";
import { createTestSubject } from "./main-test-subject.ts";
import { systemClock } from "./platform/clock.ts";
import type { Fault } from "./platform/fault.ts";
import { silentLog } from "./platform/log.ts";
import { applyEffects } from "./scripting/apply.ts";
import { createScriptRunner } from "./scripting/runner.ts";
import type { SubmissionMaker } from "./scripting/submissions.ts";
import type { AskedInTest } from "./scripting/test-answers.ts";

export interface TestRun {
  readonly result: TestResult;
  /** How the rule fared; empty where there is none. */
  readonly conditions: readonly ConditionReport[];
  readonly onFault: OnFault;
  /** The message as it would be spooled; null where it is not. */
  readonly spooled: Message | null;
}

/** What the whole list did, for people. */
export interface Step {
  readonly binding: string;
  readonly onFault: OnFault;
  readonly verdict: Verdict;
  readonly fault: Fault | null;
}

const noChanges: TestResult["changes"] = { envelope: { added: [], removed: [] }, fields: [], parts: [] };
const noUsage = { cpuMs: 0, wallMs: 0, heapKiB: 0 };

export interface TesterOptions {
  readonly sandbox: Pick<Sandbox, "run">;
  readonly limits: ScriptLimits;
  /** Makes scripts' new messages, which end with `take`; absent: none may be made. */
  readonly createMaker?: (take: (messages: readonly Message[]) => Promise<void>) => SubmissionMaker;
}

/** One message to test with. */
export interface TestAsk {
  /** As people name it. */
  readonly file: string;
  /** The one script that is tested; undefined: the whole list. */
  readonly asked: Binding | undefined;
  readonly event?: EventName | null;
  /** What scripts hear from outside, and what they asked; absent: nothing is granted. */
  readonly answers?: { readonly calls: HostCalls; readonly asked: readonly AskedInTest[] };
  /** Of the run; absent: real ones. */
  readonly clock?: number;
  readonly seed?: string;
}

/** Takes messages, one at a time, through a list of bindings. */
export class Tester {
  readonly dispatcher: Dispatcher;
  /** What the bindings answered to the message in hand. */
  steps: Step[] = [];
  #results: StepResult[] = [];
  #said: string[] = [];
  #ask: TestAsk | undefined;
  #taken: Message[] = [];

  constructor({ sandbox, limits, createMaker }: TesterOptions) {
    const tapped = {
      run: async (request: RunRequest) => {
        const { clock, seed } = this.#ask ?? {};
        const given = { ...(clock !== undefined && { clock }), ...(seed !== undefined && { seed }) };
        const steps = request.steps.map((step) => ({ ...step, ...given }));
        const answer = await sandbox.run({ ...request, steps });
        this.#results.push(...answer.steps);
        return answer;
      },
    };
    const calls: HostCalls = {
      answer: (...question) => (this.#ask?.answers?.calls ?? noCalls).answer(...question),
    };
    const maker = createMaker?.(async (messages) => void this.#taken.push(...messages));
    this.dispatcher = new Dispatcher({
      log: silentLog,
      clock: systemClock,
      rehearsal: true,
      scripts: createScriptRunner({ sandbox: tapped, limits, calls, ...(maker && { maker }), log: silentLog }),
      // Every message is to show what the script does with it, however many have failed before.
      breaker: { faults: Number.POSITIVE_INFINITY, withinMs: 1, suspendMs: 1 },
      observe: ({ event, binding, verdict, fault, did }) => {
        this.steps.push({ binding: binding.name, onFault: binding.onFault, verdict, fault });
        // Edits of the message are told by themselves.
        if (eventTable[event].powers.length > 0) this.#said.push(...did());
      },
    });
  }

  async run(message: Message, ask: TestAsk): Promise<TestRun> {
    const { asked, answers } = ask;
    const event = asked?.event ?? ask.event ?? "onArrival";
    this.steps = [];
    this.#results = [];
    this.#said = [];
    this.#taken = [];
    this.#ask = ask;
    const before = message.snapshot();
    const envelope = envelopeOf(before);
    const subject = createTestSubject(event, message);
    const conditions = asked?.rule?.explain(ruleFacts(event, subject as SubjectOf<EventName>)) ?? [];
    let verdict = await this.#fire(event, subject);
    // The reception does the same with what the list leaves it.
    if (verdict.kind === "proceed" && message.envelope.recipients.length === 0)
      verdict = discard("no recipient is left");
    const isSpooled = verdict.kind === "proceed" || verdict.kind === "quarantine";
    const failed = this.steps.find((step) => step.fault !== null);
    const fault = failed?.fault ?? null;
    const kept = this.#results.filter((step) => step.fault === null);
    const result: TestResult = {
      file: ask.file,
      script: asked?.name ?? "pipeline",
      version: asked?.target.kind === "script" ? asked.target.version : null,
      event,
      matched: asked ? this.#results.length > 0 : this.steps.length > 0,
      envelope,
      verdict: describe(verdict),
      changes: isSpooled ? await changesBetween(message, before, kept) : noChanges,
      ...(this.#said.length > 0 && { said: this.#said }),
      submissions: isSpooled || verdict.kind === "discard" ? this.#submissions(message) : [],
      ...(answers && answers.asked.length > 0 && { asked: [...answers.asked] }),
      log: this.#results
        .flatMap((step) => step.log)
        .map(({ level, text, at }) => ({ level, text, at: new Date(at).toISOString() })),
      usage: this.#results.reduce(
        (sum, { usage }) => ({
          cpuMs: sum.cpuMs + usage.cpuMs,
          wallMs: sum.wallMs + usage.wallMs,
          heapKiB: Math.max(sum.heapKiB, usage.heapKiB),
        }),
        noUsage,
      ),
      defects: [...new Set([...transportDefects(before), ...this.#results.flatMap((step) => step.defects)])],
      fault: fault && describeFault(fault),
    };
    return { result, conditions, onFault: failed?.onFault ?? "defer", spooled: isSpooled ? message : null };
  }

  #submissions(message: Message): TestResult["submissions"] {
    return [...message.submissions.map((one) => one.message), ...this.#taken].map((made) => {
      const subject = made.header.fields.find(({ name }) => name.toLowerCase() === "subject");
      return { ...envelopeOf(made), subject: subject ? decodeWords(fieldValue(subject)) : "" };
    });
  }

  /** Asks, or tells and waits until it is told. */
  async #fire(event: EventName, subject: object): Promise<Verdict> {
    // The subject was made for this event.
    if (eventTable[event].mode === "ask") return await this.dispatcher.ask(event as AskName, subject as never);
    this.dispatcher.tell(event as TellName, subject as never);
    await this.dispatcher.whenTold();
    return proceed;
  }
}

/** The result for a script that cannot be run at all: it does not compile, or does not load. */
export function unrunnable(
  fault: ScriptFault,
  {
    file,
    script,
    message,
    event,
  }: { readonly file: string; readonly script: string; readonly message: Message; readonly event?: EventName | null },
): TestRun {
  const result: TestResult = {
    file,
    script,
    version: null,
    event: event ?? "onArrival",
    matched: false,
    envelope: envelopeOf(message),
    // A broken script is not bound: mail passes it by.
    verdict: { kind: "proceed", settled: false },
    changes: noChanges,
    submissions: [],
    log: [],
    usage: noUsage,
    defects: [],
    fault: { code: fault.code, message: fault.message, at: fault.at, stack: fault.stack },
  };
  return { result, conditions: [], onFault: "defer", spooled: message };
}

function envelopeOf({ envelope: { reversePath, recipients } }: Pick<MessageState, "envelope">): TestResult["envelope"] {
  return {
    from: reversePath && formatMailbox(reversePath),
    to: recipients.map(({ mailbox }) => formatMailbox(mailbox)),
  };
}

/**
 * What became different, told by the applier itself: the message as it is now is put as effects on the message as it was. Edits share the
 * fields they leave alone, so a field that is the same object was not touched.
 */
async function changesBetween(
  message: Message,
  before: MessageState,
  kept: readonly StepResult[],
): Promise<TestResult["changes"]> {
  const former = new Message({ ...before, id: message.id, receivedAt: message.receivedAt, origin: message.origin });
  const was = envelopeOf(before);
  const now = envelopeOf(message);
  const places = new Map(before.header.fields.map((field, index) => [field, index]));
  const changes = await applyEffects(former, {
    ...(now.from !== was.from && { from: now.from }),
    ...(now.to.join() !== was.to.join() && { to: now.to }),
    ...(message.header !== before.header && {
      fields: message.header.fields.map(
        (field) => places.get(field) ?? ([field.name, decodeWords(fieldValue(field))] as const),
      ),
    }),
  });
  const effects = kept.map((step) => step.effects);
  const notes = effects.findLast((one) => one.notes)?.notes;
  const routes = effects.flatMap((one) => one.routes ?? []);
  const folders = effects.flatMap((one) => one.folders ?? []);
  const refusals = effects.flatMap((one) => one.refusals ?? []);
  return {
    ...changes,
    parts: effects.flatMap((one) => one.parts ?? []),
    ...(notes && { notes }),
    ...(routes.length > 0 && { routes }),
    ...(folders.length > 0 && { folders }),
    ...(refusals.length > 0 && { refusals }),
  };
}

/** What a listener would not have let in. RFC 5321 §4.5.2: mail data is text; NUL is refused. */
function transportDefects({ header, body }: MessageState): string[] {
  const hasNul = header.octets.includes(0) || body.inline?.includes(0) === true;
  return hasNul ? ["the message holds NUL: a listener refuses it before any script is asked"] : [];
}

function describe(verdict: Verdict): TestResult["verdict"] {
  switch (verdict.kind) {
    case "proceed":
      return { kind: "proceed", settled: verdict.settled };
    case "discard":
    case "quarantine":
      return { kind: verdict.kind, text: verdict.reason, settled: false };
    default:
      return { kind: verdict.kind, code: verdict.code, status: verdict.status, text: verdict.text, settled: false };
  }
}

function describeFault({ code, message, facts }: Fault): TestResult["fault"] {
  const textOf = (value: unknown) => (typeof value === "string" ? value : null);
  return { code, message, at: textOf(facts.at), stack: textOf(facts.stack) ?? "" };
}
