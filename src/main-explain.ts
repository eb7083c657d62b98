/**
 * `explain`: takes one message through a rehearsed session and a first attempt, and keeps for every event which binding was asked, what it answered, and
 * why the others were not. Nothing is spooled; the bindings are those of a running server or of the files, as the caller has it.
 */
import type { ExplainedBinding, ExplainedEvent, ExplainReport, ExplainRequest } from "./admin/explain-view.ts";
import type { Binding, ListName } from "./events/binding.ts";
import type { AskName, EventName } from "./events/event.ts";
import { eventTable } from "./events/event-table.ts";
import { isUsedUp } from "./events/health.ts";
import { describeAnswer, type Observation, type Skip } from "./events/observation.ts";
import { onFaultVerdict } from "./events/on-fault.ts";
import { ruleFacts } from "./events/rule-facts.ts";
import { formatMailbox, type Mailbox } from "./mail/mailbox.ts";
import type { Message } from "./mail/message.ts";
import { listenerOf, listNames, rehearse, type Stage } from "./main-rehearsal.ts";
import { describeThrown } from "./platform/fault.ts";
import { stuffDots } from "./smtp/mail-data.ts";

/** Asked only where mail goes over the network, or does not get there. */
const unexplained: readonly ListName[] = ["onResolve", "onDsn"];

/** Lists each ask of which is explained: those a session and its message pass, up to where it would be delivered. */
const explained: readonly ListName[] = listNames.filter((list) => {
  const { mode, family } = eventTable[eventOf(list)];
  return mode === "ask" && family !== "outbound" && !unexplained.includes(list);
});

interface Ask {
  readonly list: ListName;
  readonly subject: unknown;
  readonly about: string;
  readonly bindings: Map<string, ExplainedBinding>;
  decidedBy: string | null;
  settledBy: string | null;
  reply: string;
}

/** Keeps what the dispatcher tells, ask by ask. */
class Recorder {
  readonly asks: Ask[] = [];
  /** Whom the RCPT at hand is about. */
  recipient = "";
  readonly #bindingsOf: (list: ListName) => readonly Binding[];
  readonly #states: ReadonlyMap<string, "suspended" | "used-up" | null>;
  /** Asks from here on have not heard their reply yet. */
  #unanswered = 0;

  constructor(
    bindingsOf: (list: ListName) => readonly Binding[],
    states: ReadonlyMap<string, "suspended" | "used-up" | null>,
  ) {
    this.#bindingsOf = bindingsOf;
    this.#states = states;
  }

  readonly observe = (observation: Observation): void => {
    const { event, subject, binding, verdict, fault } = observation;
    const ask = this.#askOf(event, subject, binding);
    ask.bindings.set(binding.id, {
      ...faceOf(binding),
      outcome: this.#states.get(binding.id) ?? "asked",
      verdict: describeAnswer(observation),
      fault: fault === null ? null : describeThrown(fault),
    });
    if (verdict.kind !== "proceed") ask.decidedBy = binding.id;
    else if (verdict.settled) ask.settledBy ??= binding.id;
  };

  readonly observeSkip = ({ event, subject, binding, reason }: Skip): void => {
    const ask = this.#askOf(event, subject, binding);
    const facts = reason === "rule" ? ruleFacts(event, subject as never) : undefined;
    ask.bindings.set(binding.id, {
      ...faceOf(binding),
      outcome: this.#states.get(binding.id) ?? reason,
      by: binding.target.kind === "broken" ? binding.target.reason : reason === "settled" ? ask.settledBy : null,
      conditions: facts ? (binding.rule?.explain(facts) ?? []) : [],
    });
  };

  /** A reply has come: it answers the asks since the one before. */
  answered(reply: string): void {
    for (const ask of this.asks.slice(this.#unanswered)) if (ask.decidedBy !== null) ask.reply = reply;
    this.#unanswered = this.asks.length;
  }

  events(): ExplainedEvent[] {
    return this.asks.map(({ list, about, bindings, decidedBy, reply }) => ({
      event: list,
      about,
      reply,
      bindings: this.#bindingsOf(list).map(
        (binding) => bindings.get(binding.id) ?? { ...faceOf(binding), outcome: "decided" as const, by: decidedBy },
      ),
    }));
  }

  #askOf(event: EventName, subject: unknown, { phase }: Binding): Ask {
    const list = phase === "queue" ? "onArrival/queue" : event;
    const last = this.asks.findLast((ask) => ask.list === list && ask.subject === subject);
    if (last) return last;
    // As the client named it, whatever sinks make of it.
    const about = event === "onRcptTo" ? this.recipient : aboutOf(event, subject);
    const ask: Ask = { list, subject, about, bindings: new Map(), decidedBy: null, settledBy: null, reply: "" };
    this.asks.push(ask);
    return ask;
  }
}

