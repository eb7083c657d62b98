/** The message of a test, made of a file and of what is said about how it comes in; and the binding of the one script that is tested. */
import type { Json } from "../sandbox/api.ts";
import type { CompiledScript, ScriptExports } from "../sandbox/protocol.ts";
import { type Binding, checkBinding, type OnFault, onFaults, priorityDefault } from "./events/binding.ts";
import type { EventName } from "./events/event.ts";
import { isEventName } from "./events/event-table.ts";
import { parseRule } from "./events/rule.ts";
import type { AuthFacts } from "./mail/auth-facts.ts";
import { guessRecipients, guessReversePath } from "./mail/envelope-guess.ts";
import { splitMessage } from "./mail/header.ts";
import type { Mailbox } from "./mail/mailbox.ts";
import { inlineBody, Message, type Origin } from "./mail/message.ts";
import type { ReversePath } from "./mail/path.ts";
import { systemClock } from "./platform/clock.ts";
import { Fault } from "./platform/fault.ts";

/** Facts of the session and the envelope that the message in the file does not have. */
export interface TestSession {
  /** null: not said; onArrival, or what the script handles. */
  readonly event: EventName | null;
  readonly ip: string;
  readonly host?: string | null;
  readonly helo: string;
  readonly user: string | null;
  readonly tls?: string | null;
  readonly auth?: AuthFacts | null;
  readonly listener: string;
  /** undefined: guessed from the header. */
  readonly from: ReversePath | undefined;
  /** Empty: guessed from the header. */
  readonly to: readonly Mailbox[];
  readonly notes?: { readonly [name: string]: Json };
  /** Milliseconds since the Unix epoch; absent: now. */
  readonly clock?: number;
}

/** A message as if it had come in by that session. Ids count up, so that what a script logs is the same every time. */
export function createTestMessage(octets: Buffer, session: TestSession, number: number): Message {
  const { header, separator, body } = splitMessage(octets);
  const origin: Origin = {
    sessionId: "TEST000000000000",
    listener: session.listener,
    ip: session.ip,
    host: session.host ?? null,
    helo: session.helo,
    user: session.user,
    tls: session.tls ?? null,
    ...(session.auth && { auth: session.auth }),
  };
  const mailboxes = session.to.length > 0 ? session.to : guessRecipients(header);
  return new Message({
    id: `TEST${String(number).padStart(12, "0")}`,
    receivedAt: session.clock ?? systemClock.now(),
    origin,
    envelope: {
      reversePath: session.from === undefined ? guessReversePath(header) : session.from,
      recipients: mailboxes.map((mailbox) => ({ mailbox })),
    },
    header,
    separator,
    body: inlineBody(body),
    notes: session.notes ?? {},
  });
}

/**
 * The binding the registry would make of a script. A script that is switched off is tested all the same.
 * @param wanted null: onArrival, or the first event the script handles.
 * @throws {Fault} `rule.syntax`, `binding.invalid`; `script.exports` where the script does not handle the event
 */
export function bindingOf(
  { name, version }: CompiledScript,
  exports: ScriptExports,
  wanted: EventName | null = null,
  properties: Binding["properties"] = {},
): Binding {
  const handled = exports.handlers.filter(isEventName);
  const event = wanted ?? (handled.includes("onArrival") ? "onArrival" : handled[0]!);
  if (!handled.includes(event))
    throw new Fault("script.exports", `The script does not handle ${event}: it exports ${handled.join(", ")}`);
  const binding: Binding = {
    id: `${name}#${event}`,
    name,
    event,
    enabled: true,
    priority: exports.priority ?? priorityDefault,
    rule: exports.rule === undefined ? null : parseRule(exports.rule),
    onFault: onFaults.find((policy): policy is OnFault => policy === exports.onFault) ?? "defer",
    maxFirings: 0,
    properties,
    source: "script",
    createdOrder: 1,
    target: { kind: "script", version, grants: exports.grants ?? {} },
  };
  checkBinding(binding);
  return binding;
}
