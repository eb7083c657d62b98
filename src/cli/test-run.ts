/**
 * A test run: one message through the server's own dispatcher, sandbox and applier, with nothing behind them. What a run shows is what the
 * live server would do, because it is the same code; only the bindings are fewer and nothing is spooled.
 */

import type { Sandbox } from "../../sandbox/host.ts";
import type {
  CompiledScript,
  RunRequest,
  ScriptExports,
  ScriptFault,
  ScriptLimits,
  StepResult,
} from "../../sandbox/protocol.ts";
import { type Binding, type OnFault, onFaults, priorityDefault } from "../events/binding.ts";
import { Dispatcher } from "../events/dispatcher.ts";
import { type ConditionReport, parseRule } from "../events/rule.ts";
import { messageFacts } from "../events/rule-facts.ts";
import { discard, type Verdict } from "../events/verdict.ts";
import { decodeWords } from "../mail/encoded-word.ts";
import { fieldValue, splitMessage } from "../mail/header.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { inlineBody, Message, type MessageState, type Origin } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";
import { systemClock } from "../platform/clock.ts";
import type { Fault } from "../platform/fault.ts";
import { silentLog } from "../platform/log.ts";
import { type AppliedChanges, applyEffects } from "../scripting/apply.ts";
import { createScriptRunner } from "../scripting/runner.ts";
import { guessRecipients, guessReversePath } from "./envelope-guess.ts";
import type { TestResult } from "./test-result.ts";

/** Facts of the session and the envelope that the message in the file does not have. */
export interface TestSession {
  readonly ip: string;
  readonly helo: string;
  readonly user: string | null;
  readonly listener: string;
  /** undefined: guessed from the header. */
  readonly from: ReversePath | undefined;
  /** Empty: guessed from the header. */
  readonly to: readonly Mailbox[];
}

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

const noChanges: AppliedChanges = { envelope: { added: [], removed: [] }, fields: [], parts: [] };
const noUsage = { cpuMs: 0, wallMs: 0, heapKiB: 0 };
const event = "onArrival";

/** A message as if it had come in by that session. Ids count up, so that what a script logs is the same every time. */
export function createTestMessage(octets: Buffer, session: TestSession, number: number): Message {
  const { header, separator, body } = splitMessage(octets);
  const origin: Origin = {
    sessionId: "TEST000000000000",
    listener: session.listener,
    ip: session.ip,
    host: null,
    helo: session.helo,
    user: session.user,
    tls: null,
  };
  const mailboxes = session.to.length > 0 ? session.to : guessRecipients(header);
  return new Message({
    id: `TEST${String(number).padStart(12, "0")}`,
    receivedAt: systemClock.now(),
    origin,
    envelope: {
      reversePath: session.from === undefined ? guessReversePath(header) : session.from,
      recipients: mailboxes.map((mailbox) => ({ mailbox })),
    },
    header,
    separator,
    body: inlineBody(body),
    notes: {},
  });
}

/** The binding the registry would make of a script. A script that is switched off is tested all the same. @throws {Fault} `rule.syntax` */
export function bindingOf({ name, version }: CompiledScript, exports: ScriptExports): Binding {
  return {
    id: `${name}#${event}`,
    name,
    event,
    enabled: true,
    priority: exports.priority ?? priorityDefault,
    rule: exports.rule === undefined ? null : parseRule(exports.rule),
    onFault: onFaults.find((policy): policy is OnFault => policy === exports.onFault) ?? "defer",
    maxFirings: 0,
    properties: {},
    source: "script",
    createdOrder: 1,
    target: { kind: "script", version },
  };
}

/** Takes messages, one at a time, through a list of bindings. */
export class Tester {
  readonly dispatcher: Dispatcher;
  /** What the bindings answered to the message in hand. */
  steps: Step[] = [];
  #results: StepResult[] = [];

  constructor({ sandbox, limits }: { readonly sandbox: Pick<Sandbox, "run">; readonly limits: ScriptLimits }) {
    const tapped = {
      run: async (request: RunRequest) => {
        const answer = await sandbox.run(request);
        this.#results.push(...answer.steps);
        return answer;
      },
    };
    this.dispatcher = new Dispatcher({
      log: silentLog,
      clock: systemClock,
      rehearsal: true,
      scripts: createScriptRunner({ sandbox: tapped, limits, log: silentLog }),
      // Every message is to show what the script does with it, however many have failed before.
      breaker: { faults: Number.POSITIVE_INFINITY, withinMs: 1, suspendMs: 1 },
      observe: ({ binding, verdict, fault }) =>
        this.steps.push({ binding: binding.name, onFault: binding.onFault, verdict, fault }),
    });
  }

  /** @param asked The one script that is tested; undefined: the whole list. */
  async run(
    message: Message,
    options: { readonly file: string; readonly asked: Binding | undefined },
  ): Promise<TestRun> {
    const { asked } = options;
    this.steps = [];
    this.#results = [];
    const before = message.snapshot();
    const envelope = envelopeOf(before);
    const conditions = asked?.rule?.explain(messageFacts(message)) ?? [];
    let verdict = await this.dispatcher.ask(event, { message });
    // The reception does the same with what the list leaves it.
    if (verdict.kind === "proceed" && message.envelope.recipients.length === 0)
      verdict = discard("no recipient is left");
    const isSpooled = verdict.kind === "proceed" || verdict.kind === "quarantine";
    const failed = this.steps.find((step) => step.fault !== null);
    const fault = failed?.fault ?? null;
    const result: TestResult = {
      file: options.file,
      script: asked?.name ?? "pipeline",
      version: asked?.target.kind === "script" ? asked.target.version : null,
      event,
      matched: asked ? this.#results.length > 0 : this.steps.length > 0,
      envelope,
      verdict: describe(verdict),
      changes: isSpooled ? await changesBetween(message, before, this.#results) : noChanges,
      submissions: [],
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
}

/** The result for a script that cannot be run at all: it does not compile, or does not load. */
export function unrunnable(
  fault: ScriptFault,
  { file, script, message }: { readonly file: string; readonly script: string; readonly message: Message },
): TestRun {
  const result: TestResult = {
    file,
    script,
    version: null,
    event,
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
  results: readonly StepResult[],
): Promise<AppliedChanges> {
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
  const kept = results.filter((step) => step.fault === null);
  return { ...changes, parts: kept.flatMap((step) => step.effects.parts ?? []) };
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