/** @throws {Fault} where the listener is not there */
export async function explainMail(stage: Stage, request: ExplainRequest): Promise<ExplainReport> {
  const bindings = explained.flatMap((list) => stage.bindingsOf(list));
  const states = new Map(bindings.map((binding) => [binding.id, stateOf(binding, stage)]));
  const recorder = new Recorder(stage.bindingsOf, states);
  const { session, result, attempt, release } = rehearse(stage, {
    bindings: bindings.map((binding) => inState(binding, states.get(binding.id) ?? null)),
    listener: request.session.listener,
    session: request.session,
    observe: recorder.observe,
    observeSkip: recorder.observeSkip,
  });
  let last = "";
  let destinations: ExplainReport["destinations"] = [];
  /** Whether the last of the replies is a positive one. */
  const heard = (output: string) => {
    last = lastReplyOf(output);
    recorder.answered(last);
    return /^[23]/.test(last);
  };
  try {
    if (heard(await session.begin()))
      await converse(request, listenerOf(stage, request.session.listener).role, async (octets, recipient = "") => {
        recorder.recipient = recipient;
        return heard(await session.say(octets));
      });
    destinations = await attempt();
  } finally {
    await release();
  }
  return {
    from: request.from,
    to: request.to,
    events: recorder.events(),
    reply: last,
    result: result() ?? (last.startsWith("4") ? "deferred" : "refused"),
    destinations,
    live: stage.live,
  };
}

/** The dialogue a client would have; ends where the server's answer ends it. */
async function converse(
  { mail, session, from, to }: ExplainRequest,
  role: "mx" | "submission" | "lmtp",
  say: (octets: Buffer, recipient?: string) => Promise<boolean>,
): Promise<void> {
  const sayLine = (line: string, recipient?: string) => say(Buffer.from(`${line}\r\n`), recipient);
  const octets = Buffer.from(mail, "base64");
  if (!(await sayLine(`${role === "lmtp" ? "LHLO" : "EHLO"} ${session.helo}`))) return;
  const isInternational = [from, ...to].some((address) => /[^\x00-\x7f]/.test(address));
  const parameters = `SIZE=${octets.length} BODY=8BITMIME${isInternational ? " SMTPUTF8" : ""}`;
  if (!(await sayLine(`MAIL FROM:${bracketed(from)} ${parameters}`))) return;
  let accepted = 0;
  for (const recipient of to) if (await sayLine(`RCPT TO:${bracketed(recipient)}`, recipient)) accepted++;
  if (accepted === 0 || !(await sayLine("DATA"))) return;
  const isEnded = octets.length === 0 || octets.subarray(-2).toString("latin1") === "\r\n";
  await say(Buffer.concat([stuffDots(octets), Buffer.from(isEnded ? ".\r\n" : "\r\n.\r\n")]));
}

/** The last reply of what was heard, several lines on one: `550 5.7.1 Not here / See https://example.org`. */
function lastReplyOf(output: string): string {
  const lines = output.trimEnd().split("\r\n");
  let start = lines.length - 1;
  while (start > 0 && lines[start - 1]![3] === "-") start--;
  const [first = "", ...more] = lines.slice(start);
  const texts = more.map((line) => line.slice(4).replace(/^[245]\.\d{1,3}\.\d{1,3} /, ""));
  return [first.replace(/^(\d{3})-/, "$1 "), ...texts].join(" / ");
}

function bracketed(address: string): string {
  return address.startsWith("<") ? address : `<${address}>`;
}

/** Why a live server would not ask a binding now, beside what stands in the binding itself. */
function stateOf(binding: Binding, stage: Stage): "suspended" | "used-up" | null {
  const health = stage.healthOf(binding.id);
  if (isUsedUp(binding, health)) return "used-up";
  return health.breaker === "open" ? "suspended" : null;
}

/** A binding that does what the server would do with it: what is suspended answers as its onFault says, what is used up is not asked. */
function inState(binding: Binding, state: "suspended" | "used-up" | null): Binding {
  if (state === null || binding.target.kind === "broken") return binding;
  if (state === "used-up") return { ...binding, enabled: false };
  // The events that are explained are ask events.
  const event = binding.event as AskName;
  return { ...binding, target: { kind: "native", handler: () => onFaultVerdict(event, binding) } };
}

function faceOf({ id, name, source, target, priority, rule }: Binding): Omit<ExplainedBinding, "outcome"> {
  return {
    id,
    name,
    source,
    kind: target.kind,
    priority,
    rule: rule?.text ?? null,
    verdict: null,
    fault: null,
    by: null,
    conditions: [],
  };
}

function eventOf(list: ListName): EventName {
  return list === "onArrival/queue" ? "onArrival" : list;
}

/** Recipients that are named. */
const recipientsNamedMax = 3;

/** What an event was about, where one message has it asked more than once. */
function aboutOf(event: EventName, subject: unknown): string {
  switch (event) {
    case "onCategorize":
    case "onLocalDelivery":
      return formatMailbox((subject as { readonly forwardPath: Mailbox }).forwardPath);
    case "onRoute":
      return (subject as { readonly domain: string }).domain;
    case "onPostCategorize": {
      const { recipients } = (subject as { readonly message: Message }).message.envelope;
      const named = recipients.slice(0, recipientsNamedMax).map(({ mailbox }) => formatMailbox(mailbox));
      const others = recipients.length - named.length;
      return others > 0 ? `${named.join(", ")} and ${others} more` : named.join(", ");
    }
    default: {
      const { verb } = subject as { readonly verb?: unknown };
      return typeof verb === "string" ? verb : "";
    }
  }
}
